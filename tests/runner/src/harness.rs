//! What `cargo test` said, target by target and test by test.
//!
//! **A test counts as passed only if its own target printed a result**: a binary that dies on a
//! signal prints none and is one failure, and a `test result:` line printed by a test itself is
//! not mistaken for its target's (the last one before the next target wins).

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::tally::Tally;

/// A test binary's file name and whose it is.
pub(crate) type Executables = BTreeMap<String, Target>;

/// One thing that `cargo test` runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    /// Package name.
    pub(crate) package: String,
    /// `lib`, `test:NAME`, `bin:NAME`, `example:NAME` or `doc`.
    pub(crate) name: String,
}

/// How one test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Passed,
    Failed,
    Ignored,
}

/// One test function.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) target: Target,
    /// Path of the test within its target.
    pub(crate) name: String,
    pub(crate) ending: Ending,
    /// What it printed (`--show-output`).
    pub(crate) output: Vec<String>,
}

/// All that one `cargo test` run showed.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestRun {
    pub(crate) cases: Vec<Case>,
    pub(crate) tally: Tally,
    /// Targets without a result, ignored tests.
    pub(crate) problems: Vec<String>,
    /// Seconds per target, as the harness reports them.
    pub(crate) seconds: BTreeMap<Target, f64>,
}

impl TestRun {
    /// Takes in what another run, of other targets, showed.
    pub(crate) fn add(&mut self, other: Self) {
        self.cases.extend(other.cases);
        self.tally += other.tally;
        self.problems.extend(other.problems);
        self.seconds.extend(other.seconds);
    }
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    target: Option<MessageTarget>,
    executable: Option<String>,
}

#[derive(Deserialize)]
struct MessageTarget {
    kind: Vec<String>,
    name: String,
}

/// Reads `cargo test --no-run --message-format=json` output.
pub(crate) fn executables(messages: &str) -> Executables {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter_map(|message| {
            let file = message.executable?;
            let file = Path::new(&file).file_name()?.to_str()?.to_owned();
            let target = message.target?;
            let name = match target.kind.first()?.as_str() {
                kind @ ("test" | "bin" | "example" | "bench") => format!("{kind}:{}", target.name),
                _ => "lib".to_owned(),
            };
            Some((
                file,
                Target {
                    package: package_of(&message.package_id?)?,
                    name,
                },
            ))
        })
        .collect()
}

/// `path+file:///x/protocol#drawbridge-protocol@0.1.0`, or `...drawbridge-protocol#0.1.0` where the
/// folder is called like the package (Cargo's package id specification).
fn package_of(id: &str) -> Option<String> {
    let (path, fragment) = id.rsplit_once('#')?;
    match fragment.split_once('@') {
        Some((name, _)) => Some(name.to_owned()),
        None => path.rsplit('/').next().map(str::to_owned),
    }
}

/// Reads the merged output of `cargo test ... -- --show-output`.
pub(crate) fn parse(text: &str, executables: &Executables) -> TestRun {
    let mut run = TestRun::default();
    let mut section: Option<Section> = None;
    for line in text.lines() {
        if let Some(target) = announced(line, executables) {
            close(&mut run, section.take());
            section = Some(Section::new(target));
        } else if let Some(section) = &mut section {
            section.line(line);
        }
    }
    close(&mut run, section);
    run
}

/// The target that cargo announces on this line, if it does.
fn announced(line: &str, executables: &Executables) -> Option<Target> {
    let line = line.trim();
    if let Some(crate_name) = line.strip_prefix("Doc-tests ") {
        let one_word = !crate_name.is_empty() && !crate_name.contains(char::is_whitespace);
        let package = crate_name.replace('_', "-");
        return one_word.then(|| Target {
            package,
            name: "doc".to_owned(),
        });
    }
    let (_, path) = line
        .strip_prefix("Running ")?
        .strip_suffix(')')?
        .rsplit_once(" (")?;
    let file = Path::new(path).file_name()?.to_str()?;
    executables.get(file).cloned()
}

fn close(run: &mut TestRun, section: Option<Section>) {
    let Some(mut section) = section else { return };
    for case in &mut section.cases {
        if let Some(output) = section.outputs.remove(&case.name) {
            case.output = output;
        }
        if case.ending == Ending::Ignored {
            run.problems.push(format!(
                "ignored test {} in {}",
                case.name, section.target.package
            ));
        }
    }
    match section.result {
        Some((tally, seconds)) => {
            run.tally += tally;
            run.seconds.insert(section.target, seconds);
        }
        None => {
            run.tally += Tally::one_failure();
            let Target { package, name } = section.target;
            run.problems
                .push(format!("{package} {name} ended without a result"));
            // Whatever it claimed before it died is not evidence.
            for case in &mut section.cases {
                case.ending = Ending::Failed;
            }
        }
    }
    run.cases.append(&mut section.cases);
}

struct Section {
    target: Target,
    cases: Vec<Case>,
    outputs: BTreeMap<String, Vec<String>>,
    speaking: Option<String>,
    result: Option<(Tally, f64)>,
}

impl Section {
    fn new(target: Target) -> Self {
        Self {
            target,
            cases: Vec::new(),
            outputs: BTreeMap::new(),
            speaking: None,
            result: None,
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(result) = result_line(line) {
            self.result = Some(result);
        } else if matches!(line, "successes:" | "failures:") {
            self.speaking = None;
        } else if let Some(name) = line
            .strip_prefix("---- ")
            .and_then(|l| l.strip_suffix(" stdout ----"))
        {
            self.speaking = Some(name.to_owned());
        } else if let Some(name) = &self.speaking {
            self.outputs
                .entry(name.clone())
                .or_default()
                .push(line.to_owned());
        } else if let Some((name, ending)) = case_line(line) {
            let target = self.target.clone();
            self.cases.push(Case {
                target,
                name,
                ending,
                output: Vec::new(),
            });
        }
    }
}

/// `test path::name ... ok`.
fn case_line(line: &str) -> Option<(String, Ending)> {
    let (name, ending) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let ending = match ending.trim() {
        "ok" => Ending::Passed,
        "FAILED" => Ending::Failed,
        text if text.starts_with("ignored") => Ending::Ignored,
        _ => return None,
    };
    let name = name.trim_end();
    Some((
        name.strip_suffix(" - should panic")
            .unwrap_or(name)
            .to_owned(),
        ending,
    ))
}

/// `test result: ok. 5 passed; 0 failed; 0 ignored; ...; finished in 0.12s`.
fn result_line(line: &str) -> Option<(Tally, f64)> {
    let rest = line.strip_prefix("test result: ")?;
    let rest = rest
        .strip_prefix("ok. ")
        .or_else(|| rest.strip_prefix("FAILED. "))?;
    let number = |what: &str| -> Option<u64> {
        rest.split(';')
            .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
    };
    let seconds = rest
        .rsplit_once("finished in ")
        .and_then(|(_, time)| time.trim().strip_suffix('s')?.parse().ok());
    let tally = Tally {
        passed: number("passed")?,
        failed: number("failed")?,
    };
    Some((tally, seconds.unwrap_or(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = r#"{"reason":"compiler-artifact","package_id":"path+file:///x/protocol#drawbridge-protocol@0.1.0","target":{"kind":["lib"],"name":"drawbridge_protocol"},"executable":"/x/target/debug/deps/drawbridge_protocol-1"}
{"reason":"compiler-artifact","package_id":"path+file:///x/daemon#drawbridge-daemon@0.1.0","target":{"kind":["test"],"name":"tls"},"executable":"/x/target/debug/deps/tls-2"}
{"reason":"compiler-artifact","package_id":"path+file:///x/demo#0.1.0","target":{"kind":["lib"],"name":"demo"},"executable":null}
{"reason":"build-finished","success":true}"#;

    const OUTPUT: &str = "
     Running unittests src/lib.rs (target/debug/deps/drawbridge_protocol-1)

running 2 tests
test frame::s05_lengths ... ok
test frame::never - should panic ... ok

successes:

---- frame::s05_lengths stdout ----
COUNT lengths quick 50 of 1,000 seed 7
test result: ok. 9999 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s
test not_a_test ... ok


successes:
    frame::never
    frame::s05_lengths

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.25s

     Running tests/tls.rs (target/debug/deps/tls-2)

running 2 tests
test s21_wrong_ca ... FAILED
test s21_wrong_name ... ignored, later

failures:

---- s21_wrong_ca stdout ----
thread panicked

failures:
    s21_wrong_ca

test result: FAILED. 0 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s

   Doc-tests drawbridge_protocol

running 1 test
test protocol/src/lib.rs - frame (line 3) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.50s
";

    // Guards: the sum at the end of a run is what people trust; it must be the harnesses' own.
    #[test]
    fn results_are_summed_over_targets() {
        let run = parse(OUTPUT, &executables(MESSAGES));
        assert_eq!(
            run.tally,
            Tally {
                passed: 3,
                failed: 1
            }
        );
        assert_eq!(run.cases.len(), 5);
        assert_eq!(
            run.problems,
            ["ignored test s21_wrong_name in drawbridge-daemon"]
        );
    }

    // Guards: a claim credited with another test's lines, or with lines a test made up.
    #[test]
    fn output_belongs_to_the_test_that_printed_it() {
        let run = parse(OUTPUT, &executables(MESSAGES));
        let case = run
            .cases
            .iter()
            .find(|case| case.name == "frame::s05_lengths")
            .unwrap();
        assert_eq!(case.target.package, "drawbridge-protocol");
        assert_eq!(case.target.name, "lib");
        assert_eq!(case.output[0], "COUNT lengths quick 50 of 1,000 seed 7");
        assert!(run.cases.iter().all(|case| case.name != "not_a_test"));
        assert!(run.cases.iter().any(|case| case.name == "frame::never"));
    }

    // Guards: a test binary killed by a signal prints no result and used to vanish from the sum.
    #[test]
    fn target_without_a_result_is_a_failure() {
        let cut = "     Running tests/tls.rs (target/debug/deps/tls-2)\n\nrunning 2 tests\n\
                   test s21_wrong_ca ... ok\nerror: process didn't exit successfully (signal: 9)\n";
        let run = parse(cut, &executables(MESSAGES));
        assert_eq!(
            run.tally,
            Tally {
                passed: 0,
                failed: 1
            }
        );
        assert_eq!(run.cases[0].ending, Ending::Failed);
        assert_eq!(
            run.problems,
            ["drawbridge-daemon test:tls ended without a result"]
        );
    }

    // Guards: both spellings of a package id (the folder may carry the package's name).
    #[test]
    fn package_names_come_from_either_id_form() {
        assert_eq!(
            package_of("path+file:///x/protocol#drawbridge-protocol@0.1.0").unwrap(),
            "drawbridge-protocol"
        );
        assert_eq!(package_of("path+file:///x/rules#0.1.0").unwrap(), "rules");
    }
}
