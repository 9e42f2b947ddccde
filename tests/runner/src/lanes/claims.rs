//! Every number that is said to be done, judged by what the lanes of this run showed.

use std::collections::BTreeMap;

use super::{LaneResult, Report};
use crate::claims::Status;
use crate::context::Context;
use crate::failure::Failure;
use crate::harness::TestRun;
use crate::tally::Tally;
use crate::tree;
use crate::verdict::{self, Shown, Verdict};

/// Judges all done claims against a whole run.
///
/// # Errors
/// When `docs/known-issues.md` cannot be read.
pub(crate) fn judge_all(
    context: &Context,
    results: &[LaneResult],
) -> Result<(Report, Vec<Verdict>), Failure> {
    let mut shown = Shown {
        known_issues: tree::read(&context.root, "docs/known-issues.md")?,
        ..Shown::default()
    };
    let mut lanes = BTreeMap::new();
    for result in results {
        lanes.insert(result.id.to_owned(), result.ok());
        if ["tests", "bench"].contains(&result.id) {
            let TestRun { cases, .. } = &result.report.tests;
            shown.tests.cases.extend(cases.iter().cloned());
        }
        shown.figures.extend(result.report.figures.iter().cloned());
    }
    shown.lanes = lanes;
    let mut report = Report::default();
    let mut verdicts = Vec::new();
    for claim in context
        .claims
        .claims
        .iter()
        .filter(|claim| claim.status == Status::Done)
    {
        // Figures have their own lane; a run without it says nothing about them.
        let unmeasured = !claim.figures.is_empty() && !shown.lanes.contains_key("figures");
        if unmeasured || (!context.full && claim.is_full_only()) {
            continue;
        }
        let verdict = verdict::judge(claim, context.full, &shown);
        report.checks += Tally::of(verdict.passed);
        verdicts.push(verdict);
    }
    let open: Vec<&str> = context
        .claims
        .claims
        .iter()
        .filter(|claim| claim.status == Status::Open)
        .map(|claim| claim.id.as_str())
        .collect();
    report.notes.push(format!(
        "{} shown, {} open: {}",
        report.checks.passed,
        open.len(),
        open.join(" ")
    ));
    Ok((report, verdicts))
}
