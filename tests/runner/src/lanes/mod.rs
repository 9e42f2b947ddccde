//! The lanes: one file each, run in this order, cheapest first.

mod bench;
mod chip;
mod ciphers;
mod claims;
mod clippy;
mod coverage;
mod demo;
mod deny;
mod figures;
mod format;
mod fuzz;
mod mutants;
mod planted;
mod rules;
mod sizes;
mod tests;

use std::time::{Duration, Instant};

use crate::claims::Status;
use crate::context::Context;
use crate::failure::Failure;
use crate::figure::Figure;
use crate::harness::TestRun;
use crate::lane_log::LaneLog;
use crate::tally::Tally;
use crate::verdict::Verdict;

pub(crate) use claims::judge_all;
pub(crate) use figures::measure;
pub(crate) use mutants::mutate;
pub(crate) use planted::plant_all;

/// One lane.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) id: &'static str,
    /// What it shows, in a few words.
    pub(crate) about: &'static str,
    /// Too long for the quick lane.
    pub(crate) full_only: bool,
    run: fn(&Context, &mut LaneLog<'_>) -> Result<Report, Failure>,
}

/// What a lane found. **A lane passed only if `problems` is empty.**
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) problems: Vec<String>,
    /// Lines worth reading in a green run.
    pub(crate) notes: Vec<String>,
    /// Checks within the lane that count one by one.
    pub(crate) checks: Tally,
    pub(crate) tests: TestRun,
    pub(crate) figures: Vec<Figure>,
}

/// A lane's report and how long it took.
#[derive(Debug)]
pub(crate) struct LaneResult {
    pub(crate) id: &'static str,
    pub(crate) took: Duration,
    pub(crate) report: Report,
}

/// Every lane of the runner.
pub(crate) const ALL: &[Lane] = &[
    Lane {
        id: "format",
        about: "rustfmt",
        full_only: false,
        run: format::run,
    },
    Lane {
        id: "rules",
        about: "the repository's own rules",
        full_only: false,
        run: rules::run,
    },
    Lane {
        id: "ciphers",
        about: "only authenticated ciphers",
        full_only: false,
        run: ciphers::run,
    },
    Lane {
        id: "deny",
        about: "licences, bans, sources, advisories",
        full_only: false,
        run: deny::run,
    },
    Lane {
        id: "clippy",
        about: "clippy, warnings denied",
        full_only: false,
        run: clippy::run,
    },
    Lane {
        id: "chip",
        about: "protocol and lock core on both chips",
        full_only: false,
        run: chip::run,
    },
    Lane {
        id: "sizes",
        about: "linked size of protocol and lock core on both chips",
        full_only: false,
        run: sizes::run,
    },
    Lane {
        id: "tests",
        about: "every test of the workspace but the bench's",
        full_only: false,
        run: tests::run,
    },
    Lane {
        id: "bench",
        about: "guests in which the hub meets locks over BlueZ",
        full_only: false,
        run: bench::run,
    },
    Lane {
        id: "fuzz",
        about: "every decoder that strangers feed, fuzzed",
        full_only: false,
        run: fuzz::run,
    },
    Lane {
        id: "demo",
        about: "cargo demo, start to end",
        full_only: false,
        run: demo::run,
    },
    Lane {
        id: "figures",
        about: "performance figures",
        full_only: true,
        run: figures::run,
    },
    Lane {
        id: "planted",
        about: "planted bugs are caught",
        full_only: true,
        run: planted::run,
    },
    Lane {
        id: "coverage",
        about: "branches that no test of their package takes",
        full_only: true,
        run: coverage::run,
    },
    Lane {
        id: "mutants",
        about: "changes to the code that decides are caught",
        full_only: true,
        run: mutants::run,
    },
];

/// Ids of all lanes.
pub(crate) fn ids() -> Vec<&'static str> {
    ALL.iter().map(|lane| lane.id).collect()
}

/// The lane with this id.
///
/// # Errors
/// A usage failure that lists the ids.
pub(crate) fn find(id: &str) -> Result<&'static Lane, Failure> {
    ALL.iter()
        .find(|lane| lane.id == id)
        .ok_or_else(|| Failure::usage(format!("no lane {id}; there are: {}", ids().join(", "))))
}

impl Report {
    /// A report that only says what is wrong.
    pub(crate) fn problem(text: impl Into<String>) -> Self {
        Self {
            problems: vec![text.into()],
            ..Self::default()
        }
    }

    /// Notes a problem unless `ok`.
    pub(crate) fn expect(&mut self, ok: bool, problem: impl FnOnce() -> String) {
        if !ok {
            self.problems.push(problem());
        }
    }
}

impl LaneResult {
    /// Whether nothing is wrong.
    pub(crate) fn ok(&self) -> bool {
        self.report.problems.is_empty() && self.report.checks.is_green()
    }

    /// Its checks, and one for the lane itself.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = self.report.checks;
        tally += Tally::of(self.ok());
        tally
    }
}

/// Why a lane is not run, if it is not.
pub(crate) fn skipped(context: &Context, lane: &Lane) -> Option<String> {
    let entry = context
        .claims
        .lanes
        .iter()
        .find(|entry| entry.id == lane.id)?;
    if entry.status == Status::Open {
        let issue = entry.issue.as_deref().unwrap_or("no issue");
        return Some(format!("not yet; it comes with: {issue}"));
    }
    (lane.full_only && !context.full).then(|| "in the full lane only".to_owned())
}

/// Runs one lane. A lane that cannot do its work has failed.
pub(crate) fn run(context: &Context, lane: &Lane) -> LaneResult {
    let start = Instant::now();
    let report = LaneLog::create(context, lane.id)
        .and_then(|mut log| {
            let report = (lane.run)(context, &mut log)?;
            for line in report.notes.iter().chain(&report.problems) {
                log.note(line);
            }
            Ok(report)
        })
        .unwrap_or_else(|error| Report::problem(format!("could not {}", error.chain())));
    LaneResult {
        id: lane.id,
        took: start.elapsed(),
        report,
    }
}

/// Prints what a lane found.
pub(crate) fn print(result: &LaneResult) {
    for note in &result.report.notes {
        println!("    {note}");
    }
    for problem in &result.report.problems {
        println!("    FAILED: {problem}");
    }
}

/// Prints verdicts that did not hold.
pub(crate) fn print_verdict(verdict: &Verdict) {
    for problem in &verdict.problems {
        println!("    FAILED: {}: {problem}", verdict.id);
    }
}
