//! Token buckets: how often others may make a lock or a hub do what costs it something.

/// A bucket; in RAM only, full when made.
#[derive(Debug)]
pub struct Bucket {
    burst: u32,
    refill_ms: u64,
    tokens: u32,
    refilled_ms: u64,
}

impl Bucket {
    /// `burst` tokens at once, and one more every `refill_ms` milliseconds.
    #[must_use]
    pub const fn new(burst: u32, refill_ms: u64) -> Self {
        Self {
            burst,
            refill_ms,
            tokens: burst,
            refilled_ms: 0,
        }
    }

    /// Takes a token if there is one. `now_ms` is of a clock that only rises; its zero means nothing.
    pub fn take(&mut self, now_ms: u64) -> bool {
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

#[cfg(test)]
mod tests {
    use super::Bucket;

    /// Guards: a bucket that overflows after a quiet time, or earns nothing under steady asking.
    #[test]
    fn bucket_gives_its_burst_and_then_one_for_each_refill() {
        let mut bucket = Bucket::new(3, 10);
        let taken = |bucket: &mut Bucket, now_ms| (0..9).filter(|_| bucket.take(now_ms)).count();
        assert_eq!(taken(&mut bucket, 1_000_000), 3);
        assert_eq!(taken(&mut bucket, 1_000_009), 0);
        assert_eq!(taken(&mut bucket, 1_000_019), 1);
        assert_eq!(taken(&mut bucket, 1_000_020), 1);
        assert_eq!(taken(&mut bucket, 9_000_000), 3);
        assert_eq!(taken(&mut bucket, 8_000_000), 0, "a clock that fell");
    }
}
