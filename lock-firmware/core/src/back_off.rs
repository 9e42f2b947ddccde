//! How long the lock listens to no unknown key after wrong pairing secrets (S04).
//!
//! A handshake of an unknown key is charged before it is answered: the answer is what a guess is
//! tested with, and only a record that opens afterwards proves that it was none. The count is on
//! flash, so that pulling the battery gives no fresh guesses; the lock has no clock that outlives
//! its power, so after a boot the whole wait begins again. **An answered handshake that nobody
//! proved is a failure, whatever happens to link or power.**
//!
//! Contract: [`BackOff::is_over`], then [`BackOff::charged`] made durable, then [`BackOff::charge`],
//! then the answer; [`BackOff::refunded`] made durable and [`BackOff::refund`] when a record opens.

/// Failures without a wait: as many as one window listens to (`window.rs`).
const FREE: u32 = 8;
/// The wait after that many failures, in milliseconds; each further one doubles it.
const FIRST_MS: u64 = 60_000;
/// The longest wait, in milliseconds. An owner who comes after an attacker waits no longer than this.
pub const LONGEST_WAIT_MS: u64 = 3_600_000;

/// What is kept on flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Failures {
    /// In a row: since the last claim that took.
    pub(crate) in_a_row: u32,
    /// Not yet in the log.
    pub(crate) unlogged: u32,
}

impl Failures {
    const fn wait_ms(self) -> u64 {
        let Some(doublings) = self.in_a_row.checked_sub(FREE) else {
            return 0;
        };
        // Six doublings pass the longest wait; a shift by more would only overflow.
        let doublings = if doublings < 6 { doublings } else { 6 };
        let wait = FIRST_MS << doublings;
        if wait < LONGEST_WAIT_MS {
            wait
        } else {
            LONGEST_WAIT_MS
        }
    }
}

/// The failures, and until when they are waited for.
#[derive(Debug)]
pub(crate) struct BackOff {
    failures: Failures,
    until_ms: u64,
}

impl BackOff {
    /// At boot, when the clock of the lock shows zero.
    pub(crate) const fn restored(failures: Failures) -> Self {
        Self {
            failures,
            until_ms: failures.wait_ms(),
        }
    }

    /// Whether an unknown key is listened to.
    pub(crate) const fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.until_ms
    }

    /// With one failure more.
    pub(crate) const fn charged(&self) -> Failures {
        Failures {
            in_a_row: self.failures.in_a_row.saturating_add(1),
            unlogged: self.failures.unlogged.saturating_add(1),
        }
    }

    /// One failure more is durable.
    pub(crate) const fn charge(&mut self, now_ms: u64) {
        self.failures = self.charged();
        self.until_ms = now_ms.saturating_add(self.failures.wait_ms());
    }

    /// Without the last charge.
    pub(crate) const fn refunded(&self) -> Failures {
        Failures {
            in_a_row: self.failures.in_a_row.saturating_sub(1),
            unlogged: self.failures.unlogged.saturating_sub(1),
        }
    }

    /// The last charge was none: the handshake was listened to, so no wait was left from before it.
    pub(crate) const fn refund(&mut self) {
        self.failures = self.refunded();
        self.until_ms = 0;
    }

    /// With all of them in the log; `None` when they are already.
    pub(crate) const fn logged(&self) -> Option<Failures> {
        if self.failures.unlogged == 0 {
            return None;
        }
        Some(Failures {
            in_a_row: self.failures.in_a_row,
            unlogged: 0,
        })
    }

    /// That all of them are in the log is durable.
    pub(crate) const fn set_logged(&mut self) {
        self.failures.unlogged = 0;
    }

    /// Somebody proved that he has the whole code.
    pub(crate) const fn forget(&mut self) {
        self.failures.in_a_row = 0;
        self.until_ms = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(in_a_row: u32) -> u64 {
        Failures {
            in_a_row,
            unlogged: 0,
        }
        .wait_ms()
    }

    /// Guards: a wait that wraps around to nothing after enough failures.
    #[test]
    fn s04_waits_double_up_to_an_hour_and_never_fall_again() {
        let waits: [u64; 9] = core::array::from_fn(|more| wait(FREE - 1 + more as u32) / 1_000);
        assert_eq!(waits, [0, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        for failures in [100, 1_000, u32::MAX - 1, u32::MAX] {
            assert_eq!(wait(failures), LONGEST_WAIT_MS);
        }
        let mut back_off = BackOff::restored(Failures {
            in_a_row: u32::MAX,
            unlogged: u32::MAX,
        });
        back_off.charge(u64::MAX);
        assert!(!back_off.is_over(u64::MAX - 1));
    }
}
