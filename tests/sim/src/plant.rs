//! `--plant`: a known bug in a copy of the project, and whether the simulator finds it.
//!
//! No switch for a bug is in any shipped code: the copy is edited as `tests/planted` says, the
//! simulator is built in it, and that one is run. **A bug counts as caught only if the same seeds
//! pass without it, the copy still builds with it, and then a seed fails.**

use std::path::Path;
use std::process::{Command, ExitCode};

use drawbridge_runner::copy::Copy;
use drawbridge_runner::failure::{During, Failure};
use drawbridge_runner::plant::{self, Plant};
use drawbridge_runner::tree;

use crate::args::Args;
use crate::say;

/// Plants the bug called `name` and tells whether a seed finds it.
pub(crate) fn run(name: &str, args: &Args) -> ExitCode {
    let (passed, code) = match caught(name, args) {
        Ok(true) => (1, ExitCode::SUCCESS),
        Ok(false) => (0, ExitCode::from(1)),
        Err(error) => {
            eprintln!("drawbridge-sim: could not {}", error.chain());
            let code = if error.is_usage() { 2 } else { 1 };
            (0, ExitCode::from(code))
        }
    };
    say(&format!("{passed} passed, {} failed", 1 - passed));
    code
}

fn caught(name: &str, args: &Args) -> Result<bool, Failure> {
    let root = tree::root()?;
    let plants = plant::load_all(&root)?;
    let plant = plants
        .iter()
        .find(|plant| plant.name == name)
        .ok_or_else(|| Failure::usage(format!("find {name} in {}", plant::FOLDER)))?;
    let copy = Copy::below(&root.join("target/planted"));
    copy.refresh(&root)?;
    if let Some(line) = simulate(&copy, args)? {
        return Err(Failure::new(format!(
            "begin: without the bug there is a violation: {line}"
        )));
    }
    let found = with_bug(&copy, plant, args)?;
    match &found {
        Some(line) => say(&format!("{name}: caught ({}): {line}", plant.claim)),
        None => say(&format!("{name}: missed ({})", plant.claim)),
    }
    Ok(found.is_some())
}

fn with_bug(copy: &Copy, plant: &Plant, args: &Args) -> Result<Option<String>, Failure> {
    let path = copy.tree.join(&plant.file);
    let original = tree::read(&copy.tree, &plant.file)?;
    let planted = plant.apply(&original)?;
    write(&path, &planted)?;
    let found = simulate(copy, args);
    // Put it back before anything can return, or the next bug would not be alone.
    write(&path, &original)?;
    found
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).during(|| format!("write {}", path.display()))
}

/// Builds the copy's simulator and runs the seeds; the line that tells of a violation, if any.
fn simulate(copy: &Copy, args: &Args) -> Result<Option<String>, Failure> {
    let build = [
        "build",
        "--quiet",
        "--locked",
        "--package",
        "drawbridge-simulator",
    ];
    let status = Command::new("cargo")
        .args(build)
        .current_dir(&copy.tree)
        .env("CARGO_TARGET_DIR", &copy.build)
        .status()
        .during(|| "start cargo".to_owned())?;
    if !status.success() {
        return Err(Failure::new("build the copy"));
    }
    let simulator = copy.build.join("debug/drawbridge-sim");
    let seeds = format!("{}..{}", args.seeds.start, args.seeds.end);
    let hours = args.virtual_hours.to_string();
    let output = Command::new(&simulator)
        .args(["--seeds", &seeds, "--virtual-hours", &hours, "--no-shrink"])
        .output()
        .during(|| format!("run {}", simulator.display()))?;
    match output.status.code() {
        Some(0) => Ok(None),
        Some(1) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let line = text.lines().find(|line| line.contains(" violated after "));
            line.map(|line| Some(line.to_owned()))
                .ok_or_else(|| Failure::new("read what was violated"))
        }
        _ => Err(Failure::new("run the copy's simulator to its end")),
    }
}
