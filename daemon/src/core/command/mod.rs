//! Commands between their intake and their final result.
//!
//! **A command that was accepted is remembered until exactly one final result for it is durable,
//! and goes to the lock a second time only while that lock has not said what became of it.**

mod conclude;
mod finals;
mod intake;
mod outcome;
mod refusals;
mod result;

use std::collections::BTreeMap;

use drawbridge_protocol::ids::{CommandId, Digest32, LockId};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::report::Position;

pub(super) use self::conclude::Ending;
pub(super) use self::finals::Finals;
pub(super) use self::intake::Origin;
pub(super) use self::refusals::Refusals;
use super::event::{AckToken, ClientId};

/// A control client that waits for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) client: ClientId,
    pub(super) id: u64,
    /// Until the final result; else until it is accepted.
    pub(super) until_final: bool,
}

/// What the lock may know of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It was not sent, or the lock said that it had not seen it: send it.
    Fresh,
    /// It may have reached the lock: ask first.
    Open,
}

/// What the lock's log said about a command, for when the lock itself has forgotten it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Logged {
    pub(super) reason: Reason,
    pub(super) position: Option<Position>,
}

/// A command without a final result.
#[derive(Debug, Clone)]
pub(super) struct Tracked {
    pub(super) lock: LockId,
    pub(super) digest: Digest32,
    pub(super) statement: Vec<u8>,
    pub(super) grant: Option<Digest32>,
    pub(super) correlation: Option<Vec<u8>>,
    pub(super) is_local: bool,
    pub(super) order: u64,
    pub(super) is_durable: bool,
    pub(super) acks: Vec<AckToken>,
    pub(super) waiters: Vec<Waiter>,
    pub(super) attempt: Attempt,
    pub(super) is_delivered: bool,
    pub(super) logged: Option<Logged>,
    /// The lock has forgotten it, by this statement; the log is being followed up to this record.
    pub(super) forgotten: Option<(Vec<u8>, u64)>,
    /// The hub's grant was presented anew because the lock did not know it; once.
    pub(super) is_granted_anew: bool,
}

/// A command that ended before the store had said that it was taken in.
#[derive(Debug)]
pub(super) struct Late {
    /// What was to be said in between; it keeps its place before the final.
    held: Vec<u64>,
    last: Option<u64>,
    acks: Vec<AckToken>,
}

/// All commands of the hub.
#[derive(Debug, Default)]
pub(super) struct Commands {
    pub(super) tracked: BTreeMap<CommandId, Tracked>,
    late: BTreeMap<CommandId, Late>,
    pub(super) finals: Finals,
    pub(super) refusals: Refusals,
    next_order: u64,
}

impl Commands {
    /// The connection that waits for these acknowledgements is gone.
    pub(super) fn forget_acks(&mut self) {
        for tracked in self.tracked.values_mut() {
            tracked.acks.clear();
        }
        for late in self.late.values_mut() {
            late.acks.clear();
        }
    }

    fn order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }

    /// No order below this one is used again.
    pub(super) fn raise_order(&mut self, order: u64) {
        self.next_order = self.next_order.max(order);
    }
}
