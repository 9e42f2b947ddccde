//! The product's own programs, built from this tree.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::HouseholdError;

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// The programs without BlueZ support, built once a process.
    ///
    /// # Panics
    /// When they do not build: a test has nothing to test then.
    #[must_use]
    pub fn shared() -> &'static Self {
        static BUILT: OnceLock<Programs> = OnceLock::new();
        BUILT.get_or_init(|| Self::build(false).expect("the programs build"))
    }

    /// Builds daemon, command line and simulated lock in the profile of the caller, and tells where
    /// they are. `bluez`: with BlueZ support, which the demo does without.
    ///
    /// `DRAWBRIDGE_BIN_DIR` names a folder of programs to use instead.
    ///
    /// # Errors
    /// [`HouseholdError::Build`] with the end of what the compiler said.
    pub fn build(bluez: bool) -> Result<Self, HouseholdError> {
        if let Some(folder) = std::env::var_os("DRAWBRIDGE_BIN_DIR") {
            return Ok(Self::in_folder(folder));
        }
        let root = workspace_root();
        let mut daemon = vec!["--package", "drawbridge-daemon", "--bins"];
        if !bluez {
            daemon.push("--no-default-features");
        }
        cargo(&root, &daemon)?;
        cargo(&root, &["--package", "drawbridge-lock-sim", "--bins"])?;
        Ok(Self::in_folder(built(&root)))
    }

    /// Builds the programs of a package of tests in the profile of the caller, and tells where they are.
    ///
    /// # Errors
    /// As [`Programs::build`].
    pub fn of(package: &str) -> Result<Self, HouseholdError> {
        let root = workspace_root();
        cargo(&root, &["--package", package, "--bins"])?;
        Ok(Self::in_folder(built(&root)))
    }

    /// The programs in a folder of the caller's, such as wrappers around the real ones.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The path of one program.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The folder of the workspace's `Cargo.toml`.
#[must_use]
fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Where cargo puts the programs of the caller's profile.
fn built(root: &Path) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join(if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    })
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<(), HouseholdError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .arg("build")
        .arg("--quiet")
        .args(arguments);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command
        .output()
        .map_err(HouseholdError::io("run cargo", root))?;
    if output.status.success() {
        return Ok(());
    }
    let log = String::from_utf8_lossy(&output.stderr);
    let end: Vec<&str> = log.lines().rev().take(30).collect();
    Err(HouseholdError::Build {
        what: arguments.join(" "),
        log: end.into_iter().rev().collect::<Vec<_>>().join("\n"),
    })
}
