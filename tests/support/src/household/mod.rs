//! A household of real processes: simulated locks, the daemon, the command line.
//!
//! Every process started here ends with the value that started it.

mod cli;
mod hub;
mod lock_sim;
mod programs;

use std::io;
use std::path::PathBuf;

pub use cli::{Cli, Said};
pub use hub::{Broker, Hub};
pub use lock_sim::LockSim;
pub use programs::Programs;

/// Why a household is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum HouseholdError {
    /// A program could not be built.
    #[error("build {what}: {log}")]
    Build {
        /// Which.
        what: String,
        /// The end of what the compiler said.
        log: String,
    },
    /// A file or process.
    #[error("{act} ({path})")]
    Io {
        /// What failed.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something did not happen in time.
    #[error("wait for {what}: it did not happen within {seconds} s; {log}")]
    Late {
        /// What.
        what: String,
        /// How long was waited.
        seconds: u64,
        /// The end of the log of whoever was waited for.
        log: String,
    },
    /// A program answered something else than it should.
    #[error("{what}: unexpected answer: {answer}")]
    Answer {
        /// What was asked.
        what: String,
        /// What came.
        answer: String,
    },
}

impl HouseholdError {
    fn io(act: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { act, path, source }
    }
}

/// The end of a log file, for error messages.
fn tail(path: &std::path::Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(25))
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}

/// Asks every 20 ms until `ready` has something, for at most `seconds`.
fn wait_for<T>(
    what: &str,
    seconds: u64,
    log: &std::path::Path,
    mut ready: impl FnMut() -> Option<T>,
) -> Result<T, HouseholdError> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    loop {
        if let Some(value) = ready() {
            return Ok(value);
        }
        if std::time::Instant::now() > deadline {
            return Err(HouseholdError::Late {
                what: what.into(),
                seconds,
                log: tail(log),
            });
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
