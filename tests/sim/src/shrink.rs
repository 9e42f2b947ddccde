//! Makes a failing run short: entries of its schedule are left out as long as it fails.
//!
//! Delta debugging (Zeller, Hildebrandt 2002): halves, quarters, and so on down to single entries.
//! **The result fails in the same invariant as the whole did.**

use crate::run::run;
use crate::schedule::{Item, Schedule};

/// Runs that shrinking may take.
const RUNS: u32 = 600;

/// A shorter schedule that violates the same invariant, if `schedule` violates any.
#[must_use]
pub fn shrink(schedule: &Schedule) -> Schedule {
    let Some(violation) = run(schedule).violation else {
        return schedule.clone();
    };
    let mut left = RUNS;
    let mut fails = |items: &[Item]| {
        let shorter = Schedule {
            items: items.to_vec(),
            ..schedule.clone()
        };
        left = left.saturating_sub(1);
        let found = run(&shorter).violation;
        (left > 0) && found.is_some_and(|found| found.invariant == violation.invariant)
    };
    let mut items = schedule.items.clone();
    let reached = items.partition_point(|item| item.at_ms <= violation.at_ms);
    if fails(&items[..reached]) {
        items.truncate(reached);
    }
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
            break;
        }
        size = size.div_ceil(2);
    }
    Schedule {
        items,
        ..schedule.clone()
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
}
