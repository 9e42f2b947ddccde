//! How long to wait before the next attempt.
//!
//! Full jitter (uniform from zero to a ceiling) from 0.2 s to 60 s; up to 5 minutes only after the
//! broker refused who we are or said that it is busy. In the first half minute of an outage the
//! ceiling stays at 2 s: an update or restart of a broker takes seconds, and P07 wants us back 1 s
//! (p50) after it. After that it doubles, and hubs that came down together come back spread out.
//!
//! Call [`Backoff::failed`] after each failure, [`Backoff::proved`] when a connection has proved
//! itself end to end. A connection that never did that counts as a failure, so two hubs that share
//! an id and throw each other out do not do it five times a second.
//!
//! **The ceiling never falls before a connection has proved itself.**

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const SHORT_OUTAGE: Duration = Duration::from_secs(30);
const SHORT_CEILING: Duration = Duration::from_secs(2);
const CEILING: Duration = Duration::from_secs(60);
const REFUSED_FIRST: Duration = Duration::from_secs(5);
const REFUSED_CEILING: Duration = Duration::from_secs(300);

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Anything that may be over in a second.
    Ordinary,
    /// The broker does not accept us, or asked for peace.
    Refused,
}

#[derive(Debug, Default)]
pub(super) struct Backoff {
    ceiling: Duration,
    refused: Duration,
    /// Time spent in this outage, by our own waiting and the caller's account.
    outage: Duration,
}

impl Backoff {
    /// Time to wait. `spent` is how long the failed attempt took, `random` is uniform over `u32`.
    pub(super) fn failed(&mut self, failure: Failure, spent: Duration, random: u32) -> Duration {
        self.outage = self.outage.saturating_add(spent);
        let limit = if self.outage < SHORT_OUTAGE {
            SHORT_CEILING
        } else {
            CEILING
        };
        let grown = if self.ceiling.is_zero() {
            FIRST
        } else {
            self.ceiling * 2
        };
        self.ceiling = grown.min(limit).max(self.ceiling.min(CEILING));
        let ceiling = match failure {
            Failure::Ordinary => self.ceiling,
            Failure::Refused => {
                let grown = if self.refused.is_zero() {
                    REFUSED_FIRST
                } else {
                    self.refused * 2
                };
                self.refused = grown.min(REFUSED_CEILING);
                self.refused
            }
        };
        let wait = ceiling.mul_f64(f64::from(random) / f64::from(u32::MAX));
        self.outage = self.outage.saturating_add(wait);
        wait
    }

    /// A connection works end to end: the next failure starts from the beginning.
    pub(super) fn proved(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards (P07): doubling from the start would let a hub sleep 25 s through the end of a 30 s
    // outage.
    #[test]
    fn p07_short_outage_never_waits_longer_than_2_s() {
        let mut backoff = Backoff::default();
        let mut spent = Duration::ZERO;
        while spent < Duration::from_secs(28) {
            let wait = backoff.failed(Failure::Ordinary, Duration::ZERO, u32::MAX);
            assert!(wait <= SHORT_CEILING, "{wait:?} after {spent:?}");
            spent += wait;
        }
    }

    // Guards: a fleet that hammers a broker which is down for hours keeps it down.
    #[test]
    fn long_outage_grows_to_60_s_and_a_refusal_to_5_min() {
        let mut backoff = Backoff::default();
        let mut last = Duration::ZERO;
        for _ in 0..60 {
            last = backoff.failed(Failure::Ordinary, Duration::ZERO, u32::MAX);
            assert!(last <= CEILING);
        }
        assert_eq!(last, CEILING);
        let mut backoff = Backoff::default();
        for _ in 0..12 {
            last = backoff.failed(Failure::Refused, Duration::ZERO, u32::MAX);
        }
        assert_eq!(last, REFUSED_CEILING);
    }

    // Guards: without jitter every hub of a region comes back in the same millisecond.
    #[test]
    fn jitter_is_full() {
        let waits: Vec<_> = [0, u32::MAX / 2, u32::MAX]
            .map(|random| Backoff::default().failed(Failure::Ordinary, Duration::ZERO, random))
            .to_vec();
        assert_eq!(waits.first(), Some(&Duration::ZERO));
        assert_eq!(waits.last(), Some(&FIRST));
    }

    // Guards: a broker that lets us in and throws us out again must not reset our patience.
    #[test]
    fn only_a_proved_connection_resets_the_ceiling() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.failed(Failure::Ordinary, Duration::ZERO, u32::MAX);
        }
        assert_eq!(
            backoff.failed(Failure::Ordinary, Duration::ZERO, u32::MAX),
            SHORT_CEILING
        );
        backoff.proved();
        assert_eq!(
            backoff.failed(Failure::Ordinary, Duration::ZERO, u32::MAX),
            FIRST
        );
    }
}
