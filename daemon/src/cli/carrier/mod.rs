//! How requests and signed commands travel. Two ways, one contract; what they bring back is never
//! believed for the way it came.
//!
//! Calls: any number of [`Carrier::ask`]; or [`Carrier::send`] and then [`Carrier::result`] until
//! satisfied; or [`Carrier::follow`] and then [`Carrier::update`]. All block, each within its limit.
//! **An error says whether the other side may have acted** ([`CarryError::may_have_succeeded`]).

pub(super) mod broker;
mod fields;
pub(super) mod local;

use std::error::Error;
use std::time::Duration;

use drawbridge_protocol::ids::LockId;
use serde_json::Value;

pub(super) use self::fields::{base64, bytes, field};
use super::exit::Exit;
use super::fault::{Fault, chain};

/// What to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// What happens at the hub.
    Events,
    /// The state of locks.
    Watch,
}

/// A way to the hub.
pub(super) trait Carrier {
    /// For people: where requests go.
    fn place(&self) -> String;

    /// The hub's id, where the way names it.
    fn hub(&self) -> Option<&str>;

    /// Asks the hub.
    fn ask(&mut self, verb: &str, data: Value, within: Duration) -> Result<Value, CarryError>;

    /// Sends a signed command; its results come from [`Carrier::result`]. After an error of either,
    /// sending again makes the way anew where it is broken.
    fn send(&mut self, lock: LockId, command: &[u8]) -> Result<(), CarryError>;

    /// The next result about the commands sent, in the form of `mqtt.md`; `None` when there is none
    /// in time.
    fn result(&mut self, within: Duration) -> Result<Option<Value>, CarryError>;

    /// Starts a stream.
    fn follow(&mut self, stream: Stream) -> Result<(), CarryError>;

    /// The next of it; `None` when there is none in time.
    fn update(&mut self, within: Duration) -> Result<Option<Value>, CarryError>;
}

/// Why a request or command did not travel, or no answer did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum CarryError {
    /// Nobody there; nothing was sent.
    #[error("reach {place}: {reason}")]
    Unreachable {
        /// Whom.
        place: String,
        /// As a chain.
        reason: String,
        /// What to do.
        next: String,
    },
    /// The connection ended after something was sent.
    #[error("wait for {place}: {reason}")]
    Broken {
        /// Whom.
        place: String,
        /// As a chain.
        reason: String,
    },
    /// No answer in time.
    #[error("wait for {place} to answer '{verb}': nothing within {} s", within.as_secs())]
    NoAnswer {
        /// Whom.
        place: String,
        /// What was asked.
        verb: String,
        /// How long.
        within: Duration,
    },
    /// The hub said no, and acted not.
    #[error("{verb}: the hub refused: {message} ({code})")]
    Refused {
        /// What was asked.
        verb: String,
        /// A stable word.
        code: String,
        /// For people.
        message: String,
        /// What the hub advises.
        advice: Option<String>,
    },
    /// The broker took it and says that nobody gets it.
    #[error("reach {place}: the broker says that no hub of this id listens")]
    Unheard {
        /// Whom.
        place: String,
    },
    /// The broker said no.
    #[error("publish to {topic}: the broker refused ({reason})")]
    NotAllowed {
        /// Where to.
        topic: String,
        /// Its word for it.
        reason: String,
    },
    /// The answer is not what was agreed.
    #[error("understand the answer to '{verb}': {what}")]
    Malformed {
        /// What was asked.
        verb: String,
        /// What is wrong.
        what: String,
    },
    /// Not to be had this way.
    #[error("ask for '{verb}' through the broker: {}", not_this_way(verb))]
    NotThisWay {
        /// What was asked.
        verb: String,
    },
}

impl CarryError {
    /// Whether the hub may have acted on what was sent.
    pub(super) const fn may_have_succeeded(&self) -> bool {
        matches!(
            self,
            Self::Broken { .. } | Self::NoAnswer { .. } | Self::Malformed { .. }
        )
    }

    /// For a request that changes nothing: an answer that did not come is an unreachable hub.
    pub(super) fn fault(&self, act: &str) -> Fault {
        self.fault_as(act, Exit::Unreachable)
    }

    /// For a request that may have changed something: an answer that did not come is an open outcome.
    pub(super) fn fault_of_change(&self, act: &str) -> Fault {
        self.fault_as(act, Exit::Unknown)
    }

    fn fault_as(&self, act: &str, silence: Exit) -> Fault {
        let (exit, code) = match self {
            Self::Unreachable { .. } | Self::Unheard { .. } => (Exit::Unreachable, "unreachable"),
            Self::Broken { .. } | Self::NoAnswer { .. } => (silence, "no_answer"),
            Self::Malformed { .. } if silence == Exit::Unknown => {
                (Exit::Unknown, "malformed_answer")
            }
            Self::Malformed { .. } => (Exit::Refused, "malformed_answer"),
            Self::Refused { code, .. } => (Exit::Refused, code.as_str()),
            Self::NotAllowed { .. } => (Exit::Refused, "not_allowed"),
            Self::NotThisWay { .. } => (Exit::Usage, "not_this_way"),
        };
        let fault = Fault::from_error(exit, code, self).next(self.next_step());
        if act.is_empty() {
            fault
        } else {
            fault.during(act)
        }
    }

    fn next_step(&self) -> String {
        match self {
            Self::Unreachable { next, .. } => next.clone(),
            Self::Refused { code, advice, .. } => advice_on(code).map_or_else(
                || {
                    advice
                        .clone()
                        .unwrap_or_else(|| "drawbridge doctor".to_owned())
                },
                str::to_owned,
            ),
            Self::Unheard { .. } => {
                "check the hub's id (--hub) and, on the hub, its connection: drawbridge doctor"
                    .to_owned()
            }
            Self::NotAllowed { .. } => {
                "check the broker's rules for this certificate (config/mosquitto.acl shows them)"
                    .to_owned()
            }
            Self::NotThisWay { .. } => "repeat it on the hub, with --local".to_owned(),
            Self::Malformed { .. } => {
                "drawbridge --version, on both sides: are they of one release?".to_owned()
            }
            Self::Broken { .. } | Self::NoAnswer { .. } => "drawbridge doctor".to_owned(),
        }
    }
}

/// Why the broker is no way for a request of ours. The hub answers more verbs there (`mqtt.md`) than
/// this program asks for.
fn not_this_way(verb: &str) -> &'static str {
    match verb {
        "lock.audit" | "lock.command" | "events" | "watch" => {
            "the hub offers it only at its own control socket"
        }
        _ => "this program asks for it only at the hub's own control socket",
    }
}

/// Our own words for the refusals that users meet; they do not depend on the hub's honesty.
fn advice_on(code: &str) -> Option<&'static str> {
    Some(match code {
        "window_closed" => {
            "press the button inside the lock, then repeat this within 120 s; nothing is lost"
        }
        "wrong_secret" => "scan the code on this very lock; another lock's code was given",
        "already_owned" => {
            "ask its owner for a grant; or, at the lock, hold the inside button for 10 s to reset it, then pair again"
        }
        "unknown_lock" => "drawbridge lock list",
        "lock_not_found" | "lock_unreachable" | "pairing_timed_out" => {
            "bring hub and lock closer, press the button, and repeat"
        }
        "bond_failed" => "repeat it; if it stays so: drawbridge doctor",
        "not_pairing" => "repeat this command; the pairing had ended",
        "already_paired" => {
            "drawbridge lock show (to see it), or drawbridge lock remove LOCK --yes to pair it anew"
        }
        "commands_unresolved" => "wait until they are settled, or repeat with --force",
        "busy" => "wait a moment and repeat",
        "stopping" => "wait until the daemon is back: systemctl status drawbridge",
        _ => return None,
    })
}

/// Builds [`CarryError::Unreachable`] from an error and its causes.
fn unreachable(place: &str, error: &dyn Error, next: impl Into<String>) -> CarryError {
    CarryError::Unreachable {
        place: place.to_owned(),
        reason: chain(error),
        next: next.into(),
    }
}

#[cfg(test)]
pub(super) mod fake;
