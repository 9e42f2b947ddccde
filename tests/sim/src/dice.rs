//! Repeatable randomness.

use drawbridge_protocol::entropy::Entropy;

/// SplitMix64 (Steele, Lea, Flood 2014): the same bytes for the same seed, nothing that is secret.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall the same way for the same seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice that fall the same way for the same facts, whatever was thrown before: a run in which
    /// something is left out stays the same elsewhere.
    #[must_use]
    pub const fn of(seed: u64, moment: u64, whose: u64) -> Self {
        let mut dice = Self(seed ^ moment.rotate_left(32));
        dice.0 = dice.next() ^ whose;
        dice
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 for a limit of 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.next() % if limit == 0 { 1 } else { limit }
    }

    /// A number from `low` up to and without `high`.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low))
    }

    /// True in `per_mille` of 1,000 throws.
    pub const fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

impl Entropy for Dice {
    fn fill(&mut self, into: &mut [u8]) {
        for byte in into {
            *byte = self.next() as u8;
        }
    }
}
