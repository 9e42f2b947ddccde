//! Makes a failing run short: entries of its schedule are left out as long as it fails.
//!
//! Delta debugging (Zeller, Hildebrandt 2002): halves, quarters, and so on down to single entries.
//! **The result fails in the same invariant as the whole did.** A run that is made short is worth a
//! wait, not a lane's time limit: shrinking ends after a minute with what it has.

use std::time::{Duration, Instant};

use crate::run::run;
use crate::schedule::{Item, Schedule};

/// Runs that shrinking may take.
const RUNS: u32 = 600;
/// Longest time that shrinking may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A shorter schedule that violates the same invariant, if `schedule` violates any. Takes 60 s at
/// most, and what a run takes that began before their end.
#[must_use]
pub fn shrink(schedule: &Schedule) -> Schedule {
    let end = Instant::now() + LIMIT;
    let Some(violation) = run(schedule).violation else {
        return schedule.clone();
    };
    let mut left = RUNS;
    let mut fails = |items: &[Item]| {
        let shorter = Schedule {
            items: items.to_vec(),
            ..schedule.clone()
        };
        if left == 0 || Instant::now() >= end {
            return false;
        }
        left -= 1;
        let found = run(&shorter).violation;
        found.is_some_and(|found| found.invariant == violation.invariant)
    };
    let mut items = schedule.items.clone();
    let reached = items.partition_point(|item| item.at_ms <= violation.at_ms);
    if fails(&items[..reached]) {
        items.truncate(reached);
    }
    Schedule {
        items: shorten(items, fails),
        ..schedule.clone()
    }
}

/// What is left of `items` when everything is taken out without which it still fails.
fn shorten(mut items: Vec<Item>, mut fails: impl FnMut(&[Item]) -> bool) -> Vec<Item> {
    let mut size = items.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < items.len() {
            let mut fewer = items.clone();
            fewer.drain(at..(at + size).min(items.len()));
            if fails(&fewer) {
                items = fewer;
            } else {
                at += size;
            }
        }
        if size == 1 {
            return items;
        }
        size = size.div_ceil(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards: a shrinker that changes a run in which nothing is wrong.
    #[test]
    fn sound_run_stays_as_it_is() {
        let mut schedule = Schedule::draw(1, 1);
        schedule.items.truncate(3);
        let shorter = shrink(&schedule);
        assert_eq!(shorter.items.len(), schedule.items.len());
    }

    // Guards: a schedule that stays long, or from which what matters was taken out.
    #[test]
    fn only_what_a_failure_needs_is_left() {
        let items = Schedule::draw(1, 2).items;
        let needed = [3, items.len() / 2, items.len() - 1].map(|index| items[index].at_ms);
        let left = shorten(items, |items| {
            let is_there = |at: &u64| items.iter().any(|item| item.at_ms == *at);
            needed.iter().all(is_there)
        });
        let mut left: Vec<u64> = left.iter().map(|item| item.at_ms).collect();
        left.dedup();
        assert_eq!(left, needed);
    }

    // Guards: shrinking that takes longer than the lane, after which nothing is told of the failure.
    #[test]
    fn shrinking_tries_each_part_once_a_size() {
        let items = Schedule::draw(1, 1).items;
        let mut runs = 0;
        let left = shorten(items.clone(), |_| {
            runs += 1;
            false
        });
        assert_eq!(left.len(), items.len(), "nothing is left out unproven");
        assert!(runs <= 4 * items.len(), "{runs} tries for {}", items.len());
    }
}
