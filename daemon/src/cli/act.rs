//! One wish, "move this bolt", until the lock itself has said what came of it.
//!
//! Ask where the lock stands, sign, send, listen. The same bytes may be sent again (the lock knows
//! command ids, so that a repeat moves nothing); **other bytes only after the lock signed that the
//! earlier ones did not act and never will**, and only for stale numbers.

use std::time::Duration;

use drawbridge_protocol::command::Action;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::Nonce;
use serde_json::json;

use super::carrier::{Carrier, CarryError, bytes};
use super::exit::Exit;
use super::fault::Fault;
use super::output::Output;
use super::result_message::{HubWord, ResultMessage};
use crate::owner::command::{FreshInfo, Judgement, Settled, SignError, SignedCommand, judge};
use crate::owner::keys::OwnerKeys;
use crate::owner::lock_record::LockRecord;

/// Commands signed for one wish at most.
const ATTEMPTS: u32 = 3;
/// Silence after which the same bytes are sent again.
const REPEAT: Duration = Duration::from_secs(8);
/// How long a hub's unproven last word is waited on for the lock's signed one.
const GRACE: Duration = Duration::from_secs(5);
/// How long an answer about where the lock stands may take; the link may have to come up first.
const INFO: Duration = Duration::from_secs(20);
/// How often the clock is looked at while listening.
const SLICE: Duration = Duration::from_millis(500);

/// What is wished for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// What the bolt is to do.
    pub(super) action: Action,
    /// How long a command for it may live.
    pub(super) ttl: Duration,
    /// How long to wait for the lock's word.
    pub(super) wait: Duration,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// By the lock's word.
    Settled(Box<Settled>),
    /// The hub would not take the command and had not taken it before.
    HubRefused {
        /// In the hub's words.
        reason: String,
    },
    /// Not at all in time. The last thing the hub said, if anything.
    Open {
        /// In the hub's words.
        last: Option<String>,
    },
}

/// Everything a wish needs.
pub(super) struct Act<'a> {
    pub(super) carrier: &'a mut dyn Carrier,
    pub(super) keys: &'a OwnerKeys,
    pub(super) record: &'a LockRecord,
    pub(super) output: Output,
    /// Time since any fixed moment; never goes back.
    pub(super) now: &'a mut dyn FnMut() -> Duration,
}

/// What became of a wish.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) ended: Ended,
    /// The last command that was sent.
    pub(super) sent: SignedCommand,
    /// How many were signed.
    pub(super) attempts: u32,
}

/// Asks the lock where it stands, with a nonce of our own.
pub(super) fn fresh_info(
    carrier: &mut dyn Carrier,
    keys: &OwnerKeys,
    record: &LockRecord,
    entropy: &mut impl Entropy,
    within: Duration,
) -> Result<FreshInfo, Fault> {
    const VERB: &str = "lock.session_info";
    let nonce = Nonce(entropy.bytes());
    let data = json!({
        "lock": record.id.to_string(),
        "nonce": nonce.to_string(),
        "holder": keys.identity.public().to_string(),
    });
    let act = format!("ask '{}' where it stands", record.name);
    let answer = carrier
        .ask(VERB, data, within)
        .map_err(|error| error.fault(&act))?;
    let statement = bytes(VERB, &answer, "statement").map_err(|error| error.fault(&act))?;
    FreshInfo::verify(record, nonce, &statement).map_err(|error| sign_fault(&error))
}

/// What an error of signing comes to: nothing was sent.
pub(super) fn sign_fault(error: &SignError) -> Fault {
    let (exit, code) = match error {
        SignError::Lifetime(_) => (Exit::Usage, "lifetime"),
        SignError::NotOurs => (Exit::Refused, "not_ours"),
        _ => (Exit::Refused, "not_verified"),
    };
    Fault::from_error(exit, code, error).next(error.advice())
}

impl Act<'_> {
    /// Goes for it.
    pub(super) fn run(mut self, wish: Wish, entropy: &mut impl Entropy) -> Result<Done, Fault> {
        let deadline = (self.now)() + wish.wait;
        let mut attempts = 0;
        loop {
            attempts += 1;
            self.output
                .progress(&format!("asking {} where it stands", self.shown()));
            let left = deadline
                .saturating_sub((self.now)())
                .min(INFO)
                .max(Duration::from_secs(1));
            let info = fresh_info(self.carrier, self.keys, self.record, entropy, left)?;
            let ttl = u64::try_from(wish.ttl.as_millis()).unwrap_or(u64::MAX);
            let sent = SignedCommand::new(self.keys, &info, wish.action, ttl)
                .map_err(|error| sign_fault(&error))?;
            let ended = self.deliver(&sent, deadline)?;
            match &ended {
                Ended::Settled(settled)
                    if settled.may_sign_anew()
                        && attempts < ATTEMPTS
                        && (self.now)() < deadline => {}
                _ => {
                    return Ok(Done {
                        ended,
                        sent,
                        attempts,
                    });
                }
            }
        }
    }

    fn shown(&self) -> String {
        super::plain_text::plain(&self.record.name)
    }

    fn deliver(&mut self, sent: &SignedCommand, deadline: Duration) -> Result<Ended, Fault> {
        self.output
            .progress(&format!("sending the signed command to {}", self.shown()));
        let first = self.carrier.send(self.record.id, &sent.bytes);
        first.map_err(|error| error.fault_of_change("send the command"))?;
        let mut heard = Heard {
            at: (self.now)(),
            taken: false,
            last: None,
            over: None,
        };
        loop {
            let now = (self.now)();
            let until = heard
                .over
                .map_or(deadline, |over| deadline.min(over + GRACE));
            if now >= until {
                return Ok(Ended::Open { last: heard.last });
            }
            match self.carrier.result(SLICE.min(until - now)) {
                Ok(Some(value)) => {
                    heard.at = now;
                    if let Some(ended) = self.hear(sent, &value, &mut heard) {
                        return Ok(ended);
                    }
                }
                Ok(None) if now.saturating_sub(heard.at) >= REPEAT && heard.over.is_none() => {
                    heard.at = now;
                    // The way may be gone for the moment; the deadline ends this.
                    if let Err(error) = self.carrier.send(self.record.id, &sent.bytes) {
                        heard.last.get_or_insert_with(|| error.to_string());
                    }
                }
                Ok(None) => {}
                Err(CarryError::Refused { code, message, .. }) if !heard.taken => {
                    return Ok(Ended::HubRefused {
                        reason: format!("{message} ({code})"),
                    });
                }
                Err(error) => heard.last = Some(error.to_string()),
            }
        }
    }

    /// Takes one result in; says so when it ends the wait.
    fn hear(
        &self,
        sent: &SignedCommand,
        value: &serde_json::Value,
        heard: &mut Heard,
    ) -> Option<Ended> {
        let message = ResultMessage::read(value).filter(|message| message.command == sent.id)?;
        match judge(self.record, sent, message.report.as_deref()) {
            Judgement::Settled(settled) if settled.is_final() => {
                return Some(Ended::Settled(settled));
            }
            // The lock cannot tell, or has not seen it yet: what follows may still settle it.
            Judgement::Settled(settled) => {
                heard.taken = true;
                heard.last = Some(settled.outcome.verdict.to_string());
                return None;
            }
            Judgement::Forged => {
                heard.last = Some("bytes that are not signed by this lock".to_owned());
                self.output.note(
                    "a result came with bytes that this lock did not sign; they count for nothing",
                );
                return None;
            }
            Judgement::Hearsay => {}
        }
        let reason = message.reason.as_deref().filter(|reason| *reason != "none");
        let said = reason.map_or_else(
            || message.status.clone(),
            |reason| format!("{}: {reason}", message.status),
        );
        match message.word {
            HubWord::Accepted | HubWord::Delivered | HubWord::Unknown => {
                heard.taken = true;
                self.output
                    .progress(&format!("{}: {}", self.shown(), message.status));
            }
            HubWord::Over if !heard.taken && message.status == "refused" => {
                return Some(Ended::HubRefused { reason: said });
            }
            HubWord::Over => heard.over = heard.over.or(Some(heard.at)),
        }
        heard.last = Some(said);
        None
    }
}

/// What was heard so far about one command.
struct Heard {
    /// When it was sent or heard of last.
    at: Duration,
    /// Whether the hub said that it took it: from then on only the lock can say no.
    taken: bool,
    last: Option<String>,
    /// When the hub first said, unproven, that it is over.
    over: Option<Duration>,
}

#[cfg(test)]
#[path = "act_tests.rs"]
mod tests;
