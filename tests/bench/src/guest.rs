//! The guest: a kernel and a file system that `small.sh` builds once, and what each scenario puts on top.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use drawbridge_support::household::Programs;

use crate::archive::Archive;
use crate::error::BenchError;

/// Our own programs that run in the guest.
const PRODUCT: [&str; 3] = ["drawbridged", "drawbridge", "drawbridge-lock-sim"];
const BENCH: [&str; 4] = ["vhci-bridge", "knob", "stamp", "flood"];

/// Where the parts of this crate are, in the repository.
#[must_use]
pub(crate) fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A kernel and a first file system, ready to boot.
#[derive(Debug)]
pub(crate) struct Guest {
    /// The kernel.
    pub(crate) kernel: PathBuf,
    base: PathBuf,
    /// A second caller waits here: two guests at once on two cores would each take twice as long.
    pub(crate) turn: File,
}

impl Guest {
    /// Builds the guest, or finds it built; waits until no other guest runs.
    ///
    /// # Errors
    /// [`BenchError::Build`] with what the recipe said, such as the name of a missing tool.
    pub(crate) fn small() -> Result<Self, BenchError> {
        Self::of("small.sh")
    }

    /// The same of the guest with Python in it, in which figures are measured; it has a turn of its own.
    ///
    /// # Errors
    /// Likewise.
    pub(crate) fn with_python() -> Result<Self, BenchError> {
        Self::of("python.sh")
    }

    fn of(recipe: &str) -> Result<Self, BenchError> {
        let folder = last_line(Command::new(here().join(recipe)))?;
        Ok(Self {
            kernel: folder.join("vmlinuz"),
            base: folder.join("base.cpio"),
            turn: turn(&folder)?,
        })
    }

    /// Writes the first file system: the guest's own, our programs and scripts, and `more`.
    ///
    /// # Errors
    /// [`BenchError`] when a program does not build or a file cannot be read or written.
    pub(crate) fn write_root(&self, path: &Path, mut more: Archive) -> Result<(), BenchError> {
        for (name, program) in programs()? {
            more.add(&format!("/bench/bin/{name}"), 0o755, &read(&program)?);
        }
        add_scripts(&mut more, &[("init", "/init", 0o755)])?;
        let io = || BenchError::io("write the guest's first file system", path);
        let mut file = File::create(path).map_err(io())?;
        let mut base = File::open(&self.base).map_err(io())?;
        std::io::copy(&mut base, &mut file).map_err(io())?;
        file.write_all(&more.finish()).map_err(io())
    }
}

/// Puts the scripts that every scenario uses into `archive`, and `more` (name, place, permissions).
pub(crate) fn add_scripts(
    archive: &mut Archive,
    more: &[(&str, &str, u32)],
) -> Result<(), BenchError> {
    let common = [
        ("words.sh", "/bench/words.sh", 0o644),
        ("radio.sh", "/bench/radio.sh", 0o644),
        ("house.sh", "/bench/house.sh", 0o644),
    ];
    for (script, place, mode) in common.iter().chain(more) {
        archive.add(place, *mode, &read(&here().join("guest").join(script))?);
    }
    Ok(())
}

/// Runs a recipe and answers the path in its last line.
pub(crate) fn last_line(mut recipe: Command) -> Result<PathBuf, BenchError> {
    let name = recipe.get_program().to_owned();
    let output = recipe
        .output()
        .map_err(BenchError::io("run a recipe", name))?;
    let said = String::from_utf8_lossy(&output.stdout);
    match said.lines().last() {
        Some(path) if output.status.success() => Ok(PathBuf::from(path.trim())),
        _ => Err(BenchError::Build {
            status: output.status,
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
    }
}

/// Waits until no other guest of `folder` runs.
pub(crate) fn turn(folder: &Path) -> Result<File, BenchError> {
    let path = folder.join("turn");
    let turn = File::create(&path).map_err(BenchError::io("make a lock file", &path))?;
    turn.lock()
        .map_err(BenchError::io("wait for the other guest to end", &path))?;
    Ok(turn)
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, BenchError> {
    std::fs::read(path).map_err(BenchError::io("read a file for the guest", path))
}

/// Builds the programs with BlueZ, and keeps them without debug information in a folder of their own: other tests
/// build the daemon without BlueZ into the same place.
pub(crate) fn programs() -> Result<Vec<(&'static str, PathBuf)>, BenchError> {
    let product = Programs::build(true)?;
    let bench = Programs::of("drawbridge-bench")?;
    let keep = bench.path("bench");
    std::fs::create_dir_all(&keep).map_err(BenchError::io("make a folder", &keep))?;
    let mut all = Vec::new();
    for (name, from) in PRODUCT
        .iter()
        .map(|&name| (name, product.path(name)))
        .chain(BENCH.iter().map(|&name| (name, bench.path(name))))
    {
        let to = keep.join(name);
        strip(&from, &to)?;
        all.push((name, to));
    }
    Ok(all)
}

pub(crate) fn strip(from: &Path, to: &Path) -> Result<(), BenchError> {
    let output = Command::new("strip")
        .arg("-o")
        .arg(to)
        .arg(from)
        .output()
        .map_err(BenchError::io("run strip (Debian's binutils)", from))?;
    if output.status.success() {
        return Ok(());
    }
    Err(BenchError::Build {
        status: output.status,
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
