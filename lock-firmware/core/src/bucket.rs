//! Token buckets: how often others may make the lock compute, or write to its flash.

/// A bucket; in RAM only, full at boot.
#[derive(Debug)]
pub(crate) struct Bucket {
    burst: u32,
    refill_ms: u64,
    tokens: u32,
    refilled_ms: u64,
}

impl Bucket {
    /// `burst` tokens at once, and one more every `refill_ms` milliseconds.
    pub(crate) const fn new(burst: u32, refill_ms: u64) -> Self {
        Self {
            burst,
            refill_ms,
            tokens: burst,
            refilled_ms: 0,
        }
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, now_ms: u64) -> bool {
        let due = now_ms
            .saturating_sub(self.refilled_ms)
            .checked_div(self.refill_ms)
            .unwrap_or(0);
        if due > 0 {
            let earned = due.min(u64::from(self.burst)) as u32;
            self.tokens = self.burst.min(self.tokens.saturating_add(earned));
            self.refilled_ms += due * self.refill_ms;
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
