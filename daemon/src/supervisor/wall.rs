//! The clocks of the machine, as the core is told them.

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::clock::{BUILD_TIME, ClockFloor};
use crate::core::Now;

/// systemd-timesyncd makes this file when the clock was set from the network
/// (systemd-timesyncd.service(8)).
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

/// Monotonic time for deadlines, wall time for display, and the floor that the latter never
/// falls below (F10).
#[derive(Debug)]
pub(super) struct Clocks {
    started: Instant,
    floor: ClockFloor,
    behind: bool,
}

impl Clocks {
    /// From the persisted floor, Unix seconds.
    pub(super) fn new(persisted: u64) -> Self {
        let started = Instant::now();
        let floor = ClockFloor::new(BUILD_TIME, persisted, started.elapsed());
        Self {
            started,
            floor,
            behind: false,
        }
    }

    /// The time now; the wall clock only while it is plausible.
    pub(super) fn now(&mut self) -> Now {
        let mono = self.started.elapsed();
        let wall_s = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |past| past.as_secs());
        let reading = self
            .floor
            .read(wall_s, Path::new(SYNCHRONISED).exists(), mono);
        if reading.is_behind() && !self.behind {
            log::warn!(event = "clock_floor", wall_s, floor_s = reading.unix_s(); "the wall clock is behind what is known; times are not shown until it is set");
        }
        self.behind = reading.is_behind();
        let unix_s = (!self.behind).then(|| reading.unix_s());
        Now {
            mono_ms: u64::try_from(mono.as_millis()).unwrap_or(u64::MAX),
            unix_s,
        }
    }

    /// The instant at which the core's clock shows `mono_ms`.
    pub(super) fn instant(&self, mono_ms: u64) -> Instant {
        self.started + std::time::Duration::from_millis(mono_ms)
    }

    /// Whether the wall clock is behind the floor.
    pub(super) const fn is_behind(&self) -> bool {
        self.behind
    }

    /// A floor that is worth writing down now.
    pub(super) fn poll_persist(&mut self) -> Option<u64> {
        self.floor.poll_persist(self.started.elapsed())
    }

    /// The floor was written down.
    pub(super) fn persisted(&mut self, unix_s: u64) {
        self.floor.persisted(unix_s);
    }
}
