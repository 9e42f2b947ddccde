//! Repeatable randomness.

use drawbridge_protocol::entropy::Entropy;

/// SplitMix64 (Steele, Lea, Flood 2014): the same bytes for the same seed, nothing that is secret.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

impl Entropy for Dice {
    fn fill(&mut self, into: &mut [u8]) {
        for byte in into {
            *byte = self.next() as u8;
        }
    }
}
