//! P08 and P09: what a hub costs while nothing happens.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::figure::Figure;
use crate::house::{Ground, House};
use crate::proc::{Memory, sleeps};

/// Locks, and the goal for resident memory in MB.
const STEPS: [(usize, f64); 3] = [(1, 6.0), (8, 7.0), (64, 10.0)];
/// How many locks P09 speaks of.
const WAKING_LOCKS: usize = 8;
/// How long nothing happens before anything is read.
const SETTLE: Duration = Duration::from_secs(10);
/// How long wake-ups are counted: whenever it begins, silent locks are asked once within it.
const WATCH: Duration = Duration::from_secs(90);

/// Pairs locks one by one and looks at the same hub after 1, 8 and 64, each time after 10 s of rest.
pub(crate) fn measure() -> Result<(), Failure> {
    let ground = Ground::new()?;
    let (port, air) = (ground.broker.port(), ground.air.clone());
    let mut house = House::new(ground, port, &air)?;
    for (locks, goal) in STEPS {
        while house.ground.locks.len() < locks {
            let index = house.ground.add_lock()?;
            house.pair(index)?;
        }
        house.wait_until_online()?;
        std::thread::sleep(SETTLE);
        memory(&house, &format!("{locks} locks"), Some(goal))?;
        if locks == WAKING_LOCKS {
            wake_ups(&house)?;
        }
    }
    house.restart_at("info")?;
    house.wait_until_online()?;
    std::thread::sleep(SETTLE);
    memory(&house, "64 locks, freshly started", None)
}

fn memory(house: &House, part: &str, goal: Option<f64>) -> Result<(), Failure> {
    let memory = Memory::of(house.hub.pid())?;
    let (rss, pss) = (megabytes(memory.rss), megabytes(memory.pss));
    let figure = match goal {
        Some(goal) => Figure::at_most("P08", &format!("VmRSS, {part}"), rss, "MB", goal, 1),
        None => Figure::information("P08", &format!("VmRSS, {part}"), rss, "MB", 1),
    };
    let kinds: serde_json::Map<_, _> = memory
        .by_kind
        .iter()
        .map(|(kind, bytes)| ((*kind).to_owned(), megabytes(*bytes).into()))
        .collect();
    figure
        .beside("thin-edge agent 8 MiB, Greengrass lite < 15 MB, Python 27 to 38 MB")
        .with("resident_mb", kinds)
        .gated()
        .print();
    Figure::information("P08", &format!("Pss, {part}"), pss, "MB", 1).print();
    Ok(())
}

fn wake_ups(house: &House) -> Result<(), Failure> {
    let pid = house.hub.pid();
    let (before, began) = (sleeps(pid)?, Instant::now());
    std::thread::sleep(WATCH);
    let (after, seconds) = (sleeps(pid)?, began.elapsed().as_secs_f64());
    let mut total = 0;
    let mut threads = Vec::new();
    for (name, count) in &after {
        let count = count - before.get(name).copied().unwrap_or(0).min(*count);
        total += count;
        threads.push((name, count));
    }
    Figure::at_most(
        "P09",
        "8 idle locks",
        per_second(total, seconds),
        "wake-ups/s",
        1.0,
        usize::try_from(WATCH.as_secs())?,
    )
    .beside("tens per second")
    .gated()
    .print();
    for (name, count) in threads {
        Figure::information(
            "P09",
            &format!("thread {name}"),
            per_second(count, seconds),
            "wake-ups/s",
            usize::try_from(WATCH.as_secs())?,
        )
        .print();
    }
    Ok(())
}

/// MB are 1,000,000 bytes.
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}
