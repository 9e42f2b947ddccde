//! What was decided in this run of the lock: counters per holder, and answers to be given again.

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

    /// Makes sure that `holder` has a place for its counter. Without one the command must be
    /// turned away, and everything that this holder signed up to its expiry with it.
    pub(crate) fn admit_holder(
        &mut self,
        holder: &IdentityKey,
        is_owner: bool,
        expiry_ms: u64,
        now_ms: u64,
    ) -> bool {
        if let Some(known) = self.holders.iter_mut().find(|known| known.key == *holder) {
            known.used_ms = now_ms;
            return true;
        }
        if expiry_ms <= self.turned_away_until_ms {
            return false;
        }
        let limit = if is_owner {
            HOLDERS
        } else {
            HOLDERS - OWNER_HOLDERS
        };
        let others = self.holders.iter().filter(|known| !known.is_owner).count();
        if self.holders.is_full() || (!is_owner && others >= limit) {
            self.holders
                .retain(|known| now_ms.saturating_sub(known.used_ms) <= KEPT_MS);
        }
        let others = self.holders.iter().filter(|known| !known.is_owner).count();
        let entry = Holder {
            key: *holder,
            counter: 0,
            used_ms: now_ms,
            is_owner,
        };
        if (is_owner || others < limit) && self.holders.push(entry).is_ok() {
            return true;
        }
        self.turned_away_until_ms = self.turned_away_until_ms.max(expiry_ms);
        false
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
