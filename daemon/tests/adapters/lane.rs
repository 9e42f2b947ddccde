//! How many rounds to run, and from which seed.

use std::time::{SystemTime, UNIX_EPOCH};

/// `quick` rounds, or `full` with `DRAWBRIDGE_LANE=full`.
pub(crate) fn rounds(quick: u64, full: u64) -> u64 {
    if std::env::var("DRAWBRIDGE_LANE").is_ok_and(|lane| lane == "full") {
        full
    } else {
        quick
    }
}

/// `DRAWBRIDGE_SEED`, else one from the clock. Print it in every assertion.
pub(crate) fn seed() -> u64 {
    std::env::var("DRAWBRIDGE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(1, |since| since.as_micros() as u64 | 1)
        })
}

/// splitmix64 (Steele, Lea, Flood 2014): enough to pick places and pauses.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below.max(1)
    }
}
