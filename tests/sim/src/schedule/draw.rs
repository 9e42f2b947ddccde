//! How a schedule is drawn.
//!
//! Most of what goes wrong in a house goes wrong while somebody wants something, so commands and
//! faults come in scenes of a few seconds; between them nothing happens for minutes.

use drawbridge_lock::flash::model::Tear;
use drawbridge_protocol::command::Action;

use super::{Deed, DiskIll, House, How, Item, LOCKS, Mangle, NoisePlan, Plan, Schedule, Wall, Who};
use crate::dice::Dice;

const HOUR_MS: u64 = 3_600_000;
/// Faults end for a while this often, milliseconds; then everything has to be well again.
pub(crate) const CALM_EVERY_MS: u64 = 6 * HOUR_MS;
/// Nothing new begins this long before, milliseconds.
pub(crate) const CALM_MS: u64 = 300_000;
/// One scene in so many milliseconds on average: 190 in 24 hours.
const SCENE_MS: u64 = 454_000;
/// Commands in each hour of a schedule, on average at least, that somebody is there to hear.
const HEARD_PER_HOUR: u64 = 13;
/// How long before the broker's return somebody may ask and still be heard, milliseconds: four
/// attempts of 25 seconds.
const ASKING_MS: u64 = 100_000;

impl Schedule {
    /// The schedule of `seed` over `hours` hours.
    #[must_use]
    pub fn draw(seed: u64, hours: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x5c4e_d01e);
        let house = House {
            slots: if dice.chance(200) { 2 } else { 8 },
            is_narrow: dice.chance(250),
            relock_ms: std::array::from_fn(|_| {
                let after = 5_000 + dice.below(120_000);
                dice.chance(300).then_some(after as u32)
            }),
        };
        let length_ms = hours * HOUR_MS;
        let mut items = Vec::new();
        for _ in 0..length_ms / SCENE_MS {
            let at = dice.below(length_ms);
            if !is_calm(at, length_ms) {
                let at_lock = any_lock(&mut dice);
                wishes(at, at_lock, &mut dice, &mut items);
                mishaps(at, at_lock, &mut dice, &mut items);
            }
        }
        keep_in_order(&mut items, length_ms);
        // A broker that is away for most of a day leaves most of its commands unsigned: nobody
        // learns where the lock stands. Such a day gets more of them.
        while heard(&items) < HEARD_PER_HOUR * hours {
            let at = dice.below(length_ms);
            let at_lock = any_lock(&mut dice);
            wishes(at, at_lock, &mut dice, &mut items);
            keep_in_order(&mut items, length_ms);
        }
        Self {
            seed,
            length_ms,
            house,
            items,
        }
    }
}

/// In the order of time; a scene that begins just before a calm is cut off by it.
fn keep_in_order(items: &mut Vec<Item>, length_ms: u64) {
    items.retain(|item| !is_calm(item.at_ms, length_ms));
    items.sort_by_key(|item| item.at_ms);
}

fn is_calm(at_ms: u64, length_ms: u64) -> bool {
    length_ms.saturating_sub(at_ms).min(before_calm_ends(at_ms)) <= CALM_MS
}

const fn before_calm_ends(at_ms: u64) -> u64 {
    CALM_EVERY_MS - at_ms % CALM_EVERY_MS
}

/// How many commands are given while the broker is there, or to the hub itself.
fn heard(items: &[Item]) -> u64 {
    let (mut count, mut back_ms) = (0, 0);
    for item in items {
        match &item.deed {
            Deed::BrokerBreak { away_ms, .. } => {
                let calm = item.at_ms + before_calm_ends(item.at_ms) - CALM_MS;
                back_ms = back_ms.max(calm.min(item.at_ms + away_ms));
            }
            Deed::Command(plan) if plan.is_local || item.at_ms + ASKING_MS >= back_ms => count += 1,
            _ => {}
        }
    }
    count
}

/// Commands of one scene, most of them for the same lock.
fn wishes(at_ms: u64, at_lock: usize, dice: &mut Dice, items: &mut Vec<Item>) {
    for _ in 0..1 + dice.below(4) {
        let lock = here_or_elsewhere(at_lock, dice);
        items.push(Item {
            at_ms: at_ms + dice.below(2_500),
            deed: Deed::Command(plan(lock, dice)),
        });
    }
}

/// Faults of one scene, most of them at the same lock.
fn mishaps(at_ms: u64, at_lock: usize, dice: &mut Dice, items: &mut Vec<Item>) {
    for _ in 0..dice.below(4) {
        let lock = here_or_elsewhere(at_lock, dice);
        let at_ms = at_ms + dice.below(3_500);
        let deed = fault(lock, dice);
        items.push(Item { at_ms, deed });
    }
}

fn here_or_elsewhere(here: usize, dice: &mut Dice) -> usize {
    if dice.chance(700) {
        here
    } else {
        any_lock(dice)
    }
}

fn any_lock(dice: &mut Dice) -> usize {
    dice.below(LOCKS as u64) as usize
}

fn plan(lock: usize, dice: &mut Dice) -> Plan {
    let how = match dice.below(100) {
        0..46 => How::Plain,
        46..54 => How::Twice {
            gap_ms: span(dice, 1, 40_000),
        },
        54..60 => How::Held {
            for_ms: dice.below(30_000),
        },
        60..65 => How::Late,
        65..71 => How::Retained,
        71..77 => How::Flipped { bit: dice.next() },
        77..88 => How::Replay { nth: dice.next() },
        88..92 => How::WrongLock,
        92..95 => How::FarAhead,
        _ => How::SameId,
    };
    let who = match dice.below(100) {
        0..72 => Who::Owner,
        72..94 => Who::Hub,
        _ => Who::Stranger,
    };
    Plan {
        lock,
        who,
        action: dice.pick(&[Action::Lock, Action::Unlock]),
        how,
        is_local: how != How::Retained && dice.chance(300),
        // The hub is its own peer, and those may not sign as far ahead.
        lasts_ms: match who {
            Who::Hub => 2_000 + dice.below(8_500),
            Who::Owner | Who::Stranger => 3_000 + dice.below(56_000),
        },
    }
}

/// A length of time between `low` and `high`: each order of magnitude is as likely as the next.
fn span(dice: &mut Dice, low: u64, high: u64) -> u64 {
    let doublings = (high / low).ilog2() as u64 + 1;
    let base = low << dice.below(doublings);
    (base + dice.below(base)).min(high)
}

fn noise(dice: &mut Dice) -> NoisePlan {
    NoisePlan {
        mangle: dice.pick(&Mangle::ALL),
        per_mille: dice.pick(&[30, 100, 300, 700]),
        for_ms: span(dice, 500, 120_000),
        seed: dice.next(),
    }
}

fn fault(lock: usize, dice: &mut Dice) -> Deed {
    match dice.below(140) {
        0..24 => Deed::HubCrash {
            after: dice.below(30) as u32,
            away_ms: span(dice, 100, 300_000),
        },
        24..34 => Deed::LinkCut { lock },
        34..39 => Deed::Away {
            lock,
            for_ms: span(dice, 1_000, 1_800_000),
        },
        39..57 => Deed::AirNoise {
            lock,
            noise: noise(dice),
        },
        57..60 => Deed::AdapterGone {
            for_ms: span(dice, 500, 600_000),
        },
        60..63 => Deed::SlotsTaken {
            left: dice.below(3) as usize,
            for_ms: span(dice, 1_000, 300_000),
        },
        63..69 => Deed::Reboot {
            lock,
            dark_ms: span(dice, 50, 60_000),
        },
        69..83 => Deed::PowerCut {
            lock,
            after: dice.below(12),
            tear: dice.pick(&Tear::ALL),
            dark_ms: span(dice, 50, 60_000),
            again: dice.chance(300).then(|| dice.below(8)),
            seed: dice.next(),
        },
        83..95 => Deed::BrokerBreak {
            away_ms: span(dice, 50, 7_200_000),
            forgets: dice.chance(250),
        },
        95..105 => Deed::CloudNoise { noise: noise(dice) },
        105..108 => Deed::BrokerRefuses {
            for_ms: span(dice, 500, 120_000),
        },
        108..120 => Deed::Disk {
            ill: match dice.below(3) {
                0 => DiskIll::Full,
                1 => DiskIll::Broken,
                _ => DiskIll::Slow(span(dice, 50, 10_000)),
            },
            for_ms: span(dice, 500, 900_000),
        },
        120..125 => Deed::Clock(wall(dice)),
        125..128 => Deed::Block {
            lock,
            for_ms: span(dice, 1_000, 60_000),
        },
        128..130 => Deed::Swing { lock },
        130..131 => Deed::Drain {
            lock,
            for_ms: span(dice, 1_000, 600_000),
        },
        131..132 => Deed::Tamper { lock },
        132..134 => Deed::Hand { lock },
        134..135 => Deed::Button { lock },
        _ => Deed::Stranger {
            lock,
            seed: dice.next(),
        },
    }
}

fn wall(dice: &mut Dice) -> Wall {
    const TEN_YEARS_S: i64 = 315_576_000;
    dice.pick(&[
        Wall::Off(0),
        Wall::Off(TEN_YEARS_S),
        Wall::Off(-TEN_YEARS_S),
        Wall::Epoch,
        Wall::Unknown,
    ])
}
