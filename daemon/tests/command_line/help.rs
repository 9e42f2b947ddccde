//! What the program teaches.

use super::run::Home;

const COMMANDS: [&str; 20] = [
    "",
    "status",
    "lock",
    "lock list",
    "lock show",
    "lock remove",
    "lock rename",
    "lock log",
    "unlock",
    "state",
    "pair",
    "events",
    "watch",
    "doctor",
    "owner",
    "owner init",
    "owner show",
    "owner claim",
    "owner sign",
    "help",
];

// Guards: a command whose help is missing or fails, found by the user who needs it.
#[test]
fn every_command_has_help_on_standard_output() {
    let home = Home::new();
    for command in COMMANDS {
        let line = if command == "help" {
            command.to_owned()
        } else {
            format!("{command} --help")
        };
        let ran = home.run(&line);
        assert_eq!(ran.exit, 0, "{command}: {ran:?}");
        assert!(ran.out.contains("Usage: drawbridge"), "{command}: {ran:?}");
        assert!(ran.err.is_empty(), "{command}: {ran:?}");
    }
}

#[test]
fn help_teaches_examples_and_documents_exit_codes() {
    let home = Home::new();
    let root = home.run("--help").out;
    for promise in [
        "0  done",
        "1  refused",
        "2  wrong command line",
        "3  sent",
        "4  daemon or broker unreachable",
    ] {
        assert!(root.contains(promise), "{promise}: {root}");
    }
    for command in [
        "lock",
        "unlock",
        "state",
        "pair",
        "events",
        "watch",
        "doctor",
        "status",
        "owner claim",
        "owner sign",
    ] {
        let text = home.run(&format!("{command} --help")).out;
        assert!(
            text.contains("Examples\n  drawbridge "),
            "{command}: {text}"
        );
        assert!(text.contains("--json"), "{command}");
    }
    let pair = home.run("pair --help").out;
    assert!(pair.contains("trusts this hub for that moment"), "{pair}");
}
