//! F10: what the wall clock says moves no deadline and decides nothing.

use std::collections::BTreeMap;

use drawbridge_protocol::ids::CommandId;
use serde_json::Value;

use super::world::{Seeded, World};

const TEN_YEARS: u64 = 10 * 365 * 86_400;
const NOW: u64 = 1_700_000_000;

/// Everything that a day of a hub comes to, but for the times that are only shown.
#[derive(Debug, PartialEq)]
struct Day {
    connects: Vec<(u64, String)>,
    published: Vec<(String, Value)>,
    actuations: Vec<BTreeMap<CommandId, u32>>,
    replies: usize,
    deadlines: Vec<Option<u64>>,
    ended_ms: u64,
}

fn shown_times_removed(mut document: Value) -> Value {
    if let Some(object) = document.as_object_mut() {
        object.remove("at");
    }
    document
}

fn day(seed: u64, jumps: bool) -> Day {
    let (mut dice, mut clock) = (Seeded::new(seed), Seeded::new(!seed));
    let mut world = World::ready(2);
    let mut deadlines = Vec::new();
    let mut counters = [0, 0];
    for _ in 0..60 {
        if jumps {
            world.wall = [
                None,
                Some(0),
                Some(NOW),
                Some(NOW + TEN_YEARS),
                Some(NOW - TEN_YEARS),
                Some(u64::MAX - 1_000_000),
            ][(clock.next() % 6) as usize];
        }
        match dice.next() % 8 {
            0 => world.cut_links(),
            1 => world.broker_down(),
            2 => world.broker_up(),
            3 => world.crash(),
            _ => {
                let lock = (dice.next() % 2) as usize;
                counters[lock] += 1;
                world.send_command(lock, counters[lock]);
            }
        }
        world.run(1 + dice.next() % 20_000);
        deadlines.push(world.hub.next_deadline());
    }
    world.broker_up();
    world.run(120_000);
    Day {
        connects: world
            .connects
            .iter()
            .map(|(at, lock)| (*at, lock.to_string()))
            .collect(),
        published: world
            .published
            .iter()
            .map(|it| {
                let document = serde_json::from_slice(&it.payload).unwrap_or(Value::Null);
                (it.topic.clone(), shown_times_removed(document))
            })
            .collect(),
        actuations: world
            .locks
            .iter()
            .map(|lock| lock.actuations.clone())
            .collect(),
        replies: world.replies.len(),
        deadlines,
        ended_ms: world.now_ms,
    }
}

/// Guards: a timer that waits ten years after a jump, or a result that is forgotten because it
/// looks old.
#[test]
fn f10_no_jump_of_the_wall_clock_changes_what_a_hub_does_or_when() {
    for seed in 0..12 {
        let steady = day(seed, false);
        let turned: u32 = steady.actuations.iter().flat_map(BTreeMap::values).sum();
        assert!(turned > 5, "seed {seed}: nothing happened");
        assert!(
            day(seed, true) == steady,
            "seed {seed}: the clock had a say"
        );
    }
}
