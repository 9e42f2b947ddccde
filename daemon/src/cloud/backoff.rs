//! How long to wait before the next attempt.
//!
//! Full jitter (uniform from zero to a ceiling) from 0.2 s to 60 s; up to 5 minutes only after the
//! broker refused who we are or said that it is busy. In the first 45 s of an outage the ceiling
//! stays at 1.5 s: an update or restart of a broker takes seconds, and F06 and P07 want us back 1 s
//! (p50) and 5 s (p99) after one of up to 30 s, even if the network then loses every third attempt.
//! After that it doubles, and hubs that came down together come back spread out.
//!
//! Call [`Backoff::wait_after`] after each attempt, whether or not it became a connection. A
//! connection that never proved itself end to end counts as a failure. One that did ends the
//! outage; one that did and did not last leaves the ceiling where it is: a broker that throws us
//! out each time, or another hub with our id, is asked about once a second and not ten times.
//!
//! **The ceiling never falls before a connection has proved itself and lasted.**

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const SHORT_OUTAGE: Duration = Duration::from_secs(45);
const SHORT_CEILING: Duration = Duration::from_millis(1_500);
const CEILING: Duration = Duration::from_secs(60);
const REFUSED_FIRST: Duration = Duration::from_secs(5);
const REFUSED_CEILING: Duration = Duration::from_secs(300);
/// A connection that lasts so long is no flapping.
const LASTING: Duration = Duration::from_secs(10);

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Anything that may be over in a second.
    Ordinary,
    /// The broker does not accept us, or asked for peace.
    Refused,
}

/// An attempt, and the connection that came of it, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    /// Why it is over.
    pub(super) failure: Failure,
    /// From its first step to its end.
    pub(super) lasted: Duration,
    /// Whether there was a connection that worked end to end.
    pub(super) proved: bool,
}

#[derive(Debug, Default)]
pub(super) struct Backoff {
    ceiling: Duration,
    refused: Duration,
    /// Time spent in this outage: attempts that failed, and waiting.
    outage: Duration,
}

impl Backoff {
    /// Time to wait; `random` is uniform over `u32`.
    pub(super) fn wait_after(&mut self, attempt: Attempt, random: u32) -> Duration {
        if attempt.proved {
            self.proved(attempt.lasted);
        } else {
            self.outage = self.outage.saturating_add(attempt.lasted);
        }
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
        let ceiling = match attempt.failure {
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

    fn proved(&mut self, lived: Duration) {
        if lived >= LASTING {
            *self = Self::default();
            return;
        }
        self.outage = Duration::ZERO;
        self.refused = Duration::ZERO;
        self.ceiling = self.ceiling.min(SHORT_CEILING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(failure: Failure, lasted: Duration) -> Attempt {
        Attempt {
            failure,
            lasted,
            proved: false,
        }
    }

    fn proved(lasted: Duration) -> Attempt {
        Attempt {
            proved: true,
            ..failed(Failure::Ordinary, lasted)
        }
    }

    /// xorshift64*, the same numbers for the same seed.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self) -> u32 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32
        }

        fn chance(&mut self, percent: u32) -> bool {
            self.roll() % 100 < percent
        }
    }

    // Guards (F06, P07): doubling from the start would let a hub sleep 25 s through the end of a
    // 30 s outage, and the loss of an attempt after it would double that. On virtual time: 20,000
    // outages of 0 to 30 s, an attempt at a dead broker takes 1 ms; one at a living broker 50 ms,
    // and 30 in 100 of them are lost.
    #[test]
    fn f06_p07_back_within_1_s_p50_and_5_s_p99_under_30_percent_loss() {
        let (attempt_ms, setup_ms, rounds) = (1, 50, 20_000);
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        let mut times = Vec::new();
        for round in 0..rounds {
            let mut backoff = Backoff::default();
            // All lengths of an outage, and in the tail the longest ones.
            let away = Duration::from_millis(30_000 * round / rounds);
            let mut now = Duration::ZERO;
            let back = loop {
                let is_back = now >= away;
                let spent = Duration::from_millis(if is_back { setup_ms } else { attempt_ms });
                now += spent;
                if is_back && !dice.chance(30) {
                    break now - away;
                }
                now += backoff.wait_after(failed(Failure::Ordinary, spent), dice.roll());
            };
            times.push(back);
        }
        for part in [times.clone(), times.split_off(times.len() * 9 / 10)] {
            let mut part = part;
            part.sort();
            let at = |share: f64| part[(part.len() as f64 * share) as usize];
            let (p50, p99) = (at(0.5), at(0.99));
            println!(
                "F06 back-off on virtual time, {} outages: p50 {p50:?} p99 {p99:?}",
                part.len()
            );
            assert!(p50 <= Duration::from_secs(1), "p50 {p50:?}");
            assert!(p99 <= Duration::from_secs(5), "p99 {p99:?}");
        }
    }

    // Guards (F06): a broker that is down for half a minute and hubs that ask it without pause.
    #[test]
    fn f06_half_a_minute_away_costs_no_more_than_two_attempts_a_second() {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        for seed in 0..1_000 {
            let (mut backoff, mut now, mut attempts) = (Backoff::default(), Duration::ZERO, 0);
            while now < Duration::from_secs(30) {
                now += backoff.wait_after(failed(Failure::Ordinary, Duration::ZERO), dice.roll());
                attempts += 1;
            }
            assert!(attempts <= 75, "outage {seed}: {attempts} attempts in 30 s");
        }
    }

    // Guards: a fleet that hammers a broker which is down for hours keeps it down.
    #[test]
    fn long_outage_grows_to_60_s_and_a_refusal_to_5_min() {
        let mut backoff = Backoff::default();
        let mut last = Duration::ZERO;
        for _ in 0..60 {
            last = backoff.wait_after(failed(Failure::Ordinary, Duration::ZERO), u32::MAX);
            assert!(last <= CEILING);
        }
        assert_eq!(last, CEILING);
        let mut backoff = Backoff::default();
        for _ in 0..12 {
            last = backoff.wait_after(failed(Failure::Refused, Duration::ZERO), u32::MAX);
        }
        assert_eq!(last, REFUSED_CEILING);
    }

    // Guards: without jitter every hub of a region comes back in the same millisecond.
    #[test]
    fn jitter_is_full() {
        let waits: Vec<_> = [0, u32::MAX / 2, u32::MAX]
            .map(|random| {
                Backoff::default().wait_after(failed(Failure::Ordinary, Duration::ZERO), random)
            })
            .to_vec();
        assert_eq!(waits.first(), Some(&Duration::ZERO));
        assert_eq!(waits.last(), Some(&FIRST));
    }

    // Guards: a broker that lets us in and throws us out again must not reset our patience, even
    // if it serves us in between: a connection a tenth of a second, each with a TLS handshake.
    #[test]
    fn only_a_proved_and_lasting_connection_resets_the_ceiling() {
        let mut backoff = Backoff::default();
        let fail = |backoff: &mut Backoff| {
            backoff.wait_after(failed(Failure::Ordinary, Duration::from_secs(1)), u32::MAX)
        };
        for _ in 0..5 {
            fail(&mut backoff);
        }
        assert_eq!(fail(&mut backoff), SHORT_CEILING);
        for _ in 0..1_000 {
            let wait = backoff.wait_after(proved(LASTING / 2), u32::MAX);
            assert_eq!(
                wait, SHORT_CEILING,
                "a proof ends the outage, not our patience"
            );
        }
        assert_eq!(backoff.wait_after(proved(LASTING), u32::MAX), FIRST);
    }

    // Guards (F06): the life of a connection counted as part of the outage that ends it. After a
    // day of service a hub then doubled its waits up to a minute from the first failure on.
    #[test]
    fn f06_a_day_of_service_is_no_part_of_the_outage_after_it() {
        let mut backoff = Backoff::default();
        let day = Duration::from_secs(24 * 3600);
        let mut waited = backoff.wait_after(proved(day), u32::MAX);
        assert_eq!(waited, FIRST);
        while waited < Duration::from_secs(40) {
            let wait = backoff.wait_after(failed(Failure::Ordinary, Duration::ZERO), u32::MAX);
            assert!(wait <= SHORT_CEILING, "{wait:?} after {waited:?}");
            waited += wait;
        }
    }
}
