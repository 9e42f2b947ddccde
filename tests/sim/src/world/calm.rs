//! Faults end, and everything has to be well again.

use drawbridge_daemon::core::Tree;
use drawbridge_protocol::command::Action;

use super::{Due, World};
use crate::schedule::{How, Plan, Who};

/// I6: how long it may take from the last fault until nothing is left to do, milliseconds. Longest
/// pauses on the way: 60 s after a refused publication, 30 s between two tries for a link.
pub(crate) const STEADY_MS: u64 = 120_000;
/// How long a command may take in a house where nothing is wrong, milliseconds.
const PROBE_MS: u64 = 40_000;
/// Commands tried on each lock: one may meet its own auto-relock.
const PROBES: u32 = 3;
/// Pause before somebody tries again, milliseconds: a lock whose motor turns says `busy` at once, and a
/// motor turns for 6 s at most.
const TRY_AGAIN_MS: u64 = 7_000;

impl World {
    /// The calm: faults end, the house comes to rest, and each lock obeys its owner.
    pub(super) fn calm(&mut self) {
        if self.judge.violation.is_some() {
            return;
        }
        self.note(|| "calm".into());
        self.heal();
        self.rest("after the last fault");
        for lock in 0..self.sites.len() {
            self.probe(lock);
        }
        self.rest("after commands in calm");
        if self.judge.violation.is_none() {
            self.tally.calms += 1;
        }
    }

    /// Everything that was wrong is not any more; only the wall clock stays as it is.
    fn heal(&mut self) {
        let now = self.now;
        let weather = &mut self.weather;
        weather.broker_down_until = now;
        weather.broker_refuses_until = now;
        weather.adapter_gone_until = now;
        weather.cloud_noise = None;
        weather.slots = (usize::MAX, now);
        weather.disk = None;
        self.fuse = None;
        for lock in 0..self.sites.len() {
            let site = &mut self.sites[lock];
            site.noise = None;
            site.away_until = now;
            site.cut_at_boot = None;
            site.door.is_blocked = false;
            site.door.disarm();
            self.power_on(lock);
            if self.sites[lock].door.battery < 90 {
                self.sites[lock].door.battery = 90;
                self.feel(lock);
            }
        }
        if self.hub.is_none() {
            self.start_hub();
        } else {
            // What the broker holds comes with a connection.
            self.break_broker();
        }
    }

    /// Waits until nothing is left to do (I6), then looks at what there is (I2, I4).
    pub(super) fn rest(&mut self, when: &str) {
        let end = self.now + STEADY_MS;
        let mut restless = self.what_is_open();
        while restless.is_some() && self.step(end) {
            restless = self.what_is_open();
        }
        if self.judge.violation.is_some() {
            return;
        }
        if let Some(what) = restless {
            self.look_at_hub();
            let status = self.users.status.take().unwrap_or_default();
            let what = format!("{when}: {what} after {STEADY_MS} ms; hub: {status}");
            return self.violate(6, what);
        }
        self.judge_ends();
        self.judge_logs();
    }

    /// What is still to be done, if anything.
    fn what_is_open(&mut self) -> Option<String> {
        let is_heard = |due: &Due| matches!(due, Due::Hears { .. } | Due::FromHub { .. });
        let Some(hub) = &self.hub else {
            return Some("there is no hub".into());
        };
        if !hub.is_idle() {
            return Some("the hub has something to do".into());
        }
        if !self.broker.is_up {
            return Some("the hub has no broker".into());
        }
        for (tree, what) in [(Tree::Inbox, "commands"), (Tree::Outbox, "publications")] {
            let count = self.disk.count(tree);
            if count > 0 {
                return Some(format!("{count} {what} on disk"));
            }
        }
        if self.broker.unacknowledged() > 0 || self.due.values().any(is_heard) {
            return Some("publications are on their way".into());
        }
        for (lock, site) in self.sites.iter().enumerate() {
            let (known, newest) = (site.auditor.cursor.seq, site.door.log_newest());
            if !site.door.is_on() || site.door.is_moving() || known != newest {
                return Some(format!("lock {lock} moves, or {known} of {newest} records"));
            }
        }
        self.look_at_hub();
        let Some(status) = self.users.status.take() else {
            return Some("the hub does not say how it is".into());
        };
        let locks = status["locks"].as_array().map_or(&[][..], Vec::as_slice);
        if locks.len() < self.sites.len() {
            return Some("the hub does not know all locks".into());
        }
        let offline = locks.iter().find(|lock| lock["online"] != true);
        offline.map(|lock| format!("offline: {lock}"))
    }

    /// The owner moves the bolt, and it moves.
    fn probe(&mut self, lock: usize) {
        for _ in 0..PROBES {
            if self.judge.violation.is_some() {
                return;
            }
            let errand = self.wish(Plan {
                lock,
                who: Who::Owner,
                action: Action::Lock,
                how: How::Plain,
                is_local: false,
                lasts_ms: 30_000,
            });
            self.users.watch(errand);
            let end = self.now + PROBE_MS;
            while self.users.watched_end().is_none() && self.step(end) {}
            if self.users.watched_end() == Some("done") {
                return;
            }
            self.pass_until(self.now + TRY_AGAIN_MS);
        }
        self.violate(6, format!("lock {lock} does not obey its owner in calm"));
    }
}
