//! cargo-fuzz over every target of `tests/fuzz`, as many at a time as there are processors.
//!
//! **Every target runs for its whole time, and any crash fails the lane with the input that caused it.**

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::Report;
use crate::context::Context;
use crate::failure::{During, Failure};
use crate::lane_log::LaneLog;
use crate::process::{self, Ended, Errors};
use crate::tally::{Tally, grouped};

const FOLDER: &str = "tests/fuzz/cargo-fuzz";
/// What cargo-fuzz builds, and what the fuzzer finds.
const BUILT: &str = "target/fuzz";
/// The instrumented programs lie here, by the triple of this machine.
const PROFILE: &str = "release";

/// How long each target runs.
const QUICK: Duration = Duration::from_secs(12);
const FULL: Duration = Duration::from_mins(10);
/// What a target may take beyond that: reading its corpus, and one slow input at the end.
const GRACE: Duration = Duration::from_mins(1);

/// Longest input, bytes: the longest link message and what surrounds it.
const MOST_BYTES: u32 = 2_560;
/// An input that takes longer is a finding, seconds: thousands of times what one takes on an idle machine.
const SLOWEST: u32 = 30;
/// Memory that a target may take, megabytes.
const MOST_MEMORY: u32 = 1_024;

/// What one target did.
struct Fuzzed {
    target: String,
    ended: Ended,
    lines: Vec<String>,
    /// Inputs that it left because they failed.
    crashes: Vec<PathBuf>,
}

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    let started = Instant::now();
    // cargo-fuzz has no `--locked`, and would write a new lock file without a word.
    let mut fetch = context.cargo(["fetch", "--locked"]);
    fetch.current_dir(context.root.join(FOLDER));
    if !log.run(fetch)?.ok {
        let problem = format!("{FOLDER}/Cargo.lock does not agree with the workspace");
        return Ok(Report::problem(problem));
    }
    if !log.run(build(context))?.ok {
        return Ok(Report::problem("the fuzz targets do not build"));
    }
    let mut report = Report::default();
    report
        .notes
        .push(format!("built in {:.0} s", started.elapsed().as_secs_f64()));
    let targets = targets(&context.root)?;
    report.expect(!targets.is_empty(), || format!("{FOLDER} has no targets"));
    let time = if context.full { FULL } else { QUICK };
    let mut total = 0;
    for fuzzed in fuzz(context, &targets, time)? {
        log.note(&format!("$ fuzz {}", fuzzed.target));
        fuzzed.lines.iter().for_each(|line| log.note(line));
        let executions = executions(&fuzzed.lines);
        let problems = judge(&fuzzed, executions, time)?;
        report.notes.push(format!(
            "EVIDENCE fuzz {} for {} s: {} executions, {} crashes",
            fuzzed.target,
            time.as_secs(),
            grouped(executions.unwrap_or(0)),
            fuzzed.crashes.len(),
        ));
        total += executions.unwrap_or(0);
        report.checks += Tally::of(problems.is_empty());
        report.problems.extend(problems);
    }
    report.notes.push(format!(
        "{} executions of {} targets",
        grouped(total),
        targets.len()
    ));
    Ok(report)
}

/// Without a sanitizer: the workspace forbids `unsafe`, and instrumentation for it would double the
/// build and halve the executions. Debug assertions and overflow checks are on.
fn build(context: &Context) -> Command {
    let mut command = context.cargo(["fuzz", "build", "--fuzz-dir", "."]);
    command
        .current_dir(context.root.join(FOLDER))
        .args([
            "--sanitizer",
            "none",
            "--codegen-units",
            "16",
            "--target-dir",
        ])
        .arg(context.root.join(BUILT));
    command
}

/// The targets by name: the wrappers in [`FOLDER`].
fn targets(root: &Path) -> Result<Vec<String>, Failure> {
    let folder = root.join(FOLDER).join("fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).during(|| format!("list {}", folder.display()))? {
        let path = entry
            .during(|| format!("list {}", folder.display()))?
            .path();
        if let Some(name) = path.file_stem() {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Runs all targets, one on each processor.
fn fuzz(context: &Context, targets: &[String], time: Duration) -> Result<Vec<Fuzzed>, Failure> {
    let waiting = Mutex::new(targets.iter());
    let done = Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().ok().and_then(|mut waiting| waiting.next());
                    let Some(target) = next else { return };
                    let fuzzed = fuzz_one(context, target, time);
                    if let Ok(mut done) = done.lock() {
                        done.push(fuzzed);
                    }
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_default();
    let mut done = done.into_iter().collect::<Result<Vec<_>, _>>()?;
    if done.len() != targets.len() {
        return Err(Failure::new("run every target".to_owned()));
    }
    done.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(done)
}

fn fuzz_one(context: &Context, target: &str, time: Duration) -> Result<Fuzzed, Failure> {
    let work = context.root.join(BUILT).join("found").join(target);
    // What an earlier run found is either committed by now or not worth keeping.
    if work.exists() {
        std::fs::remove_dir_all(&work).during(|| format!("clear {}", work.display()))?;
    }
    let (crashes, grown) = (work.join("crashes"), work.join("corpus"));
    for folder in [&crashes, &grown] {
        std::fs::create_dir_all(folder).during(|| format!("make {}", folder.display()))?;
    }
    let mut command = context.command(&program(context, target)?.to_string_lossy());
    command
        .arg(format!("-max_total_time={}", time.as_secs()))
        .arg(format!("-max_len={MOST_BYTES}"))
        .arg(format!("-timeout={SLOWEST}"))
        .arg(format!("-rss_limit_mb={MOST_MEMORY}"))
        .arg(format!(
            "-seed={}",
            context.origin.seed % u64::from(u32::MAX) + 1
        ))
        .arg(format!("-artifact_prefix={}/", crashes.display()))
        .args(["-use_value_profile=1", "-print_final_stats=1"])
        // New inputs go to the first folder; the committed ones are only read.
        .arg(&grown)
        .arg(context.root.join("tests/fuzz/corpus").join(target));
    let own = Instant::now() + time + GRACE;
    let deadline = context.deadline.map_or(own, |deadline| deadline.min(own));
    let mut lines = Vec::new();
    let ended = process::run(command, Errors::Merged, Some(deadline), &mut |line| {
        lines.push(line.to_owned());
    })?;
    Ok(Fuzzed {
        target: target.to_owned(),
        ended,
        lines,
        crashes: listed(&crashes)?,
    })
}

/// Where cargo-fuzz put it: below the one triple that it was built for.
fn program(context: &Context, target: &str) -> Result<PathBuf, Failure> {
    let built = context.root.join(BUILT);
    let found = listed(&built)?
        .into_iter()
        .map(|triple| triple.join(PROFILE).join(target))
        .find(|program| program.is_file());
    found.ok_or_else(|| Failure::new(format!("find the fuzz target {target} in {BUILT}")))
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder).during(|| format!("list {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(
            entry
                .during(|| format!("list {}", folder.display()))?
                .path(),
        );
    }
    paths.sort();
    Ok(paths)
}

/// What is wrong with a run, if anything; each crash with its bytes.
fn judge(fuzzed: &Fuzzed, executions: Option<u64>, time: Duration) -> Result<Vec<String>, Failure> {
    let target = &fuzzed.target;
    let mut problems = Vec::new();
    for path in &fuzzed.crashes {
        let bytes = std::fs::read(path).during(|| format!("read {}", path.display()))?;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        problems.push(format!(
            "{target}: {} ({} bytes): {hex}; once fixed, keep it in tests/fuzz/corpus/{target}/",
            path.display(),
            bytes.len(),
        ));
    }
    if !fuzzed.ended.ok && problems.is_empty() {
        let last = fuzzed.lines.iter().rev().take(5).rev();
        let last: Vec<&str> = last.map(String::as_str).collect();
        problems.push(format!("{target} ended badly: {}", last.join(" | ")));
    }
    if fuzzed.ended.ok && executions.is_none_or(|executions| executions == 0) {
        problems.push(format!("{target} executed nothing"));
    }
    if fuzzed.ended.ok && fuzzed.ended.took < time {
        problems.push(format!(
            "{target} ran for {:.1} s instead of {}",
            fuzzed.ended.took.as_secs_f64(),
            time.as_secs()
        ));
    }
    Ok(problems)
}

/// From libFuzzer's final statistics.
fn executions(lines: &[String]) -> Option<u64> {
    let number = |line: &String| {
        let rest = line.strip_prefix("stat::number_of_executed_units:")?;
        rest.trim().parse().ok()
    };
    lines.iter().find_map(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fuzzed(ok: bool, took: u64, lines: &[&str]) -> Fuzzed {
        Fuzzed {
            target: "json".to_owned(),
            ended: Ended {
                ok,
                timed_out: false,
                text: String::new(),
                took: Duration::from_secs(took),
            },
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            crashes: Vec::new(),
        }
    }

    fn problems(fuzzed: &Fuzzed) -> Vec<String> {
        judge(fuzzed, executions(&fuzzed.lines), QUICK).unwrap()
    }

    // Guards: a fuzzer that dies, stops early or executes nothing, and a lane that stays green.
    #[test]
    fn only_a_whole_run_without_a_crash_is_good() {
        let stats = ["Done 12 runs", "stat::number_of_executed_units: 34567"];
        assert_eq!(executions(&fuzzed(true, 12, &stats).lines), Some(34_567));
        assert!(problems(&fuzzed(true, 13, &stats)).is_empty());
        assert_eq!(problems(&fuzzed(false, 13, &stats)).len(), 1);
        assert_eq!(problems(&fuzzed(true, 3, &stats)).len(), 1);
        assert_eq!(problems(&fuzzed(true, 13, &[])).len(), 1);
        assert_eq!(
            problems(&fuzzed(true, 13, &["stat::number_of_executed_units: 0"])).len(),
            1
        );
    }

    // Guards: a finding that cannot be repeated because its bytes were lost with the machine.
    #[test]
    fn a_crash_is_told_with_its_bytes() {
        let path = std::env::temp_dir().join(format!("drawbridge-crash-{}", std::process::id()));
        std::fs::write(&path, [0xde, 0xad]).unwrap();
        let mut bad = fuzzed(false, 1, &[]);
        bad.crashes.push(path.clone());
        let told = problems(&bad);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(told.len(), 1);
        assert!(
            told[0].contains("dead") && told[0].contains(&path.display().to_string()),
            "{told:?}"
        );
    }
}
