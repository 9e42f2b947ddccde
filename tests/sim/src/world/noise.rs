//! Somebody on a way who spoils what goes along.

use crate::dice::Dice;
use crate::schedule::{Mangle, NoisePlan};

/// Noise that lasts for a while.
#[derive(Debug)]
pub(crate) struct Noise {
    mangle: Mangle,
    per_mille: u64,
    until: u64,
    dice: Dice,
}

impl Noise {
    pub(crate) fn new(plan: &NoisePlan, now: u64) -> Self {
        Self {
            mangle: plan.mangle,
            per_mille: plan.per_mille,
            until: now + plan.for_ms,
            dice: Dice::new(plan.seed),
        }
    }

    /// What becomes of a message, and how it was spoilt; `None`: nothing, it is left alone.
    /// `is_honest`: whoever is on this way may not change its bytes.
    pub(crate) fn strike(
        &mut self,
        bytes: &[u8],
        longest_ms: u64,
        is_honest: bool,
        now: u64,
    ) -> Option<(Mangle, Vec<(u64, Vec<u8>)>)> {
        let applies = now < self.until && (!is_honest || self.mangle.keeps_bytes());
        (applies && self.dice.chance(self.per_mille)).then(|| {
            let copies = self.mangle.spoil(bytes, longest_ms, &mut self.dice);
            (self.mangle, copies)
        })
    }
}
