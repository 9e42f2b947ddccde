//! The command line, as a person or a script uses it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Broker, HouseholdError, Programs};

/// What the command line said.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its exit code; 0 done, 1 refused, 2 usage, 3 outcome unknown, 4 unreachable.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// The last line of output as JSON; `null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        let whole = serde_json::from_str(&self.out).ok();
        let last = || {
            self.out
                .lines()
                .last()
                .and_then(|line| serde_json::from_str(line).ok())
        };
        whole.or_else(last).unwrap_or(Value::Null)
    }

    /// Itself, if the exit code is 0.
    ///
    /// # Errors
    /// [`HouseholdError::Answer`] with everything that was said.
    pub fn done(self, what: &str) -> Result<Self, HouseholdError> {
        if self.code == 0 {
            return Ok(self);
        }
        let answer = format!(
            "exit {}: {} {}",
            self.code,
            self.out.trim(),
            self.err.trim()
        );
        Err(HouseholdError::Answer {
            what: what.into(),
            answer,
        })
    }
}

/// One person's command line: an owner key file, and a way to the hub.
#[derive(Debug, Clone)]
pub struct Cli {
    program: PathBuf,
    /// The owner key file.
    pub owner_key: PathBuf,
    /// The client's file, with the broker.
    pub config: PathBuf,
    /// The hub's control socket, for `--local`.
    pub socket: PathBuf,
}

impl Cli {
    /// Writes a client file into `folder`.
    ///
    /// # Errors
    /// [`HouseholdError::Io`].
    pub fn new(
        programs: &Programs,
        folder: &Path,
        hub: &str,
        socket: &Path,
        broker: &Broker,
    ) -> Result<Self, HouseholdError> {
        let config = folder.join("client.toml");
        let text = format!(
            "hub = {hub:?}\nhost = \"localhost\"\nport = {}\nca = {:?}\ncert = {:?}\nkey = {:?}\nsocket = {socket:?}\n",
            broker.port, broker.ca, broker.identity.cert, broker.identity.key,
        );
        std::fs::write(&config, text)
            .map_err(HouseholdError::io("write the client's file", &config))?;
        Ok(Self {
            program: programs.path("drawbridge"),
            owner_key: folder.join("owner.json"),
            config,
            socket: socket.to_owned(),
        })
    }

    /// Runs one command with `--json`, and with `input` on its standard input.
    ///
    /// # Errors
    /// [`HouseholdError::Io`] when it cannot be started.
    pub fn run_with(&self, words: &[&str], input: &str) -> Result<Said, HouseholdError> {
        let io = || HouseholdError::io("run the command line", &self.program);
        let mut child = Command::new(&self.program)
            .args(words)
            .arg("--json")
            .arg("--client-config")
            .arg(&self.config)
            .arg("--owner-key")
            .arg(&self.owner_key)
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io())?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that reads nothing may have ended already.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().map_err(io())?;
        Ok(Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs one command with `--json`.
    ///
    /// # Errors
    /// As [`Self::run_with`].
    pub fn run(&self, words: &[&str]) -> Result<Said, HouseholdError> {
        self.run_with(words, "")
    }
}
