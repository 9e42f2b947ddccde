//! Plants each known bug in a copy of the project and expects its test to fail.
//!
//! **A plant counts as caught only if the test passes without it, the code still compiles with
//! it, and then a test fails.** Everything else is a plant that shows nothing, and fails.

use std::time::Duration;

use super::Report;
use crate::context::Context;
use crate::copy::Copy;
use crate::failure::{During, Failure};
use crate::lane_log::LaneLog;
use crate::plant::{self, Catch, Plant};
use crate::suite::Suite;
use crate::tally::Tally;
use crate::tree;

/// For each build and each test run: a bug may well hang its test.
const LIMIT: Duration = Duration::from_mins(15);

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    plant_all(context, log, None)
}

/// Plants all bugs, or the one with this name.
///
/// # Errors
/// When the copy cannot be made or no plant has the name.
pub(crate) fn plant_all(
    context: &Context,
    log: &mut LaneLog<'_>,
    only: Option<&str>,
) -> Result<Report, Failure> {
    let plants: Vec<Plant> = plant::load_all(&context.root)?
        .into_iter()
        .filter(|plant| only.is_none_or(|name| name == plant.name))
        .collect();
    if plants.is_empty() {
        return Err(Failure::usage("no such planted bug in tests/planted"));
    }
    let copy = Copy::below(&context.root.join("target/planted"));
    copy.refresh(&context.root)?;
    log.limit = Some(LIMIT);
    let mut report = Report::default();
    for plant in &plants {
        let outcome = try_plant(&copy, context, log, plant)?;
        let line = format!("{}: {} ({})", plant.name, outcome.words(), plant.claim);
        report.checks += Tally::of(outcome == Outcome::Caught);
        if outcome == Outcome::Caught {
            report.notes.push(line);
        } else {
            report.problems.push(line);
        }
    }
    Ok(report)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Caught,
    Missed,
    Useless(String),
}

impl Outcome {
    fn words(&self) -> String {
        match self {
            Self::Caught => "caught".to_owned(),
            Self::Missed => "missed".to_owned(),
            Self::Useless(why) => format!("missed: {why}"),
        }
    }
}

fn try_plant(
    copy: &Copy,
    context: &Context,
    log: &mut LaneLog<'_>,
    plant: &Plant,
) -> Result<Outcome, Failure> {
    log.note(&format!("planting {}", plant.name));
    let path = copy.tree.join(&plant.file);
    let original = tree::read(&copy.tree, &plant.file)?;
    let planted = match plant.apply(&original) {
        Ok(text) => text,
        Err(error) => {
            return Ok(Outcome::Useless(format!(
                "stale: could not {}",
                error.chain()
            )));
        }
    };
    let Catch {
        package,
        target,
        test,
        features,
    } = &plant.catch;
    let suite = Suite::of(context, package, target.as_deref(), features);
    let Some(mut suite) = suite else {
        return Ok(Outcome::Useless(
            "its target is not lib, test:NAME or bin:NAME".to_owned(),
        ));
    };
    suite.copy = Some((&copy.tree, &copy.build));
    let before = tests_pass(&suite, log, test)?;
    if before != Some(true) {
        return Ok(Outcome::Useless(
            "its test does not pass without the bug".to_owned(),
        ));
    }
    std::fs::write(&path, &planted).during(|| format!("write {}", path.display()))?;
    let after = tests_pass(&suite, log, test);
    // Put it back before anything can return, or the next plant would meet two bugs.
    std::fs::write(&path, original).during(|| format!("write {}", path.display()))?;
    Ok(match after? {
        Some(true) => Outcome::Missed,
        Some(false) => Outcome::Caught,
        None => {
            Outcome::Useless("the code with the bug does not compile, or no test ran".to_owned())
        }
    })
}

/// Whether the tests pass; `None` if they do not compile, none ran, or they ran out of time.
fn tests_pass(
    suite: &Suite<'_>,
    log: &mut LaneLog<'_>,
    filter: &str,
) -> Result<Option<bool>, Failure> {
    let Some(executables) = suite.build(log)? else {
        return Ok(None);
    };
    let (ok, run) = suite.run(log, &executables, Some(filter))?;
    let all = run.tally.passed + run.tally.failed;
    if all == 0 || run.problems.iter().any(|problem| problem == "out of time") {
        return Ok(None);
    }
    Ok(Some(ok && run.tally.is_green()))
}
