//! `cargo demo -- --once --json` from start to end, as a stranger would run it.

use std::time::Duration;

use serde::Deserialize;

use super::Report;
use crate::context::Context;
use crate::failure::Failure;
use crate::lane_log::LaneLog;
use crate::process::Errors;
use crate::tally::Tally;

/// After the build, the demo takes no longer.
const LIMIT: Duration = Duration::from_secs(60);

/// One line of its output.
#[derive(Debug, Deserialize)]
struct Step {
    step: String,
    ok: Option<bool>,
    passed: Option<u64>,
    failed: Option<u64>,
}

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    let build = [
        "build",
        "--locked",
        "--quiet",
        "--package",
        "drawbridge-demo",
        "--bins",
    ];
    if !log.run(context.cargo(build))?.ok {
        return Ok(Report::problem("the demo does not build"));
    }
    // Its first run also builds the programs that it starts; the second is timed.
    let words = ["demo", "--", "--once", "--json"];
    let first = log.run_quietly(context.cargo(words), Errors::Apart)?;
    let second = log.run_quietly(context.cargo(words), Errors::Apart)?;
    let mut report = Report::default();
    report.expect(first.ok && second.ok, || {
        "cargo demo did not exit with 0".to_owned()
    });
    report.expect(second.took <= LIMIT, || {
        "cargo demo took over 60 s".to_owned()
    });
    report.notes.push(format!(
        "cargo demo took {:.1} s once built",
        second.took.as_secs_f64()
    ));
    match judge(&second.text) {
        Ok(checks) => report.checks = checks,
        Err(problem) => report.problems.push(problem),
    }
    if !report.problems.is_empty() || !report.checks.is_green() {
        log.show();
    }
    Ok(report)
}

/// Counts the steps, and holds the summary against them.
fn judge(output: &str) -> Result<Tally, String> {
    let mut steps = Tally::default();
    let mut summary = None;
    for line in output.lines().filter(|line| !line.trim().is_empty()) {
        let step: Step =
            serde_json::from_str(line).map_err(|error| format!("not a step ({error}): {line}"))?;
        if summary.is_some() {
            return Err(format!("a line after the summary: {line}"));
        }
        match (step.step.as_str(), step.ok, step.passed, step.failed) {
            ("summary", _, Some(passed), Some(failed)) => summary = Some(Tally { passed, failed }),
            (_, Some(ok), _, _) => steps += Tally::of(ok),
            _ => return Err(format!("a step without `ok`: {line}")),
        }
    }
    match summary {
        Some(summary) if summary == steps && steps.passed > 0 => Ok(steps),
        Some(summary) => Err(format!("the summary says {summary}, the steps {steps}")),
        None => Err("no summary line".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards: a demo that prints a green summary over a failed or missing step.
    #[test]
    fn summary_must_agree_with_the_steps() {
        let pair = r#"{"step":"pair","ok":true,"ms":3}"#;
        let replay = r#"{"step":"replay","ok":false}"#;
        let two = r#"{"step":"summary","passed":2,"failed":0}"#;
        let mixed = r#"{"step":"summary","passed":1,"failed":1}"#;
        assert_eq!(
            judge(&format!("{pair}\n{pair}\n{two}\n")),
            Ok(Tally {
                passed: 2,
                failed: 0
            })
        );
        assert_eq!(
            judge(&format!("{pair}\n{replay}\n{mixed}")),
            Ok(Tally {
                passed: 1,
                failed: 1
            })
        );
        for text in [
            format!("{pair}\n{two}"),
            format!("{pair}\n{replay}\n{two}"),
            format!("{pair}\n{pair}"),
            format!("{pair}\n{two}\n{pair}"),
            "hello\n".to_owned(),
            r#"{"step":"summary","passed":0,"failed":0}"#.to_owned(),
        ] {
            assert!(judge(&text).is_err(), "{text}");
        }
    }
}
