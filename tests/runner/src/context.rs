//! What every command of the runner stands on.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::claims::Claims;
use crate::failure::{During, Failure};
use crate::seed::{Origin, SEED_VARIABLE};
use crate::tree;

/// The quick lane fails above this, set-up included: its budget, and most of it again for a host that is slow today. Seen: the same
/// work at 2.5 times the time on another machine of the same kind.
pub(crate) const QUICK_LIMIT: Duration = Duration::from_mins(80);

/// Root, seed, lane and claims of one run.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) root: PathBuf,
    /// Every count that an issue names, instead of the quick ones.
    pub(crate) full: bool,
    pub(crate) origin: Origin,
    pub(crate) claims: Claims,
    /// When the runner started.
    pub(crate) started: Instant,
    /// What `tests/run` spent on installing tools before the runner started.
    pub(crate) setup: Duration,
    /// Commands still running then are killed.
    pub(crate) deadline: Option<Instant>,
}

impl Context {
    /// Finds the workspace, reads the claims and fixes the seed.
    ///
    /// # Errors
    /// When the workspace, the claims or the seed cannot be read.
    pub(crate) fn open(full: bool) -> Result<Self, Failure> {
        let root = tree::root()?;
        let origin = Origin::find(&root)?;
        let claims = Claims::load(&root)?;
        let started = Instant::now();
        let setup = match std::env::var("DRAWBRIDGE_SETUP_SECONDS") {
            Ok(text) => Duration::from_secs(
                text.parse()
                    .during(|| format!("read DRAWBRIDGE_SETUP_SECONDS={text}"))?,
            ),
            Err(_) => Duration::ZERO,
        };
        Ok(Self {
            root,
            full,
            origin,
            claims,
            started,
            setup,
            deadline: None,
        })
    }

    /// `quick` or `full`.
    pub(crate) fn depth(&self) -> &'static str {
        if self.full { "full" } else { "quick" }
    }

    /// A program that runs at the root and knows lane and seed.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.root)
            .env("DRAWBRIDGE_LANE", self.depth())
            .env(SEED_VARIABLE, self.origin.seed.to_string())
            .env("CARGO_TERM_COLOR", "never");
        // `cargo run` describes the runner in these; an inner cargo must not mistake them for its own.
        for (name, _) in std::env::vars() {
            let about_runner = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
            if about_runner || name == "CARGO_CRATE_NAME" || name == "LD_LIBRARY_PATH" {
                command.env_remove(name);
            }
        }
        command
    }

    /// Cargo with the given words, at the root.
    pub(crate) fn cargo<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.command("cargo");
        command.args(words);
        command
    }
}
