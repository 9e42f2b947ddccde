//! What the tests of unit and package share: tools of Debian, files of this tree, a throw-away system.

mod system;
mod tool;
mod unit;

use std::path::{Path, PathBuf};

pub use system::System;
pub use tool::{Ran, need_root, run};
pub use unit::Unit;

/// The folder of the workspace's `Cargo.toml`.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The text of a file of the workspace.
///
/// # Panics
/// When it cannot be read: a test has nothing to test then.
#[must_use]
pub fn shipped(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}
