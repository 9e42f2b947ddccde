//! One line per attempt, and the verdict.
//!
//! **An attempt counts as defeated only if a lock said so**: one that was never carried out proves
//! nothing and fails.

use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::reason::Reason;
use serde_json::json;

use crate::peer::{Said, Trouble};

/// Why an attempt is not a proof of safety.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Flaw {
    /// The attack worked.
    #[error("THE ATTACK WORKED: {0}")]
    Worked(String),
    /// It never got as far as the check that should stop it.
    #[error("not carried out: {0}")]
    NotCarriedOut(String),
}

impl From<Trouble> for Flaw {
    fn from(trouble: Trouble) -> Self {
        Self::NotCarriedOut(trouble.to_string())
    }
}

/// How an attempt ended: what shows its defeat, or why there is none.
pub(crate) type Ended = Result<String, Flaw>;

/// Shorthand for what keeps an attempt from being carried out.
pub(crate) fn not_carried_out(why: impl Into<String>) -> Flaw {
    Flaw::NotCarriedOut(why.into())
}

/// All attempts so far.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    passed: usize,
    failed: usize,
}

impl Report {
    pub(crate) const fn new(json: bool) -> Self {
        Self {
            json,
            passed: 0,
            failed: 0,
        }
    }

    /// Makes one attempt and prints how it ended.
    pub(crate) fn attempt(&mut self, name: &str, attack: impl FnOnce() -> Ended) {
        let (ok, evidence) = match attack() {
            Ok(evidence) => (true, evidence),
            Err(flaw) => (false, flaw.to_string()),
        };
        *(if ok {
            &mut self.passed
        } else {
            &mut self.failed
        }) += 1;
        if self.json {
            println!(
                "{}",
                json!({"attempt": name, "ok": ok, "evidence": evidence})
            );
        } else {
            println!("{} {name}: {evidence}", if ok { "ok  " } else { "FAIL" });
        }
    }

    /// Prints the last line; whether every attempt was made and defeated.
    pub(crate) fn sum_up(&self) -> bool {
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0 && self.passed > 0
    }
}

/// What the lock answered must be a refusal for one of `allowed`.
pub(crate) fn refused(said: &Said, allowed: &[Reason]) -> Ended {
    let (reason, how) = match said {
        Said::Outcome(outcome) => match outcome.verdict {
            Verdict::Refused | Verdict::Expired | Verdict::NotExecuted => {
                (outcome.reason, "the lock signed a refusal")
            }
            Verdict::Done | Verdict::Failed => {
                return Err(Flaw::Worked(format!("the motor ran: {outcome:?}")));
            }
            _ => {
                return Err(not_carried_out(format!(
                    "the lock cannot tell: {outcome:?}"
                )));
            }
        },
        Said::Refused(reason) => (*reason, "the lock refused in its session"),
        other => return Err(Flaw::Worked(format!("the lock agreed: {other:?}"))),
    };
    if allowed.contains(&reason) {
        Ok(format!("{how}: {}", reason.name()))
    } else {
        Err(not_carried_out(format!(
            "another check stopped it first: {}",
            reason.name()
        )))
    }
}

/// As [`refused`], but only the lock's signature will do.
pub(crate) fn refused_and_signed(said: &Said, allowed: &[Reason]) -> Ended {
    match said {
        Said::Refused(reason) => Err(not_carried_out(format!(
            "refused without a signature: {}",
            reason.name()
        ))),
        said => refused(said, allowed),
    }
}
