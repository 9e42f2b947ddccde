//! The guest: a kernel and a file system that `small.sh` builds once, and what each scenario puts on top.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use drawbridge_support::household::Programs;
use tempfile::NamedTempFile;

use crate::archive::Archive;
use crate::error::BenchError;

/// Guests at once on one machine: each keeps a processor busy, and a small machine has two.
const PLACES: u8 = 2;
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Our own programs that run in the guest.
const PRODUCT: [&str; 3] = ["drawbridged", "drawbridge", "drawbridge-lock-sim"];
const BENCH: [&str; 4] = ["vhci-bridge", "knob", "stamp", "flood"];

/// Where the parts of this crate are, in the repository.
#[must_use]
pub fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A kernel and a first file system, ready to boot.
#[derive(Debug)]
pub(crate) struct Guest {
    /// The kernel.
    pub(crate) kernel: PathBuf,
    base: PathBuf,
    /// Held while it runs.
    pub(crate) place: File,
}

impl Guest {
    /// Builds the guest, or finds it built; waits for a place.
    ///
    /// # Errors
    /// [`BenchError::Build`] with what the recipe said, such as the name of a missing tool.
    pub(crate) fn small() -> Result<Self, BenchError> {
        Self::of("small.sh")
    }

    /// The same of the guest with Python in it, in which figures are measured.
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
            place: place(&folder)?,
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

/// Waits for a place among the guests beside `folder`; it is free again when the file is dropped.
pub(crate) fn place(folder: &Path) -> Result<File, BenchError> {
    loop {
        for number in 1..=PLACES {
            let path = folder.with_file_name(format!("place-{number}"));
            let place = File::create(&path).map_err(BenchError::io("make a lock file", &path))?;
            match place.try_lock() {
                Ok(()) => return Ok(place),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => {
                    return Err(BenchError::io("wait for another guest to end", path)(
                        source,
                    ));
                }
            }
        }
        std::thread::sleep(LOOK_AGAIN);
    }
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

/// Copies a program without its debug information. Whoever reads `to` meanwhile reads the old or the new one whole.
pub(crate) fn strip(from: &Path, to: &Path) -> Result<(), BenchError> {
    let folder = to.parent().unwrap_or(to);
    let new = NamedTempFile::new_in(folder).map_err(BenchError::io("make a file", folder))?;
    let output = Command::new("strip")
        .arg("-o")
        .arg(new.path())
        .arg(from)
        .output()
        .map_err(BenchError::io("run strip (Debian's binutils)", from))?;
    if !output.status.success() {
        return Err(BenchError::Build {
            status: output.status,
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    let kept = new.persist(to).map_err(|error| error.error);
    kept.map(|_| ())
        .map_err(BenchError::io("keep a program", to))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};

    use super::*;

    // Guards: guests that starve each other, and what a foreign app waits for in one of them.
    #[test]
    fn third_guest_waits_until_one_of_two_has_ended() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("small");
        let first = place(&folder).unwrap();
        let _second = place(&cache.path().join("full")).unwrap();
        let (ended, third) = channel();
        std::thread::spawn(move || ended.send(place(&folder)));
        assert_eq!(
            third.recv_timeout(2 * LOOK_AGAIN).unwrap_err(),
            RecvTimeoutError::Timeout
        );
        drop(first);
        third.recv().unwrap().unwrap();
    }
}
