//! All records in memory, with bounds, and the way back when the disk refuses.
//!
//! Call [`Holdings::stage`] for each batch, then write [`Journal::changes`], then forget the journal; or
//! [`Holdings::roll_back`] when the write failed. **After a roll back the holdings equal what was
//! acknowledged**, which is what a rebuilt store is written from.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::error::StoreError;
use super::limits::{Bound, Limits, RECORD_COST};
use super::op::{MAX_BATCH, MAX_KEY, MAX_VALUE, OutboxClass, StoreOp, Ticket, Tree};
use super::record::{Held, Place, share};

const TELEMETRY: u8 = OutboxClass::Telemetry as u8;
const KEPT: u8 = OutboxClass::Kept as u8;

/// Counters that outlive the records they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tallies {
    /// Lowest ticket never used.
    pub(super) tickets: u64,
    /// Telemetry dropped from a full outbox, ever.
    pub(super) dropped: u64,
}

#[derive(Debug, Default)]
struct Shelf {
    records: BTreeMap<Vec<u8>, Held>,
    bytes: usize,
}

/// What one group of batches changed, in order.
#[derive(Debug, Default)]
pub(super) struct Journal {
    steps: Vec<(Place, Option<Held>)>,
}

/// A point to roll back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    steps: usize,
    tallies: Tallies,
}

/// One record to write or remove, with the value on disk now.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) tree: Tree,
    pub(super) key: &'a [u8],
    pub(super) old: Option<&'a Held>,
    pub(super) new: Option<&'a Held>,
}

impl Journal {
    /// Each changed place once, with what the disk holds and what it is to hold.
    pub(super) fn changes<'a>(&'a self, holdings: &'a Holdings) -> Vec<Change<'a>> {
        let mut seen = HashSet::new();
        let mut changes = Vec::new();
        for ((tree, key), old) in &self.steps {
            if seen.insert((*tree, key.as_slice())) {
                let new = holdings.held(*tree, key);
                if old.as_ref() != new {
                    changes.push(Change {
                        tree: *tree,
                        key,
                        old: old.as_ref(),
                        new,
                    });
                }
            }
        }
        changes
    }
}

/// Everything the store holds.
#[derive(Debug)]
pub(super) struct Holdings {
    limits: Limits,
    shelves: [Shelf; Tree::ALL.len()],
    telemetry: BTreeSet<Vec<u8>>,
    ages: BTreeSet<(u64, Vec<u8>)>,
    tallies: Tallies,
    sum: u64,
}

impl Holdings {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            shelves: Default::default(),
            telemetry: BTreeSet::new(),
            ages: BTreeSet::new(),
            tallies: Tallies::default(),
            sum: 0,
        }
    }

    /// Takes records read from disk; bounds are not applied to what was already acknowledged.
    pub(super) fn refill(limits: Limits, records: Vec<(Place, Held)>, tallies: Tallies) -> Self {
        let mut holdings = Self::new(limits);
        for ((tree, key), held) in records {
            if tree == Tree::Outbox
                && let Some(ticket) = Ticket::from_key(&key)
            {
                holdings.tallies.tickets = holdings.tallies.tickets.max(ticket.0.saturating_add(1));
            }
            holdings.set(tree, &key, Some(held));
        }
        holdings.tallies.tickets = holdings.tallies.tickets.max(tallies.tickets);
        holdings.tallies.dropped = tallies.dropped;
        holdings
    }

    /// Tickets below this were used, whatever the records say.
    pub(super) fn raise_tickets(&mut self, tickets: u64) {
        self.tallies.tickets = self.tallies.tickets.max(tickets);
    }

    pub(super) fn held(&self, tree: Tree, key: &[u8]) -> Option<&Held> {
        self.shelves[tree.index()].records.get(key)
    }

    /// Up to `limit` records from `from` on, in key order.
    pub(super) fn scan(&self, tree: Tree, from: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.shelves[tree.index()]
            .records
            .range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Unbounded))
            .take(limit)
            .map(|(key, held)| (key.clone(), held.value.clone()))
            .collect()
    }

    pub(super) fn tallies(&self) -> Tallies {
        self.tallies
    }

    /// Wrapping sum of the records' shares; independent of order.
    pub(super) fn sum(&self) -> u64 {
        self.sum
    }

    pub(super) fn count(&self) -> u64 {
        self.shelves
            .iter()
            .map(|shelf| shelf.records.len() as u64)
            .sum()
    }

    /// Records and bytes per tree, in the order of [`Tree::ALL`].
    pub(super) fn loads(&self) -> [Bound; Tree::ALL.len()] {
        std::array::from_fn(|at| Bound {
            records: self.shelves[at].records.len(),
            bytes: self.shelves[at].bytes,
        })
    }

    /// Every record with its place.
    pub(super) fn all(&self) -> impl Iterator<Item = (Tree, &[u8], &Held)> {
        Tree::ALL.into_iter().flat_map(|tree| {
            self.shelves[tree.index()]
                .records
                .iter()
                .map(move |(key, held)| (tree, key.as_slice(), held))
        })
    }

    pub(super) fn mark(&self, journal: &Journal) -> Mark {
        Mark {
            steps: journal.steps.len(),
            tallies: self.tallies,
        }
    }

    /// Undoes everything staged since `mark`.
    pub(super) fn roll_back(&mut self, journal: &mut Journal, mark: Mark) {
        while journal.steps.len() > mark.steps {
            if let Some(((tree, key), old)) = journal.steps.pop() {
                self.set(tree, &key, old);
            }
        }
        self.tallies = mark.tallies;
    }

    /// Applies a batch, whole or not at all.
    pub(super) fn stage(
        &mut self,
        ops: Vec<StoreOp>,
        journal: &mut Journal,
    ) -> Result<(), StoreError> {
        if ops.len() > MAX_BATCH {
            return Err(StoreError::BatchTooLong { length: ops.len() });
        }
        let mark = self.mark(journal);
        for op in ops {
            if let Err(refused) = self.stage_one(op, journal) {
                self.roll_back(journal, mark);
                return Err(refused);
            }
        }
        Ok(())
    }

    fn stage_one(&mut self, op: StoreOp, journal: &mut Journal) -> Result<(), StoreError> {
        let (tree, key, class, stamp, value) = match op {
            StoreOp::Delete { tree, key } => {
                self.change(tree, key, None, journal);
                return Ok(());
            }
            StoreOp::Put { tree, key, value } => {
                let newest = self.ages.last().map_or(0, |(stamp, _)| *stamp);
                (
                    tree,
                    key,
                    KEPT,
                    if tree == Tree::Results { newest } else { 0 },
                    value,
                )
            }
            StoreOp::Publish {
                ticket,
                class,
                value,
            } => (Tree::Outbox, ticket.key().to_vec(), class as u8, 0, value),
            StoreOp::Conclude { id, at, value } => (Tree::Results, id, KEPT, at, value),
        };
        let ticket = if tree == Tree::Outbox {
            Ticket::from_key(&key)
        } else {
            None
        };
        if key.is_empty() || key.len() > MAX_KEY || (tree == Tree::Outbox && ticket.is_none()) {
            return Err(StoreError::BadKey { length: key.len() });
        }
        if value.len() > MAX_VALUE {
            return Err(StoreError::TooLarge {
                length: value.len(),
            });
        }
        if let Some(ticket) = ticket {
            self.tallies.tickets = self.tallies.tickets.max(ticket.0.saturating_add(1));
        }
        let before = (
            self.shelves[tree.index()].records.len(),
            self.shelves[tree.index()].bytes,
        );
        self.change(
            tree,
            key,
            Some(Held {
                class,
                stamp,
                value,
            }),
            journal,
        );
        let shelf = &self.shelves[tree.index()];
        if shelf.records.len() > before.0 || shelf.bytes > before.1 {
            self.make_room(tree, journal)?;
        }
        Ok(())
    }

    fn over(&self, tree: Tree) -> bool {
        let bound = match tree {
            Tree::Inbox => self.limits.inbox,
            Tree::Outbox => self.limits.outbox,
            Tree::Results => self.limits.results,
            Tree::Audit => self.limits.audit,
            Tree::Meta => self.limits.meta,
        };
        let shelf = &self.shelves[tree.index()];
        shelf.records.len() > bound.records || shelf.bytes > bound.bytes
    }

    fn make_room(&mut self, tree: Tree, journal: &mut Journal) -> Result<(), StoreError> {
        if tree == Tree::Results {
            let newest = self.ages.last().map_or(0, |(stamp, _)| *stamp);
            let horizon = newest.saturating_sub(self.limits.results_age_s);
            while let Some((stamp, key)) = self.ages.first().cloned() {
                let aged = stamp < horizon && self.ages.len() > self.limits.results_kept;
                if !(aged || self.over(tree)) || self.ages.len() == 1 {
                    break;
                }
                self.change(tree, key, None, journal);
            }
        }
        while tree == Tree::Outbox && self.over(tree) {
            let Some(oldest) = self.telemetry.first().cloned() else {
                break;
            };
            self.change(tree, oldest, None, journal);
            self.tallies.dropped = self.tallies.dropped.saturating_add(1);
        }
        if self.over(tree) {
            Err(StoreError::Full { tree })
        } else {
            Ok(())
        }
    }

    fn change(&mut self, tree: Tree, key: Vec<u8>, new: Option<Held>, journal: &mut Journal) {
        let old = self.set(tree, &key, new);
        journal.steps.push(((tree, key), old));
    }

    /// The only place that touches a shelf, so that sum, bytes and indexes cannot drift apart.
    fn set(&mut self, tree: Tree, key: &[u8], new: Option<Held>) -> Option<Held> {
        let cost = |held: &Held| RECORD_COST + key.len() + held.value.len();
        let shelf = &mut self.shelves[tree.index()];
        let old = shelf.records.remove(key);
        if let Some(old) = &old {
            shelf.bytes -= cost(old);
            self.sum = self.sum.wrapping_sub(share(tree.tag(), key, old));
            match tree {
                Tree::Outbox => drop(self.telemetry.remove(key)),
                Tree::Results => drop(self.ages.remove(&(old.stamp, key.to_vec()))),
                Tree::Inbox | Tree::Audit | Tree::Meta => {}
            }
        }
        if let Some(new) = new {
            shelf.bytes += cost(&new);
            self.sum = self.sum.wrapping_add(share(tree.tag(), key, &new));
            match tree {
                Tree::Outbox if new.class == TELEMETRY => drop(self.telemetry.insert(key.to_vec())),
                Tree::Results => drop(self.ages.insert((new.stamp, key.to_vec()))),
                Tree::Inbox | Tree::Outbox | Tree::Audit | Tree::Meta => {}
            }
            shelf.records.insert(key.to_vec(), new);
        }
        old
    }
}

#[cfg(test)]
#[path = "holdings_tests.rs"]
mod tests;
