//! The recovery ladder: what is tried next when Bluetooth does not work although bluetoothd runs.

use std::time::Duration;

use tokio::time::Instant;

/// Ready for this long, the ladder goes down one rung.
const HEALTHY: Duration = Duration::from_secs(60);
/// Tries on each rung before the next one is taken.
const TRIES: u32 = 2;

/// One rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rung {
    /// The same again.
    Reconnect,
    /// A new session with bluetoothd: whatever it kept of ours is gone.
    NewEpoch,
    /// The adapters off and on.
    PowerCycle,
    /// systemd is asked to restart bluetooth.service.
    RestartService,
    /// A person must look. The tries go on, a minute apart.
    Failed,
}

impl Rung {
    /// All, from the first.
    pub(super) const ALL: [Self; 5] = [
        Self::Reconnect,
        Self::NewEpoch,
        Self::PowerCycle,
        Self::RestartService,
        Self::Failed,
    ];

    /// The stable name in the journal.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Reconnect => "reconnect",
            Self::NewEpoch => "new_epoch",
            Self::PowerCycle => "power_cycle",
            Self::RestartService => "restart_service",
            Self::Failed => "radio_failed",
        }
    }

    /// How long to wait before it is carried out.
    pub(super) const fn pause(self) -> Duration {
        match self {
            Self::Reconnect => Duration::from_millis(200),
            Self::NewEpoch => Duration::from_millis(500),
            Self::PowerCycle => Duration::from_secs(1),
            Self::RestartService => Duration::from_secs(2),
            Self::Failed => Duration::from_secs(60),
        }
    }
}

/// The machine: [`Self::trouble`] for each trouble, [`Self::ready`] when the radio works,
/// [`Self::away`] when bluetoothd has gone. **Only troubles climb; what bluetoothd's death or an
/// absent bus breaks is not its trouble.**
#[derive(Debug, Default)]
pub(super) struct Ladder {
    at: usize,
    tries: u32,
    ready_since: Option<Instant>,
    counts: [u64; Rung::ALL.len()],
}

impl Ladder {
    /// A trouble came; returns what to do and how often that was done since the start.
    pub(super) fn trouble(&mut self, now: Instant) -> (Rung, u64) {
        self.step_down(now);
        self.ready_since = None;
        if self.tries >= TRIES {
            self.tries = 0;
            self.at = (self.at + 1).min(Rung::ALL.len() - 1);
        }
        self.tries += 1;
        let rung = Rung::ALL.get(self.at).copied().unwrap_or(Rung::Failed);
        let count = self.counts.get_mut(self.at).map_or(0, |count| {
            *count += 1;
            *count
        });
        (rung, count)
    }

    /// The radio works.
    pub(super) fn ready(&mut self, now: Instant) {
        self.ready_since.get_or_insert(now);
    }

    /// It does not, and nobody here is to blame.
    pub(super) fn away(&mut self, now: Instant) {
        self.step_down(now);
        self.ready_since = None;
    }

    /// Whether a person must look.
    pub(super) fn has_failed(&self) -> bool {
        self.ready_since.is_none() && self.tries > 0 && self.at == Rung::ALL.len() - 1
    }

    fn step_down(&mut self, now: Instant) {
        let Some(since) = self.ready_since else {
            return;
        };
        let steps = now.saturating_duration_since(since).as_secs() / HEALTHY.as_secs();
        if steps > 0 {
            self.at = self
                .at
                .saturating_sub(usize::try_from(steps).unwrap_or(usize::MAX));
            self.tries = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards: a radio that tries the same thing for ever, or restarts bluetoothd at the first hiccup.
    #[test]
    fn troubles_climb_rung_by_rung_and_stay_at_the_top() {
        let (mut ladder, now) = (Ladder::default(), Instant::now());
        let climbed: Vec<_> = (0..12).map(|_| ladder.trouble(now).0).collect();
        let mut expected: Vec<_> = Rung::ALL.iter().flat_map(|rung| [*rung; 2]).collect();
        expected.extend([Rung::Failed; 2]);
        assert_eq!(climbed, expected);
        assert!(ladder.has_failed());
        assert_eq!(
            ladder.trouble(now),
            (Rung::Failed, 5),
            "each rung is counted"
        );
        ladder.ready(now);
        assert!(!ladder.has_failed());
    }

    /// Guards: a single trouble a day that restarts bluetoothd after a fortnight.
    #[test]
    fn a_healthy_time_leads_down_again() {
        let (mut ladder, start) = (Ladder::default(), Instant::now());
        for _ in 0..6 {
            ladder.trouble(start);
        }
        ladder.ready(start);
        let soon = start + HEALTHY / 2;
        assert_eq!(ladder.trouble(soon).0, Rung::RestartService, "too short");
        ladder.ready(soon);
        let later = soon + HEALTHY;
        assert_eq!(ladder.trouble(later).0, Rung::PowerCycle, "one rung down");
        ladder.ready(later);
        let much_later = later + HEALTHY * 10;
        assert_eq!(ladder.trouble(much_later).0, Rung::Reconnect);
    }

    /// Guards (F01): bluetoothd that is killed fifty times, and each time counts as a trouble.
    #[test]
    fn f01_bluetoothd_that_goes_climbs_nothing() {
        let (mut ladder, now) = (Ladder::default(), Instant::now());
        for _ in 0..50 {
            ladder.ready(now);
            ladder.away(now);
        }
        assert_eq!(ladder.trouble(now), (Rung::Reconnect, 1));
    }
}
