//! Every test of the workspace but the bench's, at the counts of this run.

use super::Report;
use crate::context::Context;
use crate::counts::{self, Count};
use crate::failure::Failure;
use crate::harness::TestRun;
use crate::lane_log::LaneLog;
use crate::suite::Suite;

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    run_all(context, Suite::workspace(context), log)
}

/// Runs these suites and holds the counts that their tests print against those of this run.
pub(super) fn run_all(
    context: &Context,
    suites: Vec<Suite<'_>>,
    log: &mut LaneLog<'_>,
) -> Result<Report, Failure> {
    let (mut all_ok, mut tests) = (true, TestRun::default());
    for suite in suites {
        let Some(executables) = suite.build(log)? else {
            return Ok(Report::problem("the tests do not compile"));
        };
        let (ok, run) = suite.run(log, &executables, None)?;
        all_ok &= ok;
        tests.add(run);
    }
    let mut report = Report {
        checks: tests.tally,
        ..Report::default()
    };
    report.problems.extend(tests.problems.iter().cloned());
    report.expect(all_ok, || {
        format!(
            "cargo test failed; repeat with DRAWBRIDGE_SEED={}",
            context.origin.seed
        )
    });
    report.expect(tests.tally.passed > 0, || "no test ran".to_owned());
    if !all_ok {
        log.show();
    }
    for line in tests.cases.iter().flat_map(|case| &case.output) {
        if !counts::is_evidence(line) {
            continue;
        }
        report.notes.push(line.trim().to_owned());
        match Count::parse(line) {
            Some(Ok(count)) => report.problems.extend(count.shortfall(context.full)),
            Some(Err(problem)) => report.problems.push(problem),
            None => {}
        }
    }
    report.tests = tests;
    Ok(report)
}
