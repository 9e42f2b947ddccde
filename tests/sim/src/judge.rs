//! The invariants: what a run must never show.
//!
//! **The judge sees everything, the cores see only what they would see in a house.** The first
//! violation ends the run.

use std::collections::BTreeMap;

use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::keys::IdentityKey;
use drawbridge_protocol::session_info::SessionInfo;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// 1 to 7: which invariant; 0: the code under test panicked.
    pub invariant: u8,
    /// When, milliseconds after the locks were paired.
    pub at_ms: u64,
    /// What was seen.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "I{} violated after {} ms: {}",
            self.invariant, self.at_ms, self.what
        )
    }
}

type Standing = (u64, Option<u64>);

/// What the judge remembers beside what is in the world.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    pub(crate) violation: Option<Violation>,
    /// Counter and newest record by lock, holder, boot and lock time, as locks signed them.
    standings: BTreeMap<(LockId, IdentityKey), BTreeMap<(u32, u64), Standing>>,
    /// Highest generation of a psk that was durable at the hub, by lock.
    generations: BTreeMap<LockId, u32>,
    /// Last counter that moved the bolt, by lock, boot and holder.
    acted: BTreeMap<(LockId, u32, IdentityKey), u64>,
}

impl Judge {
    /// Notes the first violation.
    pub(crate) fn violate(&mut self, invariant: u8, at_ms: u64, what: String) {
        self.violation.get_or_insert(Violation {
            invariant,
            at_ms,
            what,
        });
    }

    /// I5: facts that the lock signed at a later moment are never behind earlier ones.
    pub(crate) fn standing(
        &mut self,
        holder: IdentityKey,
        info: &SessionInfo,
    ) -> Result<(), String> {
        let known = self.standings.entry((info.lock, holder)).or_default();
        let at = (info.boot, info.time_ms);
        let here = (info.counter, info.log_seq);
        let behind = |earlier: &((u32, u64), Standing), later: &((u32, u64), Standing)| {
            let counter = earlier.0.0 == later.0.0 && earlier.1.0 > later.1.0;
            let log = earlier.1.1.is_some() && later.1.1.is_some() && earlier.1.1 > later.1.1;
            counter || log
        };
        let copied = |(at, standing): (&(u32, u64), &Standing)| (*at, *standing);
        let before = known.range(..at).next_back().map(copied);
        let after = known
            .range((std::ops::Bound::Excluded(at), std::ops::Bound::Unbounded))
            .next()
            .map(copied);
        let now = (at, here);
        for (earlier, later) in [(before, Some(now)), (Some(now), after)] {
            if let (Some(earlier), Some(later)) = (earlier, later)
                && behind(&earlier, &later)
            {
                return Err(format!(
                    "lock {}: counter and log {:?} at boot and time {:?}, later {:?} at {:?}",
                    info.lock, earlier.1, earlier.0, later.1, later.0
                ));
            }
        }
        known.insert(at, here);
        // What is long past cannot be told out of order any more.
        if known.len() > 128 {
            known.pop_first();
        }
        Ok(())
    }

    /// I5: the counters that move a bolt rise.
    pub(crate) fn acted(
        &mut self,
        lock: LockId,
        boot: u32,
        holder: IdentityKey,
        counter: u64,
    ) -> bool {
        let last = self.acted.insert((lock, boot, holder), counter);
        last.is_none_or(|last| last < counter)
    }

    /// I5: a generation that was durable never gives way to an older one.
    pub(crate) fn generation(&mut self, lock: LockId, generation: u32) -> bool {
        let highest = self.generations.entry(lock).or_insert(generation);
        let rises = generation >= *highest;
        *highest = (*highest).max(generation);
        rises
    }
}
