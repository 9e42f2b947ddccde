//! The log of one lane: everything its commands printed, and nothing of a failure kept from the reader.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::context::Context;
use crate::failure::{During, Failure};
use crate::process::{self, Ended, Errors};

/// Runs commands and writes what they print to `target/lanes/<lane>.log`.
#[derive(Debug)]
pub(crate) struct LaneLog<'a> {
    context: &'a Context,
    file: File,
    path: PathBuf,
    /// Longest time for one command, where a hang is likely.
    pub(crate) limit: Option<Duration>,
}

impl<'a> LaneLog<'a> {
    /// Starts an empty log.
    ///
    /// # Errors
    /// When the folder or file cannot be made.
    pub(crate) fn create(context: &'a Context, lane: &str) -> Result<Self, Failure> {
        let folder = context.root.join("target/lanes");
        std::fs::create_dir_all(&folder).during(|| format!("make {}", folder.display()))?;
        let path = folder.join(format!("{lane}.log"));
        let file = File::create(&path).during(|| format!("write {}", path.display()))?;
        Ok(Self {
            context,
            file,
            path,
            limit: None,
        })
    }

    /// Writes one line to the log only.
    pub(crate) fn note(&mut self, line: &str) {
        if let Err(error) = writeln!(self.file, "{line}") {
            // The log is for reading later; the result of the lane does not hang on it.
            eprintln!("tests/run: write {}: {error}", self.path.display());
        }
    }

    /// Runs a command whose failure is a result: its whole output is shown if it fails.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn run(&mut self, command: Command) -> Result<Ended, Failure> {
        let ended = self.run_quietly(command, Errors::Merged)?;
        if !ended.ok {
            eprint!("{}", ended.text);
        }
        Ok(ended)
    }

    /// Runs a command and returns its standard output apart from its errors.
    ///
    /// # Errors
    /// When it cannot be started or fails; what it said is shown first.
    pub(crate) fn read(&mut self, command: Command) -> Result<String, Failure> {
        let words = words_of(&command);
        let ended = self.run_quietly(command, Errors::Apart)?;
        if ended.ok {
            return Ok(ended.text);
        }
        self.show();
        Err(Failure::new(format!("run {words}")))
    }

    /// Runs a command whose failure may be what is wanted: nothing is shown.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn run_quietly(
        &mut self,
        command: Command,
        errors: Errors,
    ) -> Result<Ended, Failure> {
        let words = words_of(&command);
        self.note(&format!("$ {words}"));
        let own = self.limit.map(|limit| Instant::now() + limit);
        let deadline = own.into_iter().chain(self.context.deadline).min();
        let ended = process::run(command, errors, deadline, &mut |line| self.note(line))?;
        let verdict = match (ended.ok, ended.timed_out) {
            (_, true) => "killed: out of time",
            (true, false) => "ok",
            (false, false) => "failed",
        };
        self.note(&format!(
            "# {verdict} after {:.1} s",
            ended.took.as_secs_f64()
        ));
        if ended.timed_out {
            eprintln!("tests/run: out of time, killed: {words}");
        }
        Ok(ended)
    }

    /// Prints the log so far.
    pub(crate) fn show(&self) {
        match std::fs::read(&self.path) {
            Ok(bytes) => eprint!("{}", String::from_utf8_lossy(&bytes)),
            Err(error) => eprintln!("tests/run: read {}: {error}", self.path.display()),
        }
    }
}

fn words_of(command: &Command) -> String {
    let mut words = command.get_program().to_string_lossy().into_owned();
    for word in command.get_args() {
        words.push(' ');
        words.push_str(&word.to_string_lossy());
    }
    words
}
