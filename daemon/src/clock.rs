//! The clock floor: the earliest it can possibly be (F10).
//!
//! A hub without a battery boots at 1970, and whoever sets a clock back revives expired grants. So the hub keeps the highest time
//! it has reason to believe: floor = max(build, persisted, attested by a lock). The wall clock lifts the floor only when time
//! synchronisation vouches for it, or when it moves in step with the monotonic clock from a reading that was believed;
//! a wall clock that leaps ten years ahead therefore does not drag the floor along.
//!
//! Contract: [`ClockFloor::read`] at each use of wall time; [`ClockFloor::poll_persist`] after it; tell the outcome with
//! [`ClockFloor::persisted`]. `now` is monotonic time since an origin of the caller's that stays the same. **The floor never
//! goes back.** Timers do not come here; they are monotonic.

use std::time::Duration;

/// Shortest time between two writes of the floor (P18: an idle hub writes nothing else).
pub const PERSIST_EVERY: Duration = Duration::from_secs(600);

/// How far wall and monotonic clock may differ between two readings and still be in step: slewing is at most 500 ppm
/// (adjtimex(2)), so this covers a day.
const STEP: u64 = 60;

/// Build time, Unix seconds: `SOURCE_DATE_EPOCH` of the build, else the day this source was begun (2026-11-22).
pub const BUILD_TIME: u64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => match u64::from_str_radix(text, 10) {
        Ok(seconds) if seconds > 1_795_305_600 => seconds,
        _ => 1_795_305_600,
    },
    None => 1_795_305_600,
};

/// What the wall clock is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WallClock {
    /// At or above the floor; Unix seconds.
    Plausible {
        /// The wall clock.
        unix_s: u64,
    },
    /// Behind the floor: report `clock_floor`, use the floor.
    Behind {
        /// The wall clock.
        wall_s: u64,
        /// The floor.
        floor_s: u64,
    },
}

impl WallClock {
    /// The time to check an expiry against: the wall clock, never below the floor.
    #[must_use]
    pub fn unix_s(self) -> u64 {
        match self {
            Self::Plausible { unix_s } => unix_s,
            Self::Behind { floor_s, .. } => floor_s,
        }
    }

    /// Whether a `clock_floor` event is due.
    #[must_use]
    pub fn is_behind(self) -> bool {
        matches!(self, Self::Behind { .. })
    }
}

/// The floor and what it rests on.
#[derive(Debug, Clone)]
pub struct ClockFloor {
    floor: u64,
    /// Monotonic time when `floor` was right; it has risen since by what has passed.
    at: Duration,
    /// The last wall reading that was believed, and when.
    believed: Option<(u64, Duration)>,
    persisted: u64,
    /// When the floor was last handed out to be written.
    handed_out: Option<Duration>,
}

impl ClockFloor {
    /// Starts from the build time and what the store persisted (0 when nothing).
    #[must_use]
    pub fn new(build: u64, persisted: u64, now: Duration) -> Self {
        Self {
            floor: build.max(persisted),
            at: now,
            believed: None,
            persisted,
            handed_out: None,
        }
    }

    /// The floor now, Unix seconds; rises with monotonic time.
    #[must_use]
    pub fn floor(&self, now: Duration) -> u64 {
        self.floor
            .saturating_add(now.saturating_sub(self.at).as_secs())
    }

    /// Judges a wall clock reading. `synchronised` is true while time synchronisation vouches for it.
    pub fn read(&mut self, wall_s: u64, synchronised: bool, now: Duration) -> WallClock {
        let floor_s = self.floor(now);
        if wall_s < floor_s {
            self.believed = None;
            return WallClock::Behind { wall_s, floor_s };
        }
        let in_step = self.believed.is_some_and(|(wall, at)| {
            wall.saturating_add(now.saturating_sub(at).as_secs())
                .abs_diff(wall_s)
                <= STEP
        });
        if synchronised || in_step {
            self.raise(wall_s, now);
            self.believed = Some((wall_s, now));
        } else {
            self.believed = None;
        }
        WallClock::Plausible { unix_s: wall_s }
    }

    /// A lock (or a signed time statement) proved that it is at least `unix_s`.
    pub fn attest(&mut self, unix_s: u64, now: Duration) {
        self.raise(unix_s, now);
    }

    fn raise(&mut self, unix_s: u64, now: Duration) {
        let floor = self.floor(now);
        if unix_s > floor {
            self.floor = unix_s;
            self.at = now;
        }
    }

    /// A floor to write to the store, at most every [`PERSIST_EVERY`].
    pub fn poll_persist(&mut self, now: Duration) -> Option<u64> {
        if self
            .handed_out
            .is_some_and(|at| now.saturating_sub(at) < PERSIST_EVERY)
        {
            return None;
        }
        let floor = self.floor(now);
        if floor <= self.persisted {
            return None;
        }
        self.handed_out = Some(now);
        Some(floor)
    }

    /// The store holds this floor now.
    pub fn persisted(&mut self, unix_s: u64) {
        self.persisted = self.persisted.max(unix_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const YEARS: u64 = 10 * 365 * 86_400;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A Raspberry Pi has no clock of its own: at boot it is 1970 and every expired grant looks valid.
    #[test]
    fn f10_boot_at_1970_is_reported_and_uses_the_floor() {
        let mut clock = ClockFloor::new(BUILD_TIME, NOW, s(0));
        let read = clock.read(12, false, s(5));
        assert_eq!(
            read,
            WallClock::Behind {
                wall_s: 12,
                floor_s: NOW + 5
            }
        );
        assert!(read.is_behind());
        assert_eq!(read.unix_s(), NOW + 5);
        assert_eq!(ClockFloor::new(BUILD_TIME, 0, s(0)).floor(s(0)), BUILD_TIME);
    }

    /// A leap ahead must not become a floor that outlaws the right time for ten years.
    #[test]
    fn f10_leap_of_ten_years_ahead_does_not_lift_the_floor() {
        let mut clock = ClockFloor::new(BUILD_TIME, NOW, s(0));
        clock.read(NOW + 10, true, s(10));
        assert_eq!(
            clock.read(NOW + YEARS, false, s(20)),
            WallClock::Plausible {
                unix_s: NOW + YEARS
            }
        );
        clock.read(NOW + YEARS + 10, false, s(30));
        assert_eq!(clock.floor(s(30)), NOW + 30);
        assert_eq!(
            clock.read(NOW + 40, true, s(40)),
            WallClock::Plausible { unix_s: NOW + 40 }
        );
        // And back: the floor holds.
        assert!(clock.read(NOW - YEARS, true, s(50)).is_behind());
        assert_eq!(clock.floor(s(50)), NOW + 50);
    }

    #[test]
    fn f10_floor_follows_a_clock_that_is_vouched_for_in_step_or_attested() {
        let mut clock = ClockFloor::new(BUILD_TIME, 0, s(0));
        clock.read(NOW, false, s(0));
        assert_eq!(clock.floor(s(0)), BUILD_TIME, "nobody vouches for it yet");
        clock.read(NOW, true, s(0));
        clock.read(NOW + 3_610, false, s(3_600));
        assert_eq!(clock.floor(s(3_600)), NOW + 3_610, "in step since");
        clock.attest(NOW + 90_000, s(3_600));
        assert_eq!(clock.floor(s(3_601)), NOW + 90_001);
        clock.attest(NOW, s(3_602));
        assert_eq!(clock.floor(s(3_602)), NOW + 90_002, "never back");
    }

    /// An idle hub writes its card at most every ten minutes (P18).
    #[test]
    fn floor_is_persisted_at_most_every_ten_minutes() {
        let mut clock = ClockFloor::new(BUILD_TIME, 0, s(0));
        let first = clock.poll_persist(s(0)).unwrap();
        clock.persisted(first);
        let writes = (1..3_600)
            .filter(|second| clock.poll_persist(s(*second)).is_some())
            .count();
        assert_eq!(writes, 5);
    }
}
