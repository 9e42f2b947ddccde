//! So often a second, also when some were late.

use std::time::{Duration, Instant};

/// Counts what was sent.
#[derive(Debug)]
pub(crate) struct Pace {
    started: Instant,
    per_second: u32,
    sent: u32,
    told: u32,
}

impl Pace {
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            started: Instant::now(),
            per_second: per_second.max(1),
            sent: 0,
            told: 0,
        }
    }

    /// Waits for the next one's time; answers its number, from 0.
    pub(crate) fn next(&mut self) -> u32 {
        let due = Duration::from_secs(1) * self.sent / self.per_second;
        std::thread::sleep(due.saturating_sub(self.started.elapsed()));
        let number = self.sent;
        self.sent += 1;
        number
    }

    /// How many it has been, once a second.
    pub(crate) fn news(&mut self) -> Option<u32> {
        let seconds = self.started.elapsed().as_secs() as u32;
        (std::mem::replace(&mut self.told, seconds) < seconds).then_some(self.sent)
    }
}
