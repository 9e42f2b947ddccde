//! Flash and RAM of protocol and lock core as linked code: a minimal image that handles one
//! handshake and one command (P13 without its radio).

use super::Report;
use crate::context::Context;
use crate::elf;
use crate::failure::{During, Failure};
use crate::harness;
use crate::lane_log::LaneLog;
use crate::tally::grouped;

const FOLDER: &str = "lock-firmware/size-image";
const TARGET: &str = "thumbv7em-none-eabihf";

/// Goal and limit of P13 for our part without the radio, in bytes (docs/assurance.md).
const FLASH_GOAL: u64 = 44 * 1024;
const FLASH_LIMIT: u64 = 80 * 1024;
const RAM_GOAL: u64 = 6 * 1024;
const RAM_LIMIT: u64 = 10 * 1024;

/// What its README says should go first; printed, so that whoever must shrink it need not search.
const FIRST_TO_GO: &str = "First to go: ";

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    let folder = context.root.join(FOLDER);
    if !folder.join("Cargo.toml").is_file() {
        return Ok(Report::problem(format!("{FOLDER} does not exist")));
    }
    let mut command = context.cargo(["build", "--release", "--target", TARGET]);
    command
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", context.root.join("target/size-image"))
        .arg("--message-format=json-render-diagnostics");
    let messages = log.read(command)?;
    let names = harness::executables(&messages);
    if names.is_empty() {
        return Ok(Report::problem(format!("{FOLDER} built no program")));
    }
    let mut report = Report::default();
    for name in names.keys() {
        let path = context
            .root
            .join("target/size-image")
            .join(TARGET)
            .join("release")
            .join(name);
        let image = std::fs::read(&path).during(|| format!("read {}", path.display()))?;
        let sizes = elf::sizes(&image)?;
        report.notes.push(format!(
            "EVIDENCE {name} on {TARGET}: text {} data {} bss {} B; flash {} B (goal {}, fails above {}), RAM {} B without stack (goal {}, fails above {})",
            grouped(sizes.text),
            grouped(sizes.data),
            grouped(sizes.bss),
            grouped(sizes.flash()),
            grouped(FLASH_GOAL),
            grouped(FLASH_LIMIT),
            grouped(sizes.ram()),
            grouped(RAM_GOAL),
            grouped(RAM_LIMIT),
        ));
        report.expect(sizes.flash() <= FLASH_LIMIT, || {
            format!("{name} needs too much flash")
        });
        report.expect(sizes.ram() <= RAM_LIMIT, || {
            format!("{name} needs too much RAM")
        });
    }
    let readme = std::fs::read_to_string(folder.join("README.md"))
        .during(|| format!("read {FOLDER}/README.md"))?;
    match readme.lines().find(|line| line.starts_with(FIRST_TO_GO)) {
        Some(line) => report.notes.push(line.to_owned()),
        None => report
            .problems
            .push(format!("{FOLDER}/README.md has no line `{FIRST_TO_GO}...`")),
    }
    Ok(report)
}
