//! What systemd is told, and when it is not.
//!
//! `READY=1` once the daemon can take commands, `STOPPING=1` before it drains, and `WATCHDOG=1` only while every supervised task has
//! shown life lately: a daemon that hangs is restarted rather than kept alive by a timer. **The watchdog is
//! never fed on the strength of the feeding task alone.**

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Tells the service manager, when there is one.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServiceManager;

/// The service manager could not be told.
#[derive(Debug, thiserror::Error)]
#[error("notify the service manager")]
pub struct NotifyError(#[source] io::Error);

impl NotifyError {
    /// The datagram may have arrived.
    #[must_use]
    pub fn may_have_succeeded(&self) -> bool {
        false
    }

    /// Its socket may be full for a moment.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        true
    }
}

impl ServiceManager {
    /// The daemon takes commands; `status` is what `systemctl status` shows.
    ///
    /// # Errors
    /// The socket named by the environment cannot be written.
    pub fn ready(self, status: &str) -> Result<(), NotifyError> {
        let status = one_line(status);
        sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]).map_err(NotifyError)
    }

    /// A line for `systemctl status`.
    ///
    /// # Errors
    /// As for [`ServiceManager::ready`].
    pub fn status(self, status: &str) -> Result<(), NotifyError> {
        sd_notify::notify(&[NotifyState::Status(&one_line(status))]).map_err(NotifyError)
    }

    /// The daemon drains and ends.
    ///
    /// # Errors
    /// As for [`ServiceManager::ready`].
    pub fn stopping(self) -> Result<(), NotifyError> {
        sd_notify::notify(&[NotifyState::Stopping]).map_err(NotifyError)
    }

    /// Feeds the watchdog at half its time, as sd_watchdog_enabled(3) advises, for as long as `alive` says so.
    /// Returns at once when no watchdog is set.
    pub async fn feed_watchdog(self, alive: impl Fn() -> bool) {
        let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
            return;
        };
        let mut turn = tokio::time::interval(limit / 2);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut starved = false;
        loop {
            turn.tick().await;
            if alive() {
                starved = false;
                if let Err(error) = sd_notify::notify(&[NotifyState::Watchdog]) {
                    log::warn!(event = "watchdog_not_fed", error = error.to_string().as_str(); "the service manager was not reached");
                }
            } else if !starved {
                starved = true;
                log::error!(event = "watchdog_starved"; "a task shows no life; the service manager will restart the daemon");
            }
        }
    }
}

/// A newline would begin another assignment in the datagram (S26).
fn one_line(text: &str) -> String {
    crate::strict_json::quotable(text, 200)
}

#[derive(Debug)]
struct Pulse {
    task: &'static str,
    limit: Duration,
    last: Option<Instant>,
}

/// Who has shown life, and when.
#[derive(Debug, Clone, Default)]
pub struct Liveness {
    pulses: Arc<Mutex<Vec<Pulse>>>,
}

/// One task's way to show life.
#[derive(Debug, Clone)]
pub struct Heart {
    pulses: Arc<Mutex<Vec<Pulse>>>,
    place: usize,
}

impl Liveness {
    /// Supervises one more task: silent for longer than `limit` means dead. It counts as alive now.
    #[must_use]
    pub fn supervise(&self, task: &'static str, limit: Duration, now: Instant) -> Heart {
        let mut pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.push(Pulse {
            task,
            limit,
            last: Some(now),
        });
        Heart {
            pulses: Arc::clone(&self.pulses),
            place: pulses.len() - 1,
        }
    }

    /// The first task that has been silent for too long.
    #[must_use]
    pub fn silent(&self, now: Instant) -> Option<&'static str> {
        let pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        let dead = |pulse: &&Pulse| {
            pulse
                .last
                .is_some_and(|last| now.saturating_duration_since(last) > pulse.limit)
        };
        pulses.iter().find(dead).map(|pulse| pulse.task)
    }
}

impl Heart {
    /// The task is alive.
    pub fn beat(&self, now: Instant) {
        self.set(Some(now));
    }

    /// The task has ended as it should and is supervised no longer.
    pub fn rest(&self) {
        self.set(None);
    }

    fn set(&self, last: Option<Instant>) {
        let mut pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pulse) = pulses.get_mut(self.place) {
            pulse.last = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watchdog that is fed by a timer alone keeps a hung daemon alive for ever.
    #[test]
    fn one_silent_task_is_enough_to_starve_the_watchdog() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let liveness = Liveness::default();
        let core = liveness.supervise("core", Duration::from_secs(5), start);
        let store = liveness.supervise("store", Duration::from_secs(30), start);
        assert_eq!(liveness.silent(after(5)), None);
        assert_eq!(liveness.silent(after(6)), Some("core"));
        core.beat(after(6));
        assert_eq!(liveness.silent(after(8)), None);
        core.beat(after(40));
        assert_eq!(liveness.silent(after(40)), Some("store"));
        store.rest();
        assert_eq!(liveness.silent(after(41)), None);
    }

    #[test]
    fn s26_status_text_cannot_smuggle_an_assignment() {
        assert!(!one_line("3 locks\nMAINPID=1").contains('\n'));
    }
}
