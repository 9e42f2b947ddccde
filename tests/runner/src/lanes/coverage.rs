//! Which branches of the code that decides are taken by the tests of its own package.
//!
//! **A condition that no test of the package makes true, or false, is in `docs/coverage.md` with
//! its reason, or fails the run; so does an entry there that a test has come to take.**

use std::collections::BTreeSet;

use super::Report;
use crate::context::Context;
use crate::coverage::{self, Covered};
use crate::explained::Explained;
use crate::failure::Failure;
use crate::lane_log::LaneLog;
use crate::seed::SEED_VARIABLE;
use crate::tally::Tally;
use crate::tree;

const LIST: &str = "docs/coverage.md";

/// One seed for all runs: a branch taken by luck would be covered on one day and not on the next.
const SEED: &str = "1";

/// Folders of code that decides, without those in them: the lock's flash, store and log below
/// `lock-firmware/core/src` are judged by power cuts at every operation.
const FOLDERS: &[&str] = &[
    "lock-firmware/core/src",
    "protocol/src",
    "protocol/src/noise",
];

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    let list = Explained::load(&context.root, LIST)?;
    // Branches are counted by the nightly compiler only.
    let mut command = context.command("rustup");
    command
        .args([
            "run", "nightly", "cargo", "llvm-cov", "--locked", "--branch",
        ])
        .args([
            "--package",
            "drawbridge-lock",
            "--package",
            "drawbridge-protocol",
        ])
        .arg("--json")
        // Cryptography without optimisation would be half an hour of it; branches are marked first.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .env("DRAWBRIDGE_LANE", "quick")
        .env(SEED_VARIABLE, SEED);
    let text = log.read(command)?;
    // The export is the one line of JSON after what the tests print.
    let text = text
        .lines()
        .rev()
        .find(|line| line.starts_with('{'))
        .ok_or_else(|| Failure::new("find the exported coverage"))?;
    let all = coverage::parse(text)?;
    let mut report = Report::default();
    let mut found = BTreeSet::new();
    let mut judged = BTreeSet::new();
    let mut total = [0; 4];
    for file in tree::files(&context.root)? {
        let name = file.to_string_lossy().into_owned();
        let folder = file
            .parent()
            .map(|folder| folder.to_string_lossy().into_owned());
        if !name.ends_with(".rs") || !folder.is_some_and(|f| FOLDERS.contains(&f.as_str())) {
            continue;
        }
        let path = context.root.join(&file).to_string_lossy().into_owned();
        // A file of names and types alone has nothing that runs.
        let Some(covered) = all.get(&path) else {
            continue;
        };
        let gaps = covered.gaps(&name, &tree::read(&context.root, &file)?);
        report
            .notes
            .push(line_of(&name, numbers(covered), gaps.len()));
        for (sum, number) in total.iter_mut().zip(numbers(covered)) {
            *sum += number;
        }
        report.checks += Tally::of(list.judge(&gaps, |file| file == name).is_empty());
        found.extend(gaps);
        judged.insert(name);
    }
    let listed = list.count(|_| true);
    report.notes.push(line_of("all", total, listed));
    report.expect(total.iter().all(|number| *number > 0), || {
        "nothing was measured".to_owned()
    });
    report.problems.extend(list.judge(&found, |_| true));
    Ok(report)
}

/// Lines that ran, lines, sides of branches that were taken, sides of branches.
fn numbers(covered: &Covered) -> [u64; 4] {
    [
        covered.lines_run,
        covered.lines,
        covered.sides_run() as u64,
        covered.sides() as u64,
    ]
}

fn line_of(name: &str, [run, lines, taken, sides]: [u64; 4], gaps: usize) -> String {
    format!("{name}: {run} of {lines} lines, {taken} of {sides} branches, {gaps} explained")
}
