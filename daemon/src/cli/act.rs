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
/// The longest pause before the first attempt to send again where the way broke; doubled with each
/// further failure up to [`AGAIN_MOST`]. Each pause is a random part of that (full jitter): where two
/// runs with one certificate throw each other out, one of them gets through.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MOST: Duration = Duration::from_secs(4);
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
    /// Hub or broker says that it did not take the command, which was sent once. The lock has signed
    /// nothing of the kind: whoever says so can have handed it on all the same.
    SaidNo {
        /// In its words.
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
    /// Waits; `now` goes on meanwhile.
    pub(super) pause: &'a mut dyn FnMut(Duration),
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
            let ended = self.deliver(&sent, deadline, entropy)?;
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

    /// From the first sending to the end of the wait. A way that breaks in between is made anew, and
    /// the same bytes go over it, until the wait is over.
    fn deliver(
        &mut self,
        sent: &SignedCommand,
        deadline: Duration,
        entropy: &mut impl Entropy,
    ) -> Result<Ended, Fault> {
        self.output
            .progress(&format!("sending the signed command to {}", self.shown()));
        let mut heard = Heard {
            at: (self.now)(),
            taken: false,
            last: None,
            over: None,
            failures: 0,
            sendings: 1,
        };
        match self.carrier.send(self.record.id, &sent.bytes) {
            Ok(()) => {}
            // The broker has the bytes, whatever it says of them.
            Err(error @ (CarryError::NotAllowed { .. } | CarryError::Unheard { .. })) => {
                let reason = error.to_string();
                return Ok(Ended::SaidNo { reason });
            }
            Err(error) if error.may_have_succeeded() => heard.failed(&error),
            Err(error) => return Err(error.fault_of_change("send the command")),
        }
        loop {
            let now = (self.now)();
            let until = heard
                .over
                .map_or(deadline, |over| deadline.min(over + GRACE));
            if now >= until {
                return Ok(Ended::Open { last: heard.last });
            }
            let is_silent = now.saturating_sub(heard.at) >= REPEAT && heard.over.is_none();
            if heard.failures > 0 || is_silent {
                let pause = heard.pause(u32::from_le_bytes(entropy.bytes()));
                if !pause.is_zero() {
                    (self.pause)(pause.min(until - now));
                }
                heard.at = (self.now)();
                if heard.at >= until {
                    continue;
                }
                heard.sendings = heard.sendings.saturating_add(1);
                match self.carrier.send(self.record.id, &sent.bytes) {
                    Ok(()) => heard.failures = 0,
                    Err(error) => heard.failed(&error),
                }
                continue;
            }
            match self.carrier.result(SLICE.min(until - now)) {
                Ok(Some(value)) => {
                    heard.at = now;
                    if let Some(ended) = self.hear(sent, &value, &mut heard) {
                        return Ok(ended);
                    }
                }
                Ok(None) => {}
                Err(CarryError::Refused { code, message, .. }) => {
                    let reason = format!("{message} ({code})");
                    if heard.is_untaken() {
                        return Ok(Ended::SaidNo { reason });
                    }
                    heard.over = heard.over.or(Some(now));
                    heard.last = Some(reason);
                }
                Err(error) => heard.failed(&error),
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
            HubWord::Over if heard.is_untaken() && message.status == "refused" => {
                return Some(Ended::SaidNo { reason: said });
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
    /// Failures of the way since it worked last.
    failures: u32,
    /// How often the command was sent, whether it arrived or not.
    sendings: u32,
}

impl Heard {
    /// Whether a refusal can be about the command as a whole: of one that was sent again, an earlier
    /// sending may have been taken while its answer got lost.
    const fn is_untaken(&self) -> bool {
        !self.taken && self.sendings == 1
    }

    fn failed(&mut self, error: &CarryError) {
        self.failures = self.failures.saturating_add(1);
        self.last = Some(error.to_string());
    }

    /// How long to wait before sending again: not at all when nothing broke.
    fn pause(&self, random: u32) -> Duration {
        let Some(doublings) = self.failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let most = AGAIN.saturating_mul(1 << doublings.min(8)).min(AGAIN_MOST);
        most.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
#[path = "act_tests.rs"]
mod tests;
