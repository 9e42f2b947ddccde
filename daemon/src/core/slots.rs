//! How many links the adapters carry at a time, as far as the hub has found out.
//!
//! No controller tells: the hub hopes for so many, and takes a refusal at its word for a while. A controller that had no
//! place for a moment only (another program's links, a reset) is not held to it for ever.

/// How long a refusal is believed, in milliseconds; it costs one failed connection to find out again.
const BELIEVED_MS: u64 = 60_000;

/// The number, and how long it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slots {
    hoped_for: usize,
    found: Option<(usize, u64)>,
}

impl Slots {
    /// Nothing is known yet; never more than `hoped_for` links are tried.
    pub(super) const fn new(hoped_for: usize) -> Self {
        Self {
            hoped_for,
            found: None,
        }
    }

    /// How many links may be up or coming up.
    pub(super) fn limit(&self, now_ms: u64) -> usize {
        match self.found {
            Some((found, until)) if now_ms < until => found.min(self.hoped_for),
            _ => self.hoped_for,
        }
    }

    /// A link more than `others` was refused for lack of a slot. With no link at all there is none to share: whoever has
    /// the slots gives them back some time.
    pub(super) fn refused(&mut self, others: usize, now_ms: u64) {
        self.found = Some((others.max(1), now_ms.saturating_add(BELIEVED_MS)));
    }
}

#[cfg(test)]
mod tests {
    use super::{BELIEVED_MS, Slots};

    /// F04. Guards: a hub that keeps asking a full adapter, or never again asks one that was full once.
    #[test]
    fn f04_refusal_is_believed_for_a_minute() {
        let mut slots = Slots::new(8);
        assert_eq!(slots.limit(0), 8);
        slots.refused(3, 1_000);
        assert_eq!(slots.limit(999 + BELIEVED_MS), 3);
        assert_eq!(slots.limit(1_000 + BELIEVED_MS), 8);
        slots.refused(0, 1_000);
        assert_eq!(slots.limit(1_001), 1);
        slots.refused(20, 1_000);
        assert_eq!(slots.limit(1_001), 8);
    }
}
