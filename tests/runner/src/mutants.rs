//! What `cargo mutants` found, read from the files that it leaves.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use crate::explained::Gap;
use crate::failure::{During, Failure};
use crate::tree;

/// A mutation, as `cargo mutants --list --json` and the outcomes name it.
#[derive(Debug, Deserialize)]
pub(crate) struct Mutant {
    name: String,
    pub(crate) file: String,
    function: Option<Function>,
    span: Span,
}

#[derive(Debug, Deserialize)]
struct Function {
    function_name: String,
}

#[derive(Debug, Deserialize)]
struct Span {
    start: Place,
}

#[derive(Debug, Deserialize)]
struct Place {
    line: usize,
}

#[derive(Debug, Deserialize)]
struct Outcomes {
    outcomes: Vec<Outcome>,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    scenario: Scenario,
    summary: String,
    phase_results: Vec<Phase>,
}

#[derive(Debug, Deserialize)]
enum Scenario {
    Baseline,
    Mutant(Mutant),
}

#[derive(Debug, Deserialize)]
struct Phase {
    duration: f64,
}

/// What became of the mutants of one run.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    /// The tests pass without any mutation. Else everything would be called caught.
    pub(crate) baseline: bool,
    pub(crate) caught: usize,
    /// The tests did not end, which is noticed.
    pub(crate) hung: usize,
    /// The compiler refuses it.
    pub(crate) unviable: usize,
    pub(crate) survivors: BTreeSet<Gap>,
    /// How many, before those with the same words on the same line become one.
    pub(crate) survived: usize,
    /// Neither: what `cargo mutants` says about it.
    pub(crate) unclear: Vec<String>,
    /// Building and testing, without the baseline.
    pub(crate) seconds: f64,
}

impl Ran {
    /// Mutants that were tried.
    pub(crate) fn tried(&self) -> usize {
        self.caught + self.hung + self.unviable + self.survived + self.unclear.len()
    }

    /// Reads `mutants.out/outcomes.json` in `folder`; `root` is where the sources are.
    ///
    /// # Errors
    /// When it is missing or in another form, or a source cannot be read.
    pub(crate) fn load(folder: &Path, root: &Path) -> Result<Self, Failure> {
        let text = tree::read(folder, "mutants.out/outcomes.json")?;
        Self::parse(&text, |file| tree::read(root, file))
    }

    fn parse(
        text: &str,
        source: impl Fn(&str) -> Result<String, Failure>,
    ) -> Result<Self, Failure> {
        let all: Outcomes = serde_json::from_str(text)
            .during(|| "read the outcomes of cargo mutants".to_owned())?;
        let mut ran = Self::default();
        for outcome in all.outcomes {
            let mutant = match outcome.scenario {
                Scenario::Baseline => {
                    ran.baseline = outcome.summary == "Success";
                    continue;
                }
                Scenario::Mutant(mutant) => mutant,
            };
            ran.seconds += outcome
                .phase_results
                .iter()
                .map(|p| p.duration)
                .sum::<f64>();
            match outcome.summary.as_str() {
                "CaughtMutant" => ran.caught += 1,
                "Timeout" => ran.hung += 1,
                "Unviable" => ran.unviable += 1,
                "MissedMutant" => {
                    ran.survived += 1;
                    ran.survivors.insert(mutant.gap(&source(&mutant.file)?));
                }
                other => ran.unclear.push(format!("{}: {other}", mutant.name)),
            }
        }
        Ok(ran)
    }
}

impl Mutant {
    /// Reads what `cargo mutants --list --json` prints.
    ///
    /// # Errors
    /// When it is in another form.
    pub(crate) fn list(text: &str) -> Result<Vec<Self>, Failure> {
        serde_json::from_str(text).during(|| "read the list of mutants".to_owned())
    }

    /// The mutation without its line number, which would be wrong after the next edit.
    fn gap(&self, source: &str) -> Gap {
        let function = self.function.as_ref();
        let function = function.map_or("", |function| function.function_name.as_str());
        // `file:line:column: replace this with that in function`
        let name = self.name.splitn(4, ':').last().unwrap_or_default().trim();
        let what = name
            .strip_suffix(function)
            .and_then(|name| name.strip_suffix(" in "))
            .unwrap_or(name);
        let line = source.lines().nth(self.span.start.line.saturating_sub(1));
        Gap {
            file: self.file.clone(),
            function: function.to_owned(),
            line: quotable(line.unwrap_or_default()),
            what: quotable(what),
        }
    }
}

/// The list quotes with backticks.
fn quotable(text: &str) -> String {
    text.trim().replace('`', "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(summary: &str, name: &str, function: &str, line: u32) -> String {
        format!(
            r#"{{"scenario": {{"Mutant": {{"name": "{name}", "package": "p", "file": "core/a.rs",
                "function": {{"function_name": "{function}", "return_type": "", "span": {{}}}},
                "span": {{"start": {{"line": {line}, "column": 1}}, "end": {{}}}},
                "replacement": "", "genre": "BinaryOperator"}}}},
              "summary": "{summary}", "log_path": "x", "diff_path": "y",
              "phase_results": [{{"phase": "Build", "duration": 1.5, "process_status": "Success", "argv": []}},
                                {{"phase": "Test", "duration": 0.5, "process_status": "Success", "argv": []}}]}}"#
        )
    }

    fn outcomes(all: &[String]) -> String {
        let baseline = r#"{"scenario": "Baseline", "summary": "Success", "phase_results": []}"#;
        format!(
            r#"{{"outcomes": [{baseline}, {}], "total_mutants": 9}}"#,
            all.join(",")
        )
    }

    // Guards: a survivor read as caught; and one that gets another name whenever a line above it moves.
    #[test]
    fn survivor_is_named_by_its_function_and_line() {
        let text = outcomes(&[
            outcome(
                "MissedMutant",
                "core/a.rs:2:8: replace || with && in Lock<F>::open",
                "Lock<F>::open",
                2,
            ),
            outcome("CaughtMutant", "core/a.rs:2:8: delete ! in f", "f", 2),
            outcome("Timeout", "core/a.rs:2:8: delete ! in f", "f", 2),
            outcome("Unviable", "core/a.rs:2:8: delete ! in f", "f", 2),
            outcome("Failure", "core/a.rs:2:8: delete ! in f", "f", 2),
        ]);
        let ran = Ran::parse(&text, |_| Ok("fn open() {\n    if a || b {\n".to_owned())).unwrap();
        assert!(ran.baseline);
        assert_eq!((ran.caught, ran.hung, ran.unviable), (1, 1, 1));
        assert_eq!(ran.unclear, ["core/a.rs:2:8: delete ! in f: Failure"]);
        assert_eq!(ran.tried(), 5);
        assert!((ran.seconds - 10.0).abs() < 0.01);
        let found: Vec<String> = ran.survivors.iter().map(Gap::to_string).collect();
        assert_eq!(
            found,
            ["- `Lock<F>::open` `if a || b {` `replace || with &&`: "]
        );
    }

    // Guards: a run whose tests fail without any mutation, which would call every mutant caught.
    #[test]
    fn failed_baseline_is_seen() {
        let text = r#"{"outcomes": [{"scenario": "Baseline", "summary": "Failure", "phase_results": []}]}"#;
        let ran = Ran::parse(text, |_| Ok(String::new())).unwrap();
        assert!(!ran.baseline);
        assert_eq!(ran.tried(), 0);
    }
}
