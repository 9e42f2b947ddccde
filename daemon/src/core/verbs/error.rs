//! Why a request was not done.

use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::reason::Reason;
use serde_json::{Value, json};

/// An answer that says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct VerbError {
    /// Stable, for programs.
    pub code: &'static str,
    /// The act that failed, for people.
    pub message: String,
    /// What to do next.
    pub advice: String,
}

impl VerbError {
    fn new(code: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            advice: advice.into(),
        }
    }

    /// As it is published.
    #[must_use]
    pub fn document(&self) -> Value {
        json!({"code": self.code, "message": self.message, "advice": self.advice})
    }

    pub(in crate::core) fn bad_request(why: &str) -> Self {
        let message = format!("read the request: {why}");
        Self::new("bad_request", message, "correct the request")
    }

    pub(in crate::core) fn bad_statement(what: &str) -> Self {
        let message = format!("read {what}");
        Self::new(
            "bad_statement",
            message,
            "send the bytes as they were signed",
        )
    }

    pub(in crate::core) fn unknown_verb() -> Self {
        Self::new(
            "unknown_verb",
            "find the verb",
            "see `drawbridge help` for what this hub can do",
        )
    }

    pub(in crate::core) fn unknown_lock() -> Self {
        Self::new(
            "unknown_lock",
            "find the lock",
            "list the locks with `drawbridge lock list`",
        )
    }

    pub(in crate::core) fn not_pairing() -> Self {
        Self::new(
            "not_pairing",
            "find a pairing with this lock",
            "begin with `drawbridge owner claim`",
        )
    }

    pub(in crate::core) fn unreachable(lock: LockId) -> Self {
        Self::new(
            "lock_unreachable",
            format!("reach lock {lock}"),
            format!("try again; see `drawbridge lock show {lock}` for the link"),
        )
    }

    pub(in crate::core) fn busy() -> Self {
        Self::new("busy", "take another request", "try again in a moment")
    }

    pub(in crate::core) fn unresolved(count: usize) -> Self {
        Self::new(
            "commands_unresolved",
            format!("remove a lock with {count} commands whose outcome is not known"),
            "wait for them, or repeat with `force`",
        )
    }

    pub(in crate::core) fn already_paired(lock: LockId) -> Self {
        Self::new(
            "already_paired",
            "pair with a lock that this hub has",
            format!("remove it first with `drawbridge lock remove {lock}`"),
        )
    }

    pub(in crate::core) fn replaced() -> Self {
        Self::new(
            "replaced",
            "finish the request: a newer one took its place",
            "look for the answer to the newer one",
        )
    }

    pub(in crate::core) fn pairing(step: &'static str) -> Self {
        let (message, advice) = match step {
            "searching" => (
                "find the lock on the air",
                "bring the hub closer, press the button inside the lock, try again",
            ),
            "window_closed" => (
                "enter the pairing window",
                "press the button inside the lock, then try again within 120 s; after many wrong codes the lock waits up to an hour first",
            ),
            "wrong_secret" => (
                "prove the code to the lock",
                "scan the code of this lock again",
            ),
            "connecting" => ("connect to the lock", "bring the hub closer, try again"),
            _ => ("finish pairing in time", "try again"),
        };
        let code = match step {
            "window_closed" | "wrong_secret" => step,
            "searching" => "lock_not_found",
            "connecting" => "lock_unreachable",
            _ => "pairing_timed_out",
        };
        Self::new(code, message, advice)
    }

    pub(in crate::core) fn refused(reason: Reason) -> Self {
        let advice = match reason {
            Reason::AlreadyOwned => "ask its owner, or reset the lock by its button",
            Reason::WindowClosed => "press the button inside the lock, then try again within 120 s",
            reason if reason.is_temporary() => "try again",
            _ => "check that the request was made for this lock and by its owner",
        };
        let message = format!("have the lock take the request: {reason}");
        Self::new(reason.name(), message, advice)
    }

    pub(in crate::core) fn store() -> Self {
        Self::new(
            "store_failed",
            "store what the request needs",
            "see `drawbridge doctor` for the disk",
        )
    }

    pub(in crate::core) fn full(what: &'static str) -> Self {
        let message = format!("keep more {what}");
        Self::new("full", message, "remove what is not needed")
    }

    pub(in crate::core) fn bad_name() -> Self {
        Self::new(
            "bad_name",
            "take this name",
            "use 1 to 64 visible characters",
        )
    }
}
