//! Flash and RAM of protocol and lock core as linked code: a minimal image that handles one
//! handshake and one command (P13 without its radio), less the same board without a lock.

use std::fmt::Write as _;

use super::Report;
use crate::claims::split_id;
use crate::context::Context;
use crate::elf::{self, Sizes};
use crate::failure::{During, Failure};
use crate::figure;
use crate::harness;
use crate::lane_log::LaneLog;
use crate::symbols;
use crate::tally::grouped;
use crate::tree;

const FOLDER: &str = "lock-firmware/size-image";
/// nRF52840 and nRF54L15.
const TARGETS: [&str; 2] = ["thumbv7em-none-eabihf", "thumbv8m.main-none-eabihf"];
/// The program with the lock, and the one without.
const LOCK: &str = "lock";
const BASELINE: &str = "baseline";

/// Where sizes are on record; the lane writes what it saw to [`SEEN`].
const RECORD: &str = "docs/sizes.md";
const SEEN: &str = "target/size-image/sizes.md";
/// How far a size may be from the record before somebody has to look, in percent.
const DRIFT_PERCENT: u64 = 2;

/// Goal and limit of P13 for our part without the radio, in bytes (docs/assurance.md).
const FLASH_GOAL: u64 = 44 * 1024;
const FLASH_LIMIT: u64 = 80 * 1024;
const RAM_GOAL: u64 = 6 * 1024;
const RAM_LIMIT: u64 = 10 * 1024;
const CLAIM: &str = "P13";

/// What its README says should go first; printed, so that whoever must shrink it need not search.
const FIRST_TO_GO: &str = "First to go: ";

/// What one target needs.
struct Measured {
    target: &'static str,
    lock: Sizes,
    baseline: Sizes,
    owners: Vec<(&'static str, u64)>,
}

impl Measured {
    fn flash(&self) -> u64 {
        self.lock.flash().saturating_sub(self.baseline.flash())
    }

    fn ram(&self) -> u64 {
        self.lock.ram().saturating_sub(self.baseline.ram())
    }

    fn line(&self) -> String {
        format!(
            "EVIDENCE {} on {}: text {} data {} bss {} B, without the lock {} {} {} B; our part: flash {} B (goal {}, fails above {}), RAM {} B without stack (goal {}, fails above {})",
            LOCK,
            self.target,
            grouped(self.lock.text),
            grouped(self.lock.data),
            grouped(self.lock.bss),
            grouped(self.baseline.text),
            grouped(self.baseline.data),
            grouped(self.baseline.bss),
            grouped(self.flash()),
            grouped(FLASH_GOAL),
            grouped(FLASH_LIMIT),
            grouped(self.ram()),
            grouped(RAM_GOAL),
            grouped(RAM_LIMIT),
        )
    }
}

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    if !context.root.join(FOLDER).join("Cargo.toml").is_file() {
        return Ok(Report::problem(format!("{FOLDER} does not exist")));
    }
    let mut report = Report::default();
    let mut all = Vec::new();
    for target in TARGETS {
        all.push(measure(context, log, target)?);
    }
    let known = tree::read(&context.root, "docs/known-issues.md")?;
    let excused = figure::is_headed(&known, split_id(CLAIM));
    for measured in &all {
        let note = if excused {
            " (docs/known-issues.md)"
        } else {
            ""
        };
        report.notes.push(format!("{}{note}", measured.line()));
        let fits = measured.flash() <= FLASH_LIMIT;
        report.expect(fits || excused, || {
            format!("{}: the lock needs too much flash", measured.target)
        });
        let fits = measured.ram() <= RAM_LIMIT;
        report.expect(fits || excused, || {
            format!("{}: the lock needs too much RAM", measured.target)
        });
    }
    for (owner, bytes) in all.first().into_iter().flat_map(|first| &first.owners) {
        report
            .notes
            .push(format!("{:>9} B {owner}", grouped(*bytes)));
    }
    let seen = page(&all);
    std::fs::write(context.root.join(SEEN), &seen).during(|| format!("write {SEEN}"))?;
    let record = std::fs::read_to_string(context.root.join(RECORD)).unwrap_or_default();
    report.problems.extend(drifts(&record, &all));
    let readme = tree::read(&context.root, format!("{FOLDER}/README.md"))?;
    match readme.lines().find(|line| line.starts_with(FIRST_TO_GO)) {
        Some(line) => report.notes.push(line.to_owned()),
        None => report
            .problems
            .push(format!("{FOLDER}/README.md has no line `{FIRST_TO_GO}...`")),
    }
    Ok(report)
}

fn measure(
    context: &Context,
    log: &mut LaneLog<'_>,
    target: &'static str,
) -> Result<Measured, Failure> {
    let built = context.root.join("target/size-image");
    let mut command = context.cargo(["build", "--locked", "--release", "--target", target]);
    command
        .current_dir(context.root.join(FOLDER))
        .env("CARGO_TARGET_DIR", &built)
        .arg("--message-format=json-render-diagnostics");
    let programs = harness::executables(&log.read(command)?);
    let read = |name: &str| {
        if !programs.contains_key(name) {
            return Err(Failure::new(format!("find the program {name} of {FOLDER}")));
        }
        let path = built.join(target).join("release").join(name);
        std::fs::read(&path).during(|| format!("read {}", path.display()))
    };
    let lock = read(LOCK)?;
    Ok(Measured {
        target,
        lock: elf::sizes(&lock)?,
        baseline: elf::sizes(&read(BASELINE)?)?,
        owners: symbols::by_owner(&lock)?,
    })
}

/// The page of [`RECORD`].
fn page(all: &[Measured]) -> String {
    let mut text = String::from(
        "# Sizes\n\nProtocol and lock core as linked code, in bytes, without a radio: `lock-firmware/size-image`, less the same board\nwithout a lock. Written by `tests/run sizes`, which fails when a size is more than 2 % from this page; copy\n`target/size-image/sizes.md` here then. RAM is without the stack.\n\n| target | text | data | bss | board alone | our flash | our RAM |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    // Writing to a string cannot fail.
    for measured in all {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            measured.target,
            grouped(measured.lock.text),
            grouped(measured.lock.data),
            grouped(measured.lock.bss),
            grouped(measured.baseline.flash()),
            grouped(measured.flash()),
            grouped(measured.ram()),
        );
    }
    let _ = writeln!(
        text,
        "\nP13: goal {} of flash and {} of RAM, limit {} and {}. What should go first, stack and instructions:\n[lock-firmware/size-image](../lock-firmware/size-image/README.md).",
        grouped(FLASH_GOAL),
        grouped(RAM_GOAL),
        grouped(FLASH_LIMIT),
        grouped(RAM_LIMIT),
    );
    if let Some(first) = all.first() {
        let _ = writeln!(
            text,
            "\nFlash on {}, by owner of the symbols:\n\n| owner | bytes |\n| --- | ---: |",
            first.target
        );
        for (owner, bytes) in &first.owners {
            let _ = writeln!(text, "| {owner} | {} |", grouped(*bytes));
        }
    }
    text
}

/// Where the record says something else than was measured.
fn drifts(record: &str, all: &[Measured]) -> Vec<String> {
    let mut problems = Vec::new();
    for measured in all {
        let Some((flash, ram)) = recorded(record, measured.target) else {
            problems.push(format!("{RECORD} has no sizes of {}", measured.target));
            continue;
        };
        for (what, was, is) in [
            ("flash", flash, measured.flash()),
            ("RAM", ram, measured.ram()),
        ] {
            if was.abs_diff(is) * 100 > was * DRIFT_PERCENT {
                problems.push(format!(
                    "{}: {what} is {} B, {RECORD} says {}: see why, then copy {SEEN} there",
                    measured.target,
                    grouped(is),
                    grouped(was),
                ));
            }
        }
    }
    problems
}

/// Our flash and RAM of `target`: the last two cells of its row.
fn recorded(record: &str, target: &str) -> Option<(u64, u64)> {
    let start = format!("| {target} |");
    let row = record.lines().find(|line| line.starts_with(&start))?;
    let mut cells = row.trim_end_matches('|').rsplit('|');
    let mut number = || cells.next()?.trim().replace(',', "").parse().ok();
    let ram = number()?;
    Some((number()?, ram))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(text: u64) -> Measured {
        Measured {
            target: "thumb",
            lock: Sizes {
                text,
                data: 0,
                bss: 3_000,
            },
            baseline: Sizes {
                text: 1_000,
                data: 0,
                bss: 0,
            },
            owners: vec![("protocol", 7)],
        }
    }

    // Guards: a lock that grows unseen because its record is never compared, or cannot be read back.
    #[test]
    fn sizes_off_the_record_are_a_problem() {
        let record = page(&[measured(101_000)]);
        assert_eq!(recorded(&record, "thumb"), Some((100_000, 3_000)));
        assert!(drifts(&record, &[measured(102_900)]).is_empty());
        assert_eq!(drifts(&record, &[measured(103_100)]).len(), 1);
        assert_eq!(drifts(&record, &[measured(98_000)]).len(), 1);
        assert_eq!(drifts("", &[measured(101_000)]).len(), 1);
    }
}
