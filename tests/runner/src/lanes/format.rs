//! rustfmt over the workspace and over the packages that stand outside it.

use super::Report;
use crate::context::Context;
use crate::failure::Failure;
use crate::lane_log::LaneLog;

/// Packages with a target and profile of their own, excluded from the workspace.
const APART: &[&str] = &[
    "lock-firmware/size-image/Cargo.toml",
    "tests/fuzz/cargo-fuzz/Cargo.toml",
];

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    let mut report = Report::default();
    let ended = log.run(context.cargo(["fmt", "--all", "--check"]))?;
    report.expect(ended.ok, || {
        "some files are not formatted: run `cargo fmt --all`".to_owned()
    });
    for manifest in APART
        .iter()
        .filter(|manifest| context.root.join(manifest).is_file())
    {
        let words = ["fmt", "--check", "--manifest-path", manifest];
        let ended = log.run(context.cargo(words))?;
        report.expect(ended.ok, || {
            format!("{manifest} has files that are not formatted")
        });
    }
    Ok(report)
}
