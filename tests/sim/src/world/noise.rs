//! Somebody on a way who spoils what goes along.

use crate::dice::Dice;
use crate::schedule::{Copies, Mangle, NoisePlan};

/// Noise that lasts for a while.
#[derive(Debug)]
pub(crate) struct Noise {
    mangle: Mangle,
    per_mille: u64,
    until: u64,
    seed: u64,
    /// When something came last, and how many came at that moment.
    last: (u64, u64),
}

impl Noise {
    pub(crate) fn new(plan: &NoisePlan, now: u64) -> Self {
        Self {
            mangle: plan.mangle,
            per_mille: plan.per_mille,
            until: now + plan.for_ms,
            seed: plan.seed,
            last: (0, 0),
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
    ) -> Option<(Mangle, Copies)> {
        let applies = now < self.until && (!is_honest || self.mangle.keeps_bytes());
        self.last = match self.last {
            (at, number) if at == now => (now, number + 1),
            _ => (now, 0),
        };
        let mut dice = Dice::of(self.seed, now, self.last.1);
        (applies && dice.chance(self.per_mille)).then(|| {
            let copies = self.mangle.spoil(bytes, longest_ms, &mut dice);
            (self.mangle, copies)
        })
    }
}
