//! Changes the code that decides, one operator or one answer at a time, and expects a test to fail.
//!
//! **A survivor is in `docs/mutants.md` with its reason, or fails the run; so does an entry there
//! that a test has come to notice.** The tests are those of the package itself: what only a test
//! of the whole line notices is noticed too late to say where.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Report;
use crate::context::Context;
use crate::copy::Copy;
use crate::explained::Explained;
use crate::failure::Failure;
use crate::lane_log::LaneLog;
use crate::mutants::{Mutant, Ran};
use crate::process::Errors;
use crate::seed::SEED_VARIABLE;
use crate::tally::{Tally, minutes};

const LIST: &str = "docs/mutants.md";

/// One seed for all runs: a survivor by luck would be in the list on one day and not on the next.
const SEED: &str = "1";

/// Code that is changed, and tests that must notice.
struct Group {
    id: &'static str,
    package: &'static str,
    files: &'static [&'static str],
    /// Tests that every mutant meets first.
    first: &'static [&'static str],
    /// Those among them that take most of the time. Only survivors meet them.
    slow: &'static [&'static str],
    /// All tests, for survivors.
    all: &'static [&'static str],
    /// More words for cargo.
    words: &'static [&'static str],
    /// Seconds that a mutant takes on two cores.
    seconds: f64,
}

const GROUPS: &[Group] = &[
    Group {
        id: "lock",
        package: "drawbridge-lock",
        files: &["lock-firmware/core/src/{admission,decided,actuation,intents,sessions}.rs"],
        first: &["--test=lock"],
        slow: &[
            "boot_loop_cannot_flush_the_log",
            "outcome_finds_room_wherever_the_log_fills_up",
            "s05_s06_every_flipped_bit_of_hello_and_handshake",
            "s07_of_any_two_faults",
            "session_ends_after_its_records",
            "thousand_mixed_commands",
        ],
        all: &["--test=lock"],
        words: OPTIMISED_PROTOCOL,
        seconds: 3.0,
    },
    Group {
        id: "session",
        package: "drawbridge-protocol",
        files: &["protocol/src/session*.rs"],
        first: &["--test=protocol"],
        slow: &["a_direction_ends_at_its_bound", "no_reader_panics_on"],
        all: &["--test=protocol"],
        words: &[],
        seconds: 4.0,
    },
    Group {
        id: "queues",
        package: "drawbridge-daemon",
        files: &["daemon/src/core/{ledger,outbox}.rs"],
        first: &["--lib"],
        slow: &[],
        all: &["--lib", "--test=core"],
        words: OPTIMISED_PROTOCOL,
        seconds: 8.0,
    },
    Group {
        id: "hub",
        package: "drawbridge-daemon",
        files: &["daemon/src/core/command/*.rs"],
        first: &["--test=core"],
        slow: &[],
        all: &["--lib", "--test=core"],
        words: OPTIMISED_PROTOCOL,
        seconds: 8.0,
    },
];

/// Half of the time of a mutant is cryptography, unless it is optimised; it is not changed here.
const OPTIMISED_PROTOCOL: &[&str] =
    &["--config=profile.dev.package.drawbridge-protocol.opt-level=2"];

/// For one run of the tests: a mutation may well hang them.
const TEST_LIMIT: &str = "120";
/// For one build.
const BUILD_LIMIT: &str = "900";

/// How far `cargo mutants` goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Every mutant, by the tests that are quick.
    First,
    /// What survived, by all tests.
    Survivors,
}

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    mutate(context, log, None)
}

/// Mutates all files, or those whose path has this in it.
///
/// # Errors
/// When the copy cannot be made, no file has the name or `cargo mutants` cannot be understood.
pub(crate) fn mutate(
    context: &Context,
    log: &mut LaneLog<'_>,
    only: Option<&str>,
) -> Result<Report, Failure> {
    let list = Explained::load(&context.root, LIST)?;
    let folder = context.root.join("target/mutants");
    let copy = Copy::below(&folder);
    copy.refresh(&context.root)?;
    let lab = Lab {
        context,
        folder: &folder,
        copy: &copy,
    };
    let mut chosen: Vec<(&Group, BTreeSet<String>, usize)> = Vec::new();
    for group in GROUPS {
        let mut mutants = lab.list(group, log)?;
        mutants.retain(|mutant| only.is_none_or(|only| mutant.file.contains(only)));
        let files: BTreeSet<String> = mutants.iter().map(|mutant| mutant.file.clone()).collect();
        if !files.is_empty() {
            chosen.push((group, files, mutants.len()));
        } else if only.is_none() {
            return Err(Failure::new(format!(
                "find code to mutate for {}",
                group.id
            )));
        }
    }
    if chosen.is_empty() {
        return Err(Failure::usage("no file with this in its path is mutated"));
    }
    let estimate: f64 = chosen.iter().map(|(g, _, n)| g.seconds * *n as f64).sum();
    let all: usize = chosen.iter().map(|(_, _, count)| count).sum();
    let time = minutes(Duration::from_secs_f64(estimate));
    println!("    {all} mutants, about {time} minutes on two cores");
    let mut report = Report::default();
    for (group, files, count) in &chosen {
        lab.try_group(group, files, *count, &list, log, &mut report)?;
    }
    Ok(report)
}

/// Where mutants live.
struct Lab<'a> {
    context: &'a Context,
    folder: &'a Path,
    copy: &'a Copy,
}

impl Lab<'_> {
    fn out(&self, group: &Group) -> PathBuf {
        self.folder.join(group.id)
    }

    fn list(&self, group: &Group, log: &mut LaneLog<'_>) -> Result<Vec<Mutant>, Failure> {
        let mut command = self.cargo_mutants(group, group.files.iter().copied());
        command.args(["--list", "--json"]);
        Mutant::list(&log.read(command)?)
    }

    fn try_group(
        &self,
        group: &Group,
        files: &BTreeSet<String>,
        count: usize,
        list: &Explained,
        log: &mut LaneLog<'_>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let first = self.pass(group, files, Pass::First, log)?;
        let id = group.id;
        report.expect(first.baseline, || {
            format!("{id}: the tests fail without any mutation")
        });
        if !first.baseline {
            return Ok(());
        }
        report.expect(first.tried() == count, || {
            format!("{id}: {} of {count} mutants were tried", first.tried())
        });
        let last = if first.survived == 0 {
            Ran::default()
        } else {
            self.pass(group, files, Pass::Survivors, log)?
        };
        report.problems.extend(last.unclear.iter().cloned());
        report.problems.extend(first.unclear.iter().cloned());
        let problems = list.judge(&last.survivors, |file| files.contains(file));
        let caught = first.caught + last.caught;
        let seconds = first.seconds + last.seconds;
        let each = seconds / first.tried().max(1) as f64;
        report.notes.push(format!(
            "{id}: {count} mutants in {} minutes ({each:.1} s each): {caught} caught, {} hung, {} do not compile, {} survive, {} explained",
            minutes(Duration::from_secs_f64(seconds)),
            // Those of the first pass meet all tests, too.
            if first.survived == 0 { first.hung } else { last.hung },
            first.unviable,
            last.survived,
            list.count(|file| files.contains(file)),
        ));
        for file in files {
            let clean = !problems.iter().any(|problem| problem.contains(file));
            report.checks += Tally::of(clean);
        }
        report.problems.extend(problems);
        Ok(())
    }

    fn pass(
        &self,
        group: &Group,
        files: &BTreeSet<String>,
        pass: Pass,
        log: &mut LaneLog<'_>,
    ) -> Result<Ran, Failure> {
        let mut command = self.cargo_mutants(group, files.iter().map(String::as_str));
        command
            .args(["--in-place", "--no-shuffle", "--caught", "--unviable"])
            .args(["--timeout", TEST_LIMIT, "--build-timeout", BUILD_LIMIT])
            .arg("--output")
            .arg(self.out(group));
        let (baseline, tests, skipped) = match pass {
            Pass::First => ("run", group.first, group.slow),
            Pass::Survivors => ("skip", group.all, &[][..]),
        };
        command.args(["--baseline", baseline]);
        if pass == Pass::Survivors {
            command.arg("--iterate");
        }
        for word in tests.iter().chain(group.words).chain(CARGO_WORDS) {
            command.arg(format!("--cargo-arg={word}"));
        }
        command.args(["--", "--", "-Zunstable-options", "--fail-fast"]);
        for test in skipped {
            command.args(["--skip", test]);
        }
        // It fails whenever something survives; what it found is in its files.
        log.run_quietly(command, Errors::Merged)?;
        Ran::load(&self.out(group), &self.copy.tree)
    }

    fn cargo_mutants<'f>(&self, group: &Group, files: impl Iterator<Item = &'f str>) -> Command {
        let mut command = self.context.cargo(["mutants", "--no-config", "--dir", "."]);
        command
            .current_dir(&self.copy.tree)
            .env("CARGO_TARGET_DIR", &self.copy.build)
            .env("CARGO_INCREMENTAL", "1")
            .env("RUST_BACKTRACE", "0")
            .env("DRAWBRIDGE_LANE", "quick")
            .env(SEED_VARIABLE, SEED)
            .args(["--package", group.package]);
        for file in files {
            command.args(["--file", file]);
        }
        command
    }
}

/// A test binary stops at its first failure only by an option that it calls unstable, and takes
/// such options when this variable is set. The compiler does not see it.
const CARGO_WORDS: &[&str] = &[
    "--locked",
    "--config=target.'cfg(all())'.runner=['env','RUSTC_BOOTSTRAP=1']",
];
