//! Signing commands, and judging what is said to have come of one.
//!
//! Order: ask for a `session_info` with a fresh nonce; [`FreshInfo::verify`]; [`SignedCommand::new`];
//! send; [`judge`] each result. Only when [`Settled::may_sign_anew`] is a further command for the
//! same wish signed, from a fresh `session_info` again.
//!
//! **A second command for one wish is signed only after the lock signed that the first one did not
//! act and never will.** Whatever a hub says by itself never leads to one.

use drawbridge_protocol::codec::CodecError;
use drawbridge_protocol::command::{Action, Command, MAX_AHEAD_VIA_HUB_MS, MAX_COMMAND};
use drawbridge_protocol::cose::CoseError;
use drawbridge_protocol::ids::{CommandId, LockId, Nonce};
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::session_info::SessionInfo;

use super::keys::OwnerKeys;
use super::lock_record::LockRecord;

/// Why nothing can be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// Not signed by the lock.
    #[error("verify the lock's session info")]
    Info(#[source] CoseError),
    /// Signed by the lock for another question, hence of another time.
    #[error("verify the lock's session info: it does not answer our nonce")]
    NotFresh,
    /// Of another lock.
    #[error("verify the lock's session info: it is of another lock")]
    OtherLock,
    /// The lock is not ours, or not any more.
    #[error("verify the lock's session info: the lock has another owner, or none")]
    NotOurs,
    /// A life of 0 or over 60 s.
    #[error("sign a command that lives {0} ms: it may live 1 to {MAX_AHEAD_VIA_HUB_MS} ms")]
    Lifetime(u64),
    /// The lock's counter is at its end; a reboot of the lock begins a new one.
    #[error("number the command: the lock's counter is at its end")]
    CounterSpent,
    /// A statement outgrew its bound.
    #[error("encode the command")]
    Encode(#[source] CodecError),
}

impl SignError {
    /// What to do next.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Info(_) | Self::NotFresh | Self::OtherLock => {
                "nothing was signed; try again, and if it stays so, distrust the hub or broker between"
            }
            Self::NotOurs => "was the lock reset? claim it again: drawbridge owner claim --help",
            Self::Lifetime(_) => "give --ttl 1 to 60 seconds",
            Self::CounterSpent => "restart the lock",
            Self::Encode(_) => "report this",
        }
    }

    /// Nothing was signed, so nothing can act.
    #[must_use]
    pub fn may_have_succeeded(&self) -> bool {
        false
    }

    /// Whether the same may work later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::NotFresh)
    }
}

/// Where the lock stands, signed by it in answer to our own nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreshInfo(SessionInfo);

impl FreshInfo {
    /// Checks signature, nonce, lock and ownership.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn verify(record: &LockRecord, nonce: Nonce, bytes: &[u8]) -> Result<Self, SignError> {
        let info = SessionInfo::verify(bytes, &record.identity).map_err(SignError::Info)?;
        if info.lock != record.id {
            return Err(SignError::OtherLock);
        }
        if info.nonce != Some(nonce) {
            return Err(SignError::NotFresh);
        }
        if record.ownership().is_none() || info.ownership != record.ownership() {
            return Err(SignError::NotOurs);
        }
        Ok(Self(info))
    }

    /// What the lock said.
    #[must_use]
    pub fn info(&self) -> &SessionInfo {
        &self.0
    }
}

/// A command, ready for any carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCommand {
    /// For which lock.
    pub lock: LockId,
    /// Its id, as in results.
    pub id: CommandId,
    /// What it says.
    pub command: Command,
    /// The bytes to send, nothing around them.
    pub bytes: Vec<u8>,
}

impl SignedCommand {
    /// Signs `action` so that it is dead `ttl_ms` of lock time after `info`.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn new(
        keys: &OwnerKeys,
        info: &FreshInfo,
        action: Action,
        ttl_ms: u64,
    ) -> Result<Self, SignError> {
        if !(1..=MAX_AHEAD_VIA_HUB_MS).contains(&ttl_ms) {
            return Err(SignError::Lifetime(ttl_ms));
        }
        let info = info.info();
        let command = Command {
            lock: info.lock,
            action,
            epoch: info.epoch,
            counter: info.counter.checked_add(1).ok_or(SignError::CounterSpent)?,
            // Told nothing, we ask for an index that reaches back to the first record: the answer
            // may then be "forgotten" where a better one existed, never "not executed" by mistake.
            log_position: info.log_seq.unwrap_or(0),
            expiry_ms: info.time_ms.saturating_add(ttl_ms),
            grant: None,
        };
        let mut out = [0; MAX_COMMAND];
        let bytes = command
            .sign(&keys.identity, &mut out)
            .map_err(SignError::Encode)?
            .to_vec();
        let id = Command::read(&bytes)
            .map_err(|_| SignError::Encode(CodecError::Malformed))?
            .id;
        Ok(Self {
            lock: info.lock,
            id,
            command,
            bytes,
        })
    }
}

/// What a result amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing that the lock signed about this command.
    Hearsay,
    /// Bytes that pretend to be the lock's and are not, or are about another command.
    Forged,
    /// The lock's word.
    Settled(Box<Settled>),
}

/// The lock's signed word on a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// What it says.
    pub outcome: Outcome,
    /// As signed.
    pub report: Vec<u8>,
}

impl Settled {
    /// Whether nothing that comes later changes it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.outcome.verdict.is_final()
    }

    /// Whether the bolt was not moved for it, never will be, and only stale numbers were the cause:
    /// then, and only then, the same wish may be signed anew.
    #[must_use]
    pub fn may_sign_anew(&self) -> bool {
        let never = matches!(
            self.outcome.verdict,
            Verdict::Refused | Verdict::Expired | Verdict::NotExecuted
        );
        let stale = matches!(self.outcome.reason, Reason::WrongEpoch | Reason::Counter);
        never && stale && !self.outcome.reason.may_have_succeeded()
    }
}

/// Judges the `report` that came with a result about `sent`.
#[must_use]
pub fn judge(record: &LockRecord, sent: &SignedCommand, report: Option<&[u8]>) -> Judgement {
    let Some(report) = report else {
        return Judgement::Hearsay;
    };
    match Outcome::verify(report, &record.identity) {
        Ok(outcome) if outcome.command == sent.id && outcome.info.lock == record.id => {
            Judgement::Settled(Box::new(Settled {
                outcome,
                report: report.to_vec(),
            }))
        }
        _ => Judgement::Forged,
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
