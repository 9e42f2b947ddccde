//! What was decided in this run of the lock: counters per holder, and answers to be given again.

use drawbridge_protocol::command::MAX_AHEAD_VIA_HUB_MS;
use drawbridge_protocol::ids::{CommandId, Digest32};
use drawbridge_protocol::keys::IdentityKey;
use heapless::Vec;

use crate::intents::{Ending, Intents};

/// Holders with a counter.
const HOLDERS: usize = 64;
/// Of those, kept for the owner root (it may rotate, and devices of its own may come).
const OWNER_HOLDERS: usize = 4;
/// Remembered answers.
const RESULTS: usize = 128;
/// Of those, kept for the owner root; also the most that any other holder may have.
const SHARE: usize = 16;
/// How long an answer or a counter is kept after its last use: no command outlives it. Milliseconds.
const KEPT_MS: u64 = 60_000;

#[derive(Debug)]
struct Holder {
    key: IdentityKey,
    counter: u64,
    used_ms: u64,
    is_owner: bool,
    /// The latest expiry that the counter was held against. Were it forgotten before, a command
    /// that was refused could be delivered again.
    needed_until_ms: u64,
    /// Commands that expire up to here may have been turned away before this place was given.
    turned_away_until_ms: u64,
}

/// Whether a command's holder has a place for its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It has one.
    Given,
    /// The command is turned away for good.
    TurnedAway,
    /// No place, and the command outlives what the lock can promise: nothing final can be said.
    Undecided,
}

#[derive(Debug)]
struct Decided {
    holder: IdentityKey,
    command: CommandId,
    digest: Digest32,
    ending: Ending,
    used_ms: u64,
}

/// Answers given before: the same bytes get the same one, other bytes under the id get none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recall {
    New,
    Same(Ending),
    OtherBytes,
}

/// The tables. **Bounded: a stranger's flood can fill its own share and never the owner's.**
#[derive(Debug, Default)]
pub(crate) struct DecidedTable {
    holders: Vec<Holder, HOLDERS>,
    results: Vec<Decided, RESULTS>,
    /// Whatever a holder without a place has signed to expire up to here was answered `busy`, and
    /// stays refused: a relay must not be able to deliver it after that answer.
    turned_away_until_ms: u64,
}

impl DecidedTable {
    /// The last counter of `holder` in this run; 0 before the first.
    pub(crate) fn counter(&self, holder: &IdentityKey) -> u64 {
        self.holders
            .iter()
            .find(|known| known.key == *holder)
            .map_or(0, |known| known.counter)
    }

    pub(crate) fn recall(
        &mut self,
        holder: &IdentityKey,
        command: &CommandId,
        digest: &Digest32,
        now_ms: u64,
    ) -> Recall {
        let found = self
            .results
            .iter_mut()
            .find(|d| d.command == *command && d.holder == *holder);
        match found {
            None => Recall::New,
            Some(decided) if decided.digest == *digest => {
                decided.used_ms = now_ms;
                Recall::Same(decided.ending)
            }
            Some(_) => Recall::OtherBytes,
        }
    }

    /// Makes sure that `holder` has a place for its counter. Without one the command is turned
    /// away, and everything that a holder without a place has signed up to its expiry with it:
    /// never the owner's, who finds a place whatever others do.
    pub(crate) fn admit_holder(
        &mut self,
        holder: &IdentityKey,
        is_owner: bool,
        expiry_ms: u64,
        now_ms: u64,
    ) -> Admission {
        if let Some(known) = self.holders.iter_mut().find(|known| known.key == *holder) {
            known.used_ms = now_ms;
            if expiry_ms <= known.turned_away_until_ms {
                return Admission::TurnedAway;
            }
            known.needed_until_ms = known.needed_until_ms.max(expiry_ms);
            return Admission::Given;
        }
        if !is_owner && expiry_ms <= self.turned_away_until_ms {
            return Admission::TurnedAway;
        }
        if !self.has_room(is_owner) {
            self.holders.retain(|known| {
                now_ms.saturating_sub(known.used_ms) <= KEPT_MS || now_ms < known.needed_until_ms
            });
        }
        let entry = Holder {
            key: *holder,
            counter: 0,
            used_ms: now_ms,
            is_owner,
            needed_until_ms: expiry_ms,
            turned_away_until_ms: if is_owner {
                0
            } else {
                self.turned_away_until_ms
            },
        };
        if self.has_room(is_owner) && self.holders.push(entry).is_ok() {
            return Admission::Given;
        }
        // One that expires later would turn everybody away for as long as its signer likes.
        if expiry_ms > now_ms.saturating_add(MAX_AHEAD_VIA_HUB_MS) {
            return Admission::Undecided;
        }
        self.turned_away_until_ms = self.turned_away_until_ms.max(expiry_ms);
        Admission::TurnedAway
    }

    fn has_room(&self, is_owner: bool) -> bool {
        let others = self.holders.iter().filter(|known| !known.is_owner).count();
        !self.holders.is_full() && (is_owner || others < HOLDERS - OWNER_HOLDERS)
    }

    /// A command that expires then was called dead because of its counter: the counter stays.
    pub(crate) fn keep_counter(&mut self, holder: &IdentityKey, expiry_ms: u64) {
        if let Some(known) = self.holders.iter_mut().find(|known| known.key == *holder) {
            known.needed_until_ms = known.needed_until_ms.max(expiry_ms);
        }
    }

    /// Consumes `counter` of a holder that has a place.
    pub(crate) fn consume(&mut self, holder: &IdentityKey, counter: u64) {
        if let Some(known) = self.holders.iter_mut().find(|known| known.key == *holder) {
            known.counter = known.counter.max(counter);
        }
    }

    /// Remembers an answer, while there is room for one. Without room nothing is lost but the
    /// answer itself: the counter is consumed, and what moved is in the log.
    pub(crate) fn remember(
        &mut self,
        holder: &IdentityKey,
        command: CommandId,
        digest: Digest32,
        ending: Ending,
        now_ms: u64,
        intents: &Intents,
    ) {
        let is_owner = self
            .holders
            .iter()
            .any(|known| known.key == *holder && known.is_owner);
        let own = self
            .results
            .iter()
            .filter(|decided| decided.holder == *holder)
            .count();
        let room = if is_owner { RESULTS } else { RESULTS - SHARE };
        if self.results.len() >= room || (!is_owner && own >= SHARE) {
            self.results.retain(|decided| {
                now_ms.saturating_sub(decided.used_ms) <= KEPT_MS
                    && intents.find(&decided.command).is_none()
            });
        }
        let own = self
            .results
            .iter()
            .filter(|decided| decided.holder == *holder)
            .count();
        if self.results.len() < room && (is_owner || own < SHARE) {
            let decided = Decided {
                holder: *holder,
                command,
                digest,
                ending,
                used_ms: now_ms,
            };
            // Bounded by `room` above.
            let _ = self.results.push(decided);
        }
    }
}
