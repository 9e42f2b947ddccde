//! Runs `cargo test` on a selection and reads what it said.

use std::path::Path;
use std::process::Command;

use crate::claims;
use crate::context::Context;
use crate::failure::Failure;
use crate::harness::{self, Executables, TestRun};
use crate::lane_log::LaneLog;
use crate::process::Errors;

/// Where and what to test.
#[derive(Debug, Clone)]
pub(crate) struct Suite<'a> {
    pub(crate) context: &'a Context,
    /// Another copy of the project, with its own build folder, instead of the project itself.
    pub(crate) copy: Option<(&'a Path, &'a Path)>,
    /// Cargo's words for the selection, such as `--workspace`.
    pub(crate) words: Vec<String>,
}

impl<'a> Suite<'a> {
    /// Every test of every crate.
    pub(crate) fn workspace(context: &'a Context) -> Self {
        Self {
            context,
            copy: None,
            words: vec!["--workspace".to_owned()],
        }
    }

    /// One package, or one target of it spelt as in the claims; `None` if it is not spelt so.
    pub(crate) fn of(
        context: &'a Context,
        package: &str,
        target: Option<&str>,
        features: &[String],
    ) -> Option<Self> {
        let mut words = vec!["--package".to_owned(), package.to_owned()];
        if let Some(target) = target {
            words.extend(claims::cargo_target(target)?);
        }
        if !features.is_empty() {
            words.extend(["--features".to_owned(), features.join(",")]);
        }
        Some(Self {
            context,
            copy: None,
            words,
        })
    }

    /// Compiles the tests; `None`, with the compiler's words shown, if they do not compile.
    ///
    /// # Errors
    /// When cargo cannot be started.
    pub(crate) fn build(&self, log: &mut LaneLog<'_>) -> Result<Option<Executables>, Failure> {
        let mut command = self.cargo();
        command.args(["--no-run", "--message-format=json-render-diagnostics"]);
        let ended = log.run_quietly(command, Errors::Apart)?;
        if ended.ok {
            return Ok(Some(harness::executables(&ended.text)));
        }
        log.show();
        Ok(None)
    }

    /// Runs the tests whose name contains `filter`, or all; the flag is cargo's own verdict.
    ///
    /// # Errors
    /// When cargo cannot be started.
    pub(crate) fn run(
        &self,
        log: &mut LaneLog<'_>,
        executables: &Executables,
        filter: Option<&str>,
    ) -> Result<(bool, TestRun), Failure> {
        let mut command = self.cargo();
        command
            .args(["--no-fail-fast", "--"])
            .args(filter)
            .arg("--show-output");
        let ended = log.run_quietly(command, Errors::Merged)?;
        let mut run = harness::parse(&ended.text, executables);
        if ended.timed_out {
            run.problems.push("out of time".to_owned());
        }
        Ok((ended.ok, run))
    }

    fn cargo(&self) -> Command {
        let mut command = self.context.cargo(["test", "--locked"]);
        command.args(&self.words);
        if let Some((folder, target)) = self.copy {
            command.current_dir(folder).env("CARGO_TARGET_DIR", target);
        }
        command
    }
}
