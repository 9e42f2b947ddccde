//! Clippy with warnings denied, with BlueZ and without (as the demo builds the daemon).
//!
//! Both times the whole workspace: what a package alone asks of its dependencies differs enough that most
//! of them would be compiled once more.

use super::Report;
use crate::context::Context;
use crate::failure::Failure;
use crate::lane_log::LaneLog;

const SELECTIONS: &[&[&str]] = &[&["--workspace"], &["--workspace", "--no-default-features"]];

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    let mut report = Report::default();
    for selection in SELECTIONS {
        let mut command = context.cargo(["clippy", "--locked", "--all-targets"]);
        command.args(*selection).args(["--", "-D", "warnings"]);
        let ended = log.run(command)?;
        report.expect(ended.ok, || {
            format!("clippy {} has warnings", selection.join(" "))
        });
    }
    Ok(report)
}
