//! A throw-away system: a folder with what dpkg wants to see of one. Packages are installed into it with this machine's
//! tools, told by `DPKG_ROOT` to work on the folder alone.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tool::{Ran, run};

/// What the package asks for, as Debian 12 has it.
const INSTALLED: &[(&str, &str, &str)] = &[
    ("bluez", "5.66-1+deb12u2", ""),
    (
        "dbus-system-bus-common",
        "1.14.10-1~deb12u1",
        "Provides: dbus-system-bus\n",
    ),
    ("init-system-helpers", "1.65.2", ""),
    ("libc6", "2.36-9+deb12u10", ""),
    ("libgcc-s1", "12.2.0-14", ""),
    ("systemd", "252.38-1~deb12u1", ""),
];

/// The system. Its folder goes with it.
#[derive(Debug)]
pub struct System {
    folder: tempfile::TempDir,
}

impl System {
    /// Debian 12 as far as the package sees it, with the version of BlueZ given.
    ///
    /// # Panics
    /// When its files cannot be written.
    #[must_use]
    pub fn with_bluez(bluez: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let admin = folder.path().join("var/lib/dpkg");
        for made in ["info", "updates"] {
            fs::create_dir_all(admin.join(made)).expect("a folder");
        }
        fs::create_dir(folder.path().join("etc")).expect("a folder");
        let architecture = run(Command::new("dpkg").arg("--print-architecture")).done();
        let mut status = String::new();
        for (name, version, more) in INSTALLED {
            let version = if *name == "bluez" { bluez } else { version };
            write!(
                status,
                "Package: {name}\nStatus: install ok installed\nMaintainer: x <x@example.org>\n\
                 Architecture: {}\nVersion: {version}\n{more}Description: x\n\n",
                architecture.trim(),
            )
            .expect("text");
            fs::write(admin.join(format!("info/{name}.list")), "").expect("a file");
        }
        fs::write(admin.join("status"), status).expect("a file");
        Self { folder }
    }

    /// Debian 12 as far as the package sees it.
    #[must_use]
    pub fn debian_12() -> Self {
        Self::with_bluez("5.66-1+deb12u2")
    }

    /// dpkg with these words.
    #[must_use]
    pub fn dpkg(&self, words: &[&str]) -> Ran {
        run(Command::new("dpkg")
            .arg(format!("--root={}", self.folder.path().display()))
            .args(["--force-script-chrootless", "--log=/dev/null"])
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ))
    }

    /// Installs a package, or the next version of it; answers what was said.
    ///
    /// # Panics
    /// When dpkg fails.
    pub fn install(&self, package: &Path) -> String {
        self.dpkg(&["--install", &package.display().to_string()])
            .done()
    }

    /// Where a path of the system is on this machine.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    /// Whether there is something at a path, be it a dangling link.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// The text of a file.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Writes a file, and the folders above it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        let folder = path.parent().expect("a file is in a folder");
        fs::create_dir_all(folder).expect("a folder");
        fs::write(&path, text).expect("a file");
    }
}
