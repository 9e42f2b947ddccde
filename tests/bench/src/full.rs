//! The full guest: a disk with systemd, on which the hub is installed from its package as on a real home hub.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::archive::Archive;
use crate::error::BenchError;
use crate::guest::{add_scripts, here, last_line, place, programs, read};
use crate::machine::{Clock, qemu};

/// A suite of Debian that the hub is installed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Debian 13: kernel 6.12, BlueZ 5.82.
    Trixie,
    /// Debian 12: kernel 6.1, BlueZ 5.66, the oldest that is supported.
    Bookworm,
}

impl Suite {
    const fn name(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Bookworm => "bookworm",
        }
    }
}

/// A guest that `full.sh` has built.
#[derive(Debug)]
pub(crate) struct Full {
    folder: PathBuf,
    /// Held while it runs.
    pub(crate) place: File,
}

impl Full {
    /// Builds the guest, or finds it built; waits for a place.
    pub(crate) fn find(suite: Suite) -> Result<Self, BenchError> {
        let mut recipe = Command::new(here().join("full.sh"));
        recipe.arg(suite.name());
        let folder = last_line(recipe)?;
        let place = place(&folder)?;
        Ok(Self { folder, place })
    }

    /// The words that boot it with `files` on a second disk, which is made in `place`.
    pub(crate) fn boot(
        &self,
        place: &Path,
        mut files: Archive,
        clock: Clock,
    ) -> Result<Command, BenchError> {
        // The product's own programs come with the package.
        for (name, program) in programs()? {
            if !["drawbridged", "drawbridge"].contains(&name) {
                files.add(&format!("/bench/bin/{name}"), 0o755, &read(&program)?);
            }
        }
        add_scripts(
            &mut files,
            &[
                ("start_installed", "/bench/start", 0o755),
                ("installed.sh", "/bench/installed.sh", 0o644),
            ],
        )?;
        files.add("/bench/drawbridge.deb", 0o644, &read(&package()?)?);
        let air = self.folder.join("air");
        for entry in std::fs::read_dir(&air).map_err(BenchError::io("list RootCanal", &air))? {
            let entry = entry.map_err(BenchError::io("list RootCanal", &air))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            files.add(&format!("/bench/air/{name}"), 0o755, &read(&entry.path())?);
        }
        let disk = disk(place, files)?;
        let mut command = qemu(
            &self.folder.join("vmlinuz"),
            &self.folder.join("initrd.img"),
            clock,
            "root=/dev/vda rw systemd.show_status=false",
        );
        let drive =
            |file: &Path, how: &str| format!("file={},if=virtio,format=raw,{how}", file.display());
        command
            .args([
                "-drive",
                &drive(&self.folder.join("disk.img"), "snapshot=on"),
            ])
            .args(["-drive", &drive(&disk, "readonly=on")]);
        Ok(command)
    }
}

/// The package, built now; or the one that `DRAWBRIDGE_BENCH_PACKAGE` names.
fn package() -> Result<PathBuf, BenchError> {
    match std::env::var_os("DRAWBRIDGE_BENCH_PACKAGE") {
        Some(path) => Ok(path.into()),
        None => last_line(Command::new(here().join("../../packaging/build-deb"))),
    }
}

/// A disk of these files, every one root's.
fn disk(place: &Path, files: Archive) -> Result<PathBuf, BenchError> {
    let (archive, tree, disk) = (
        place.join("files.cpio"),
        place.join("files"),
        place.join("files.img"),
    );
    std::fs::write(&archive, files.finish()).map_err(BenchError::io("write files", &archive))?;
    std::fs::create_dir(&tree).map_err(BenchError::io("make a folder", &tree))?;
    let archive = File::open(&archive).map_err(BenchError::io("read files", &archive))?;
    let mut unpack = Command::new("cpio");
    unpack
        .args(["--quiet", "--extract", "--preserve-modification-time"])
        .current_dir(&tree)
        .stdin(Stdio::from(archive));
    done(unpack)?;
    let mut make = Command::new("/usr/sbin/mke2fs");
    make.args(["-q", "-t", "ext4", "-d"])
        .args([tree.as_path(), disk.as_path()])
        .arg("128M");
    done(make)?;
    Ok(disk)
}

fn done(mut command: Command) -> Result<(), BenchError> {
    let name = command.get_program().to_owned();
    let output = command
        .output()
        .map_err(BenchError::io("run a tool", name))?;
    if output.status.success() {
        return Ok(());
    }
    Err(BenchError::Build {
        status: output.status,
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
