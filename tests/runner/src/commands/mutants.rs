//! `tests/run mutants [PART]`.

use crate::context::Context;
use crate::failure::Failure;
use crate::lane_log::LaneLog;
use crate::lanes;
use crate::tally::Tally;

pub(super) fn run(file: Option<&str>) -> Result<Tally, Failure> {
    let context = Context::open(false)?;
    let mut log = LaneLog::create(&context, "mutants")?;
    let report = lanes::mutate(&context, &mut log, file)?;
    for line in report.notes.iter().chain(&report.problems) {
        println!("{line}");
    }
    let mut tally = report.checks;
    tally += Tally::of(report.problems.is_empty());
    Ok(tally)
}
