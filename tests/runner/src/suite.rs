//! Runs `cargo test` on a selection and reads what it said.

use std::path::Path;
use std::process::Command;

use crate::claims;
use crate::context::Context;
use crate::failure::Failure;
use crate::harness::{self, Executables, TestRun};
use crate::lane_log::LaneLog;
use crate::process::Errors;

/// Ten simulated years take four times as long unoptimised, so the full counts of this package run as a release build.
const OPTIMISED_IN_FULL: &str = "drawbridge-simulator";

/// Its guests want the whole machine, so it has a lane of its own.
pub(crate) const BENCH: &str = "drawbridge-bench";

/// Where and what to test.
#[derive(Debug, Clone)]
pub(crate) struct Suite<'a> {
    pub(crate) context: &'a Context,
    /// Another copy of the project, with its own build folder, instead of the project itself.
    pub(crate) copy: Option<(&'a Path, &'a Path)>,
    /// Cargo's words for the selection, such as `--workspace`.
    words: Vec<String>,
    /// Whether this is the simulator and nothing else.
    is_simulator: bool,
}

impl<'a> Suite<'a> {
    /// Every test of every crate but the bench, once, in the order in which to run them.
    pub(crate) fn workspace(context: &'a Context) -> Vec<Self> {
        let suite = |words: &[&str], is_simulator| Self {
            context,
            copy: None,
            words: words.iter().map(|&word| word.to_owned()).collect(),
            is_simulator,
        };
        if context.full {
            let apart = ["--exclude", BENCH, "--exclude", OPTIMISED_IN_FULL];
            let others = suite(&[&["--workspace"][..], &apart].concat(), false);
            vec![others, suite(&["--package", OPTIMISED_IN_FULL], true)]
        } else {
            vec![suite(&["--workspace", "--exclude", BENCH], false)]
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
            is_simulator: package == OPTIMISED_IN_FULL,
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
        if self.is_optimised() {
            command.arg("--release");
        }
        if let Some((folder, target)) = self.copy {
            command.current_dir(folder).env("CARGO_TARGET_DIR", target);
        }
        command
    }

    /// A planted bug is looked for in a copy, which keeps to one kind of build.
    fn is_optimised(&self) -> bool {
        self.context.full && self.copy.is_none() && self.is_simulator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(context: &Context) -> Vec<Vec<String>> {
        let arguments = |suite: Suite<'_>| {
            let command = suite.cargo();
            let words = command.get_args().skip(2);
            words
                .map(|word| word.to_string_lossy().into_owned())
                .collect()
        };
        Suite::workspace(context)
            .into_iter()
            .map(arguments)
            .collect()
    }

    // Guards: a package that the full lane leaves out, and ten years of days that take hours.
    #[test]
    fn full_run_tests_every_package_once_and_simulates_in_a_release_build() {
        let mut context = Context::open(false).unwrap();
        assert_eq!(words(&context), [["--workspace", "--exclude", BENCH]]);
        context.full = true;
        let simulator = "drawbridge-simulator";
        assert_eq!(
            words(&context),
            [
                vec!["--workspace", "--exclude", BENCH, "--exclude", simulator],
                vec!["--package", simulator, "--release"]
            ]
        );
    }

    // Guards: a number shown in full by days that take hours, or a copy with a bug in it that is built twice.
    #[test]
    fn release_build_is_for_full_counts_of_the_simulator_alone() {
        let mut context = Context::open(false).unwrap();
        let is_optimised = |context: &Context, package| {
            Suite::of(context, package, Some("test:days"), &[])
                .unwrap()
                .is_optimised()
        };
        assert!(!is_optimised(&context, OPTIMISED_IN_FULL));
        context.full = true;
        assert!(is_optimised(&context, OPTIMISED_IN_FULL));
        assert!(!is_optimised(&context, "drawbridge-lock"));
        let mut suite = Suite::of(&context, OPTIMISED_IN_FULL, None, &[]).unwrap();
        suite.copy = Some((Path::new("tree"), Path::new("build")));
        assert!(!suite.is_optimised());
    }
}
