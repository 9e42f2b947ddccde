//! `tests/run planted [NAME]`.

use crate::context::Context;
use crate::failure::Failure;
use crate::lane_log::LaneLog;
use crate::lanes;
use crate::tally::Tally;

pub(super) fn run(name: Option<&str>) -> Result<Tally, Failure> {
    let context = Context::open(false)?;
    let mut log = LaneLog::create(&context, "planted")?;
    let report = lanes::plant_all(&context, &mut log, name)?;
    for line in report.notes.iter().chain(&report.problems) {
        println!("{line}");
    }
    Ok(report.checks)
}
