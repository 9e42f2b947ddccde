//! `tests/bench/run`, the bench by hand.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use drawbridge_bench::here;

fn by_hand(arguments: &[&str]) -> Output {
    let mut command = Command::new(here().join("run"));
    command.args(arguments).output().unwrap()
}

/// The tests of the files below `folder`, except those of their `mod tests`, which are indented.
fn tests_below(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.append(&mut tests_below(&path));
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let after = source.split("\n#[test]\nfn ").skip(1);
        names.extend(after.map(|test| test.split('(').next().unwrap().to_owned()));
    }
    names
}

// Guards: a scenario that exists and that nobody finds, such as one that moved into a module.
#[test]
fn bench_lists_every_scenario() {
    let output = by_hand(&["--list"]);
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{listed}");
    let listed: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    assert_eq!(listed, tests_below(&here().join("tests")));
    assert!(listed.len() > 15, "{listed:?}");
}

// Guards: a scenario that is listed and cannot be run alone.
#[test]
fn bench_runs_the_scenario_of_a_name() {
    let output = by_hand(&["recipe_without_its_tool"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let wanted = "test a_recipe_without_its_tool_says_which_and_makes_no_guest ... ok";
    assert!(said.contains(wanted), "{said}");
}

// Guards: a name with a slip in it, and a bench that ran nothing and calls that a success.
#[test]
fn name_that_no_scenario_has_is_refused_in_words() {
    let output = by_hand(&["no_such_scenario"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("no scenario's name contains 'no_such_scenario'"),
        "{said}"
    );
    assert!(said.contains("tests/bench/run --list"), "{said}");
}

// Guards: a bench that shows only what somebody thought of before.
#[test]
fn bench_shell_is_a_guest_to_look_around_in() {
    // As long as a busy machine may need to build and boot; QEMU ends with it.
    let mut command = Command::new("timeout");
    command.arg("600").arg(here().join("run")).arg("--shell");
    let mut shell = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keyboard = shell.stdin.take().unwrap();
    let mut screen = BufReader::new(shell.stdout.take().unwrap());
    let mut shown = Vec::new();
    while !shown.trim_ascii_end().ends_with(b"a test would run") {
        let read = screen.read_until(b'\n', &mut shown).unwrap();
        assert_ne!(read, 0, "no shell: {}", String::from_utf8_lossy(&shown));
    }
    // The answers are not in what is typed, which the terminal repeats.
    let typed = "hostname | sed 's/^/on the /'; [ -s /bench/scenario ] && echo scenario $((40 + 2))\npoweroff -f\n";
    keyboard.write_all(typed.as_bytes()).unwrap();
    screen.read_to_end(&mut shown).unwrap();
    let shown = String::from_utf8_lossy(&shown);
    assert!(shell.wait().unwrap().success(), "{shown}");
    assert!(shown.contains("on the hub"), "{shown}");
    assert!(shown.contains("scenario 42"), "{shown}");
}
