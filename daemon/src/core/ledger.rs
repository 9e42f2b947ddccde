//! Batches for the store: one out at a time, in order, tried again until taken.
//!
//! What is written while a batch is out joins the next one, so that many commands share one fsync
//! and no change ever overtakes an earlier one, not even after a failure.

use std::collections::VecDeque;

use drawbridge_protocol::ids::{CommandId, LockId};
use drawbridge_protocol::psk::Generation;
use serde_json::Value;

use super::action::StoreOp;
use super::event::{AckToken, StoreFault};
use super::verbs::ReplyTo;

/// Most changes in one batch; the store takes as many.
const MAX_OPS: usize = 1_024;
/// First pause after a failure, and the longest, in milliseconds.
const PAUSE_MS: (u64, u64) = (100, 5_000);

/// What waits for a change to be durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum After {
    /// The command may be called accepted.
    Accepted(CommandId),
    /// The publication with this ticket may go out.
    Publish(u64),
    /// Records of the lock's log are kept up to this one.
    LogKept { lock: LockId, seq: u64 },
    /// The lock may be told that it is kept.
    PskKept {
        lock: LockId,
        generation: Generation,
    },
    /// The claim may be sent.
    ClaimSaved(LockId),
    /// The request may be answered with this: from then on whoever made it relies on it.
    Answer { reply: ReplyTo, data: Value },
    /// The message may be acknowledged.
    Acknowledge(AckToken),
}

/// What became of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It survives a power cut.
    Durable,
    /// The store failed for now; the change will be tried again.
    Delayed,
    /// The store will never take it.
    Refused,
}

#[derive(Debug)]
struct Unit {
    ops: Vec<StoreOp>,
    after: Vec<After>,
    is_delayed: bool,
}

/// Order of use: [`Self::write`] at will, [`Self::flush`] after every event, [`Self::stored`] with
/// each answer. **A change is only ever out after every earlier one was answered for.**
#[derive(Debug, Default)]
pub(super) struct Ledger {
    waiting: VecDeque<Unit>,
    /// How many of the first units are out, and under which number.
    out: Option<(u64, usize)>,
    next_batch: u64,
    failures: u32,
    retry_at: Option<u64>,
    /// After a final refusal units go one by one, to find the one that is refused.
    is_single: bool,
}

impl Ledger {
    /// Adds changes that belong together, and what waits for them.
    pub(super) fn write(&mut self, ops: Vec<StoreOp>, after: Vec<After>) {
        self.waiting.push_back(Unit {
            ops,
            after,
            is_delayed: false,
        });
    }

    /// Changes not yet durable.
    pub(super) fn depth(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the store is failing.
    pub(super) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    pub(super) const fn next_deadline(&self) -> Option<u64> {
        self.retry_at
    }

    /// The next batch, if one is due.
    pub(super) fn flush(&mut self, now_ms: u64) -> Option<(u64, Vec<StoreOp>)> {
        if self.out.is_some() || self.retry_at.is_some_and(|at| now_ms < at) {
            return None;
        }
        let (mut units, mut total) = (0, 0);
        for unit in &self.waiting {
            total += unit.ops.len();
            if units > 0 && (total > MAX_OPS || self.is_single) {
                break;
            }
            units += 1;
        }
        if units == 0 {
            return None;
        }
        self.retry_at = None;
        let batch = self.next_batch;
        self.next_batch += 1;
        self.out = Some((batch, units));
        let ops = self.waiting.iter().take(units);
        Some((batch, ops.flat_map(|unit| unit.ops.clone()).collect()))
    }

    /// Takes the store's answer; returns who has waited for it. An answer to another batch than
    /// the one that is out is ignored.
    pub(super) fn stored(
        &mut self,
        batch: u64,
        result: &Result<(), StoreFault>,
        now_ms: u64,
    ) -> Vec<(After, Fate)> {
        let Some((_, units)) = self.out.filter(|(out, _)| *out == batch) else {
            return Vec::new();
        };
        self.out = None;
        match result {
            Ok(()) => {
                self.failures = 0;
                self.is_single = false;
                self.settle(units, Fate::Durable)
            }
            Err(fault) if !fault.is_temporary && units == 1 => {
                self.is_single = false;
                self.settle(1, Fate::Refused)
            }
            Err(fault) => {
                self.failures = self.failures.saturating_add(1);
                self.is_single = !fault.is_temporary;
                let pause = (PAUSE_MS.0 << self.failures.min(10).saturating_sub(1)).min(PAUSE_MS.1);
                if fault.is_temporary {
                    self.retry_at = Some(now_ms.saturating_add(pause));
                }
                self.delay()
            }
        }
    }

    fn settle(&mut self, units: usize, fate: Fate) -> Vec<(After, Fate)> {
        let settled = self.waiting.drain(..units.min(self.waiting.len()));
        settled
            .flat_map(|unit| unit.after)
            .map(|after| (after, fate))
            .collect()
    }

    /// Tells everyone who waits, once, that it will take longer.
    fn delay(&mut self) -> Vec<(After, Fate)> {
        let fresh = self.waiting.iter_mut().filter(|unit| !unit.is_delayed);
        fresh
            .flat_map(|unit| {
                unit.is_delayed = true;
                unit.after.clone()
            })
            .map(|after| (after, Fate::Delayed))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::action::Tree;
    use super::*;

    fn op(key: u8) -> StoreOp {
        StoreOp::Delete {
            tree: Tree::Meta,
            key: vec![key],
        }
    }

    fn fault(is_temporary: bool) -> Result<(), StoreFault> {
        Err(StoreFault {
            reason: "disk".into(),
            may_have_succeeded: false,
            is_temporary,
        })
    }

    /// F14, F15. Guards: a retry that puts an old value over a newer one.
    #[test]
    fn f15_failed_batch_is_tried_again_before_anything_later() {
        let mut ledger = Ledger::default();
        ledger.write(vec![op(1)], vec![After::Publish(1)]);
        let (first, ops) = ledger.flush(0).unwrap();
        assert_eq!(ops, [op(1)]);
        ledger.write(vec![op(2)], vec![After::Publish(2)]);
        assert_eq!(ledger.flush(0), None, "one batch at a time");
        let told = ledger.stored(first, &fault(true), 0);
        assert_eq!(
            told,
            [
                (After::Publish(1), Fate::Delayed),
                (After::Publish(2), Fate::Delayed)
            ]
        );
        assert_eq!(ledger.flush(99), None);
        let (second, ops) = ledger.flush(100).unwrap();
        assert_eq!(ops, [op(1), op(2)]);
        assert!(
            ledger.stored(first, &Ok(()), 100).is_empty(),
            "a late answer"
        );
        assert_eq!(ledger.stored(second, &Ok(()), 100).len(), 2);
    }

    /// Guards: one record that the store refuses for good, and everything behind it waiting for ever.
    #[test]
    fn refused_change_does_not_hold_back_the_others() {
        let mut ledger = Ledger::default();
        for key in 1..=3 {
            ledger.write(vec![op(key)], vec![After::Publish(key.into())]);
        }
        let mut fates = Vec::new();
        while let Some((batch, ops)) = ledger.flush(0) {
            let answer = if ops.contains(&op(2)) {
                fault(false)
            } else {
                Ok(())
            };
            fates.extend(ledger.stored(batch, &answer, 0));
        }
        fates.retain(|(_, fate)| *fate != Fate::Delayed);
        assert_eq!(
            fates,
            [
                (After::Publish(1), Fate::Durable),
                (After::Publish(2), Fate::Refused),
                (After::Publish(3), Fate::Durable)
            ]
        );
    }
    /// F14. Guards: a store that is asked without pause while the disk is full, a wait that is told of
    /// each failure, and a hub that calls itself failing for ever.
    #[test]
    fn f14_pauses_grow_until_the_store_takes_it() {
        let mut ledger = Ledger::default();
        ledger.write(vec![op(1)], vec![After::Publish(1)]);
        let mut now = 0;
        for (tries, pause) in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]
            .into_iter()
            .enumerate()
        {
            let (batch, _) = ledger.flush(now).unwrap();
            assert_eq!(ledger.next_deadline(), None, "out, so nothing is due");
            let told = ledger.stored(batch, &fault(true), now);
            assert_eq!(told.len(), usize::from(tries == 0), "told once");
            assert_eq!(ledger.next_deadline(), Some(now + pause));
            assert_eq!(ledger.flush(now + pause - 1), None);
            assert!(ledger.is_failing());
            now += pause;
        }
        let (batch, _) = ledger.flush(now).unwrap();
        assert_eq!(
            ledger.stored(batch, &Ok(()), now),
            [(After::Publish(1), Fate::Durable)]
        );
        assert_eq!((ledger.depth(), ledger.next_deadline()), (0, None));
        assert!(!ledger.is_failing());
        // The next failure is a first one again.
        ledger.write(vec![op(2)], Vec::new());
        let (batch, _) = ledger.flush(now).unwrap();
        ledger.stored(batch, &fault(true), now);
        assert_eq!(ledger.next_deadline(), Some(now + 100));
    }

    /// Guards: a batch that the store cannot take, changes torn apart that belong together, and one
    /// that is larger than a batch and waits for ever.
    #[test]
    fn batch_is_bounded_and_tears_nothing_apart() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.flush(0), None, "there is nothing to write");
        for ops in [MAX_OPS - 1, 1, 1, MAX_OPS + 5, 2, MAX_OPS - 1] {
            ledger.write(vec![op(0); ops], Vec::new());
        }
        assert_eq!(ledger.depth(), 6);
        let mut sizes = Vec::new();
        let mut numbers = Vec::new();
        while let Some((batch, ops)) = ledger.flush(0) {
            sizes.push(ops.len());
            numbers.push(batch);
            ledger.stored(batch, &Ok(()), 0);
        }
        assert_eq!(sizes, [MAX_OPS, 1, MAX_OPS + 5, 2, MAX_OPS - 1]);
        assert_eq!(numbers, [0, 1, 2, 3, 4], "no answer fits two batches");
        assert_eq!(ledger.depth(), 0);
    }

    /// Guards: a batch that is refused for good, asked again as it was; and one record too many that
    /// makes every later batch a single one.
    #[test]
    fn after_a_refusal_changes_go_singly_until_one_is_taken() {
        let mut ledger = Ledger::default();
        for key in 1..=4 {
            ledger.write(vec![op(key)], vec![After::Publish(key.into())]);
        }
        let (batch, ops) = ledger.flush(0).unwrap();
        assert_eq!(ops.len(), 4);
        assert_eq!(ledger.stored(batch, &fault(false), 0).len(), 4);
        assert_eq!(ledger.next_deadline(), None, "a refusal needs no pause");
        assert!(ledger.is_failing());
        let (batch, ops) = ledger.flush(0).unwrap();
        assert_eq!(ops, [op(1)]);
        assert_eq!(
            ledger.stored(batch, &fault(false), 0),
            [(After::Publish(1), Fate::Refused)]
        );
        let (batch, ops) = ledger.flush(0).unwrap();
        assert_eq!(ops, [op(2), op(3), op(4)], "together again");
        // Out of room for now is no refusal: all of it is tried again, whole.
        ledger.stored(batch, &fault(true), 0);
        let (batch, ops) = ledger.flush(60_000).unwrap();
        assert_eq!(ops.len(), 3);
        assert_eq!(ledger.stored(batch, &Ok(()), 0).len(), 3);
        assert!(!ledger.is_failing());
    }
}
