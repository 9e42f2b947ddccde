//! No link: when to try again.

use drawbridge_protocol::entropy::Entropy;

/// Pause after the second failure in a row, in milliseconds; the first is followed at once, so
/// that a blip costs nothing (P07: back within 0.5 s).
const FIRST_PAUSE_MS: u64 = 100;
/// The longest pause, in milliseconds.
const LONGEST_PAUSE_MS: u64 = 30_000;

/// The state without a link. **Pauses grow with each failure and end with the first proven
/// session,** and each is drawn from its upper half, so that many locks that lost their hub
/// together do not come back together.
#[derive(Debug, Clone, Default)]
pub(super) struct Down {
    /// Not before this, monotonic milliseconds.
    pub(super) retry_at: u64,
}

impl Down {
    pub(super) fn after_failure(failures: u32, now_ms: u64, entropy: &mut dyn Entropy) -> Self {
        let pause = match failures.checked_sub(2) {
            None => 0,
            Some(doublings) => (FIRST_PAUSE_MS << doublings.min(20)).min(LONGEST_PAUSE_MS),
        };
        let half = pause / 2;
        let mut draw = [0; 8];
        entropy.fill(&mut draw);
        let jitter = u64::from_le_bytes(draw).checked_rem(half + 1).unwrap_or(0);
        Self {
            retry_at: now_ms.saturating_add(half + jitter),
        }
    }
}
