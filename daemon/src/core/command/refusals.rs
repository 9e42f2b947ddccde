//! How often the hub tells the broker's clients that their commands are not taken.

use drawbridge_protocol::bucket::Bucket;

/// Refusals at once, and how often another one: far above what any household's apps cause, and little enough that garbage
/// costs no more than it takes to read it (F19). Every refusal is a publication, a confirmation and a message to each
/// listener, and all of it takes the way of the results.
const BURST: u32 = 64;
const REFILL_MS: u64 = 100;
/// How often the journal tells of refusals that were left unsaid.
const TOLD_EVERY_MS: u64 = 60_000;

/// What may still be said.
#[derive(Debug)]
pub(in crate::core) struct Refusals {
    bucket: Bucket,
    lines: Bucket,
    unsaid: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            bucket: Bucket::new(BURST, REFILL_MS),
            lines: Bucket::new(1, TOLD_EVERY_MS),
            unsaid: 0,
        }
    }
}

/// What becomes of one refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::core) enum Saying {
    /// Its sender is told.
    Said,
    /// Its sender is not told; whether the journal is to tell of it.
    Unsaid { is_news: bool },
}

impl Refusals {
    /// One more, at `now_ms` of the rising clock.
    pub(in crate::core) fn next(&mut self, now_ms: u64) -> Saying {
        if self.bucket.take(now_ms) {
            return Saying::Said;
        }
        self.unsaid = self.unsaid.saturating_add(1);
        Saying::Unsaid {
            is_news: self.lines.take(now_ms),
        }
    }

    /// How many were left unsaid since the hub's start.
    pub(in crate::core) const fn unsaid(&self) -> u64 {
        self.unsaid
    }
}
