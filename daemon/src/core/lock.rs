//! One lock, as the hub sees it.

use std::collections::VecDeque;

use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::ids::{CommandId, Digest32, Nonce};
use drawbridge_protocol::keys::IdentityKey;
use drawbridge_protocol::log_record::LogCursor;
use drawbridge_protocol::psk::Generation;
use drawbridge_protocol::report::Report;
use serde_json::Value;

use super::binding::LockBinding;
use super::event::Address;
use super::link::{LinkMachine, Trouble};
use super::verbs::ReplyTo;

/// A command on the wire: one at a time per lock.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommandLane {
    pub(super) id: CommandId,
    pub(super) is_query: bool,
    pub(super) deadline: u64,
}

/// Another request on the wire: one at a time per lock, beside the command.
#[derive(Debug)]
pub(super) struct SyncLane {
    pub(super) what: Sync,
    pub(super) deadline: u64,
}

/// Requests other than commands.
#[derive(Debug)]
pub(super) enum Sync {
    PairInfo,
    Claim,
    Grant,
    Relay(Relay),
    Report,
    Ack,
    LogPull,
}

impl Sync {
    /// Number of the message on the wire, as a refusal names it.
    pub(super) const fn number(&self) -> u8 {
        match self {
            Self::Relay(_) => 1,
            Self::Grant => 4,
            Self::LogPull => 5,
            Self::Ack => 6,
            Self::PairInfo => 7,
            Self::Claim => 8,
            Self::Report => 10,
        }
    }
}

/// A request for `session_info` that somebody waits for.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) nonce: Nonce,
    pub(super) holder: Option<IdentityKey>,
    pub(super) reply: ReplyTo,
    pub(super) deadline: u64,
}

/// An audit acknowledgement to hand on, and who wants to hear of it.
#[derive(Debug)]
pub(super) struct PendingAck {
    pub(super) statement: Vec<u8>,
    /// Up to which record, and that record's hash. Only the lock can tell whether it is true.
    pub(super) upto: LogCursor,
    pub(super) reply: Option<ReplyTo>,
}

/// A pairing that goes on.
#[derive(Debug)]
pub(super) struct Pairing {
    /// Who hears of the window; gone once he did.
    pub(super) reply: Option<ReplyTo>,
    pub(super) deadline: u64,
    /// The last step told, so that each is told once.
    pub(super) step: &'static str,
}

/// A claim on its way.
#[derive(Debug)]
pub(super) struct PendingClaim {
    pub(super) statement: Vec<u8>,
    pub(super) reply: ReplyTo,
    pub(super) deadline: u64,
    /// The binding that names it is durable.
    pub(super) is_saved: bool,
}

/// How far the hub is with the lock's log.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogStanding {
    pub(super) cursor: LogCursor,
    /// How much of that is in the store for certain.
    pub(super) durable: u64,
    /// Lowest record that may still be in the store.
    pub(super) kept_from: u64,
    /// Number and, if told, hash of the newest record by the lock's word.
    pub(super) newest: u64,
    pub(super) head: Option<(u64, Digest32)>,
    /// The lock refused a pull, or its answer led nowhere: not asked again before this moment,
    /// monotonic milliseconds, unless there is a new session or a new grant before.
    pub(super) barred_until: Option<u64>,
    /// How many pulls in a row came to nothing.
    pub(super) fruitless: u32,
    /// The last gap that was told of: expected, found, kind. A lock that is asked again for the same
    /// record raises no second alarm over it.
    pub(super) told: Option<(u64, u64, &'static str)>,
}

/// Pause after a pull that came to nothing, in milliseconds; it doubles with each that follows.
const PULL_AGAIN_MS: u64 = 5_000;
/// Longest such pause, in milliseconds: whatever was wrong with the lock, its log moves on within
/// the time to steady state (I6, 120 s) after it ended.
const MAX_PULL_AGAIN_MS: u64 = 60_000;

impl LogStanding {
    /// A pull came to nothing.
    pub(super) fn bar(&mut self, now_ms: u64) {
        let pause = PULL_AGAIN_MS.saturating_mul(1 << self.fruitless.min(8));
        self.fruitless = self.fruitless.saturating_add(1);
        self.barred_until = Some(now_ms.saturating_add(pause.min(MAX_PULL_AGAIN_MS)));
    }

    /// Nothing of it is known to be held.
    pub(super) const fn restart(&mut self) {
        self.cursor = LogCursor::START;
        self.durable = 0;
        self.kept_from = 1;
        self.newest = 0;
        self.head = None;
        self.barred_until = None;
        self.fruitless = 0;
        self.told = None;
    }

    /// How many records the hub may hold without leave to free them.
    pub(super) const fn held(&self) -> u64 {
        self.cursor
            .seq
            .saturating_add(1)
            .saturating_sub(self.kept_from)
    }
}

/// What is to be asked when the wire is free, beside what is queued.
#[derive(Debug, Default)]
pub(super) struct Wants {
    pub(super) grant: bool,
    pub(super) report: bool,
    pub(super) pair_info: bool,
    pub(super) psk_kept: Option<Generation>,
}

/// Locks that said nothing are asked at the same moments, in milliseconds apart: one wake-up serves
/// all of them (P09).
const ASK_TOGETHER_MS: u64 = 30_000;
/// How many of these moments lie within the longest silence: 60 to 90 s. Whoever withholds a lock's
/// last word is noticed within the time to steady state (I6, 120 s).
const SILENT_MOMENTS: u64 = 3;

/// How long a lock with an errand waits behind those that somebody waits for, in milliseconds. With
/// one connect at a time and half a second for each, 8 such locks have their turn within 10 s (F04).
const OVERDUE_MS: u64 = 5_000;
/// How long a pairing may take, in milliseconds: as long as the lock's window is open. Others stand back no longer than that
/// for a lock that is sought.
pub(super) const PAIRING_MS: u64 = 120_000;

/// In which order locks get links, and how soon an idle link is taken away for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// Somebody waits for the bolt, or for what he needs to sign for it; or an errand has waited
    /// behind such locks for too long.
    Urgent,
    /// Nobody waits, but nothing is known of the lock, and nothing says that it is out of reach.
    Unheard,
    /// It merely wants to be heard again.
    Patient,
}

/// A lock. **What is published about it comes from statements it signed; what the radio says
/// changes its availability only.**
#[derive(Debug)]
pub(super) struct Lock {
    pub(super) binding: LockBinding,
    pub(super) link: LinkMachine,
    pub(super) address: Option<Address>,
    pub(super) pairing: Option<Pairing>,
    pub(super) claim: Option<PendingClaim>,
    /// Commands without a final result, in order; the first may be on the wire.
    pub(super) queue: VecDeque<CommandId>,
    pub(super) command_lane: Option<CommandLane>,
    pub(super) sync_lane: Option<SyncLane>,
    pub(super) wants: Wants,
    pub(super) relays: VecDeque<Relay>,
    pub(super) ack: Option<PendingAck>,
    pub(super) log: LogStanding,
    pub(super) report: Option<Report>,
    /// The same as it is published, with the bytes that the lock signed.
    pub(super) state: Option<Value>,
    /// Ask for a report unless the lock sends one by itself until then; `None`: there is no link.
    pub(super) report_at: Option<u64>,
    pub(super) is_online: Option<bool>,
    /// Say that it is offline unless it is back until then.
    pub(super) offline_at: Option<u64>,
    pub(super) trouble: Option<Trouble>,
    /// Since when it has waited for a link.
    pub(super) waiting_since: u64,
    pub(super) up_since: u64,
    pub(super) used_at: u64,
}

impl Lock {
    pub(super) fn new(binding: LockBinding, now_ms: u64) -> Self {
        let newest = binding.log_cursor().seq;
        Self {
            link: LinkMachine::new(binding.lock, binding.link),
            binding,
            address: None,
            pairing: None,
            claim: None,
            queue: VecDeque::new(),
            command_lane: None,
            sync_lane: None,
            wants: Wants::default(),
            relays: VecDeque::new(),
            ack: None,
            log: LogStanding {
                // The store says how far the hub is: it holds the records, and a binding outlives it.
                cursor: LogCursor::START,
                durable: 0,
                kept_from: 1,
                newest,
                head: None,
                barred_until: None,
                fruitless: 0,
                told: None,
            },
            report: None,
            state: None,
            report_at: None,
            is_online: None,
            offline_at: None,
            trouble: None,
            waiting_since: now_ms,
            up_since: now_ms,
            used_at: now_ms,
        }
    }

    /// It was asked for a report, or sent one: the next question is due only after a silence. A lock
    /// says by itself what it senses, and **whoever withholds that on a link that stays up is
    /// otherwise not noticed until the lock says something else**.
    pub(super) const fn ask_after_silence(&mut self, now_ms: u64) {
        let moment = (now_ms / ASK_TOGETHER_MS).saturating_add(SILENT_MOMENTS);
        self.report_at = Some(moment.saturating_mul(ASK_TOGETHER_MS));
    }

    /// Whether there is a reason to have a link.
    pub(super) const fn wants_link(&self) -> bool {
        self.binding.is_claimed || self.pairing.is_some() || self.claim.is_some()
    }

    /// Whether somebody waits for the bolt, or for what he needs to sign for it.
    pub(super) fn is_urgent(&self) -> bool {
        !self.queue.is_empty()
            || !self.relays.is_empty()
            || self.pairing.is_some()
            || self.claim.is_some()
    }

    /// Until when others stand back so that it is heard: somebody waits for it, and nobody knows where it is.
    pub(super) fn sought_until(&self) -> Option<u64> {
        let is_sought = self.is_urgent() && self.address.is_none();
        is_sought.then(|| self.waiting_since.saturating_add(PAIRING_MS))
    }

    /// Whether there is something to fetch or to bring that can wait, but not for ever.
    fn has_errand(&self) -> bool {
        self.ack.is_some() || self.wants.grant || self.log.newest > self.log.cursor.seq
    }

    /// From when on its errand counts as much as a command; `None` without one, or when nothing says
    /// that it would be reached.
    pub(super) fn overdue_at(&self) -> Option<u64> {
        // The end of a good link counts as the first failure.
        let can_be_reached = self.link.failures() <= 1;
        (self.has_errand() && can_be_reached).then(|| self.waiting_since.saturating_add(OVERDUE_MS))
    }

    /// How soon it gets a link when there are fewer links than locks.
    pub(super) fn turn(&self, now_ms: u64) -> Turn {
        let is_overdue = self.overdue_at().is_some_and(|at| at <= now_ms);
        if self.is_urgent() || is_overdue {
            Turn::Urgent
        } else if self.is_online != Some(true) && self.link.failures() == 0 {
            Turn::Unheard
        } else {
            Turn::Patient
        }
    }

    /// Whether its link could be lent to another lock.
    pub(super) fn is_idle(&self) -> bool {
        self.command_lane.is_none() && self.sync_lane.is_none() && !self.is_urgent()
    }

    /// What a handshake is for.
    pub(super) const fn purpose(&self) -> Purpose {
        if self.pairing.is_some() {
            Purpose::Pair
        } else {
            Purpose::Session
        }
    }
}
