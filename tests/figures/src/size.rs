//! P15: the size of the installed daemon.

use std::path::{Path, PathBuf};
use std::process::Command;

use drawbridge_support::household::Programs;

use crate::Failure;
use crate::figure::Figure;

/// The goal, in MB.
const GOAL_MB: f64 = 5.0;

/// Builds the daemon as it is installed, with BlueZ, and as the demo has it, without, and weighs
/// both files; the release profile strips them.
pub(crate) fn measure() -> Result<(), Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .ok_or("no workspace")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(root)
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "drawbridge-daemon",
        ])
        .args(["--bin", "drawbridged"])
        .status()?;
    if !built.success() {
        return Err("drawbridged does not build with BlueZ".into());
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let installed = weigh(&target.join("release/drawbridged"))?;
    // Last, so that the programs are in place that the other figures use.
    let lean = weigh(&Programs::build(false)?.path("drawbridged"))?;
    Figure::at_most("P15", "drawbridged with BlueZ", installed, "MB", GOAL_MB, 1)
        .beside("Greengrass lite 5 MB")
        .with("machine", std::env::consts::ARCH)
        .gated()
        .print();
    Figure::information("P15", "drawbridged without BlueZ", lean, "MB", 1)
        .gated()
        .print();
    Ok(())
}

/// In MB of 1,000,000 bytes.
fn weigh(file: &Path) -> Result<f64, Failure> {
    Ok(std::fs::metadata(file)?.len() as f64 / 1e6)
}
