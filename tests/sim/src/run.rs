//! One run.

use std::panic::AssertUnwindSafe;

use crate::judge::Violation;
use crate::schedule::Schedule;
use crate::tally::Tally;
use crate::world::World;

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Everything that happened, in one number: equal runs have equal ones.
    pub digest: u64,
    /// What was counted.
    pub tally: Tally,
    /// The first violation, if there was one.
    pub violation: Option<Violation>,
    /// What happened, in words, if asked for.
    pub notes: Vec<String>,
}

/// Lets a schedule happen.
#[must_use]
pub fn run(schedule: &Schedule) -> Outcome {
    live(schedule, false)
}

/// The same, and writes down what happens.
#[must_use]
pub fn run_with_notes(schedule: &Schedule) -> Outcome {
    live(schedule, true)
}

fn live(schedule: &Schedule, is_noted: bool) -> Outcome {
    let mut world = World::new(schedule, is_noted);
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| world.live(schedule)));
    if let Err(panic) = lived {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let what = format!("panic: {}", text.unwrap_or("without a word"));
        world.violate(0, what);
    }
    Outcome {
        digest: world.digest,
        tally: world.tally,
        violation: world.judge.violation,
        notes: world.notes.unwrap_or_default(),
    }
}
