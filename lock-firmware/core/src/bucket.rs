//! A token bucket: how often strangers may make the lock compute.

/// Handshakes that may follow each other without a pause.
const BURST: u32 = 10;
/// One more is allowed every so many milliseconds.
const REFILL_MS: u64 = 1_000;

/// The bucket; in RAM only, full at boot.
#[derive(Debug)]
pub(crate) struct Bucket {
    tokens: u32,
    refilled_ms: u64,
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            tokens: BURST,
            refilled_ms: 0,
        }
    }
}

impl Bucket {
    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, now_ms: u64) -> bool {
        let due = now_ms.saturating_sub(self.refilled_ms) / REFILL_MS;
        if due > 0 {
            self.tokens = BURST.min(self.tokens.saturating_add(due.min(u64::from(BURST)) as u32));
            self.refilled_ms += due * REFILL_MS;
        }
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}
