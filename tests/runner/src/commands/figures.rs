//! `tests/run figures [--json] [--write]`.

use crate::context::Context;
use crate::failure::{During, Failure};
use crate::history::{self, History};
use crate::lane_log::LaneLog;
use crate::lanes;
use crate::tally::Tally;

pub(super) fn run(json: bool, full: bool, write: bool) -> Result<Tally, Failure> {
    let context = Context::open(full)?;
    let mut log = LaneLog::create(&context, "figures")?;
    let mut report = lanes::measure(&context, &mut log, None)?;
    if write {
        history::append(&context, &report.figures)?;
    } else {
        let history = History::load(&context.root)?;
        report.problems.extend(history.differences(&report.figures));
    }
    for figure in report.figures.iter().filter(|_| json) {
        println!(
            "{}",
            serde_json::to_string(figure).during(|| "write a figure".to_owned())?
        );
    }
    for note in report.notes.iter().filter(|_| !json) {
        println!("{note}");
    }
    for problem in &report.problems {
        eprintln!("tests/run: {problem}");
    }
    let mut tally = report.checks;
    tally += Tally::of(report.problems.is_empty());
    Ok(tally)
}
