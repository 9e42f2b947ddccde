//! `tests/run --id S32`: just what shows one number.

use crate::claims::{Claim, Status};
use crate::context::Context;
use crate::failure::{During, Failure};
use crate::lane_log::LaneLog;
use crate::lanes;
use crate::suite::Suite;
use crate::tally::Tally;
use crate::tree;
use crate::verdict::{self, Shown};

pub(super) fn run(id: &str, full: bool) -> Result<Tally, Failure> {
    let context = Context::open(full)?;
    let claim = context.claims.find(id).ok_or_else(|| {
        Failure::usage(format!(
            "unknown number {id}; `tests/run --list` prints all that there are"
        ))
    })?;
    let mut log = LaneLog::create(&context, &claim.id.to_lowercase())?;
    let shown = show(&context, claim, &mut log)?;
    let verdict = verdict::judge(claim, full, &shown);
    println!(
        "{}",
        serde_json::to_string(&verdict).during(|| "write the verdict".to_owned())?
    );
    if !verdict.passed {
        if claim.status == Status::Done {
            log.show();
        }
        for problem in &verdict.problems {
            eprintln!("tests/run: {}: {problem}", claim.id);
        }
        eprintln!("tests/run: seed {}", context.origin.seed);
    }
    Ok(Tally::of(verdict.passed))
}

/// Runs all that the claim lists; what cannot run is simply not shown.
fn show(context: &Context, claim: &Claim, log: &mut LaneLog<'_>) -> Result<Shown, Failure> {
    let mut shown = Shown {
        known_issues: tree::read(&context.root, "docs/known-issues.md")?,
        ..Shown::default()
    };
    for test in &claim.tests {
        let suite = Suite::of(context, &test.package, Some(&test.target), &test.features);
        let Some(suite) = suite else {
            continue;
        };
        let Some(executables) = suite.build(log)? else {
            continue;
        };
        let (_, run) = suite.run(log, &executables, Some(&test.filter))?;
        shown.tests.cases.extend(run.cases);
    }
    for id in &claim.lanes {
        let result = lanes::run(context, lanes::find(id)?);
        for problem in &result.report.problems {
            eprintln!("tests/run: lane {id}: {problem}");
        }
        shown.lanes.insert(id.clone(), result.ok());
    }
    if !claim.figures.is_empty() {
        let report = lanes::measure(context, log, Some(&claim.id))?;
        shown.figures = report.figures;
    }
    Ok(shown)
}
