//! What `doctor` looks at, one file per subject.
//!
//! **A check says `ok` only about what it saw itself**; what could not be looked at is a warning, a
//! failure, or skipped with the reason, never good.

mod air;
mod broker;
mod certificate;
mod clock;
mod daemon;
mod store;

use std::path::Path;

use serde_json::{Value, json};

use super::client_config::ClientConfig;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Good, seen to be so.
    Ok,
    /// Works, but not for long or not for certain.
    Warn,
    /// Does not work.
    Fail,
    /// Not looked at, for the reason given.
    Skip,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    /// Subject and step.
    pub(super) name: String,
    /// How it ended.
    pub(super) verdict: Verdict,
    /// What was found, or the exact reason.
    pub(super) detail: String,
    /// What to do.
    pub(super) advice: Option<String>,
}

impl Check {
    fn new(name: &str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            verdict,
            detail: detail.into(),
            advice: None,
        }
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// For programs.
    pub(super) fn value(&self) -> Value {
        json!({
            "check": self.name,
            "status": self.verdict.name(),
            "detail": self.detail,
            "advice": self.advice,
        })
    }
}

/// All of them, in the order in which one failure explains the next.
pub(super) fn all(config: &ClientConfig, state_dir: &Path) -> Vec<Check> {
    let mut checks = clock::check();
    checks.extend(store::check(state_dir));
    checks.extend(air::check());
    checks.extend(certificate::check(config.broker.as_ref()));
    checks.extend(broker::check(config.broker.as_ref()));
    checks.extend(daemon::check(&config.socket));
    checks
}
