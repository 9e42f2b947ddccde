//! Protocol, lock core and its Bluetooth compile for the chips: no std, no heap by accident.

use super::Report;
use crate::context::Context;
use crate::failure::Failure;
use crate::lane_log::LaneLog;

/// nRF52840 (Cortex-M4F) and nRF54L15 (Cortex-M33).
const TARGETS: &[&str] = &["thumbv7em-none-eabihf", "thumbv8m.main-none-eabihf"];

const PACKAGES: &[&[&str]] = &[
    &[
        "drawbridge-protocol",
        "--no-default-features",
        "--features",
        "responder",
    ],
    &["drawbridge-lock"],
    &["drawbridge-lock-ble"],
];

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    let mut report = Report::default();
    for target in TARGETS {
        for package in PACKAGES {
            let mut command = context.cargo(["build", "--locked", "--lib", "--target", target]);
            command.arg("--package").args(*package);
            let ended = log.run(command)?;
            let name = package.first().copied().unwrap_or_default();
            report.expect(ended.ok, || format!("{name} does not build for {target}"));
            if ended.ok {
                report.notes.push(format!("{name} builds for {target}"));
            }
        }
    }
    Ok(report)
}
