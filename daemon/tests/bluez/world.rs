//! A radio on a private bus, in a process of its own: the bus's address is an environment variable.

use std::process::Command;
use std::time::{Duration, Instant};

use drawbridge_daemon::config::Radio;
use drawbridge_daemon::radio::bluez::Bluez;
use drawbridge_daemon::radio::{RadioAction, RadioEvent, RadioHealth};
use tokio::sync::mpsc;

use crate::bus::Bus;
use crate::fake::Machine;

/// libdbus: where the system bus is.
const ADDRESS: &str = "DBUS_SYSTEM_BUS_ADDRESS";
const CHILD: &str = "BLUEZ_TEST_CHILD";

/// Runs the test again in a process whose system bus is a private one; the rest of the test is the
/// child's, which hands over the bus.
pub(crate) fn alone(test: &str) -> Option<Bus> {
    if std::env::var_os(CHILD).is_some() {
        return Some(Bus::at(std::env::var(ADDRESS).unwrap()));
    }
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:path={}", folder.path().join("bus").display());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .env(ADDRESS, address)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    None
}

/// The radio under test.
pub(crate) struct World {
    pub(crate) bus: Bus,
    pub(crate) machine: Machine,
    pub(crate) actions: mpsc::Sender<RadioAction>,
    pub(crate) events: mpsc::Receiver<RadioEvent>,
}

impl World {
    pub(crate) fn new(bus: Bus, config: &Radio) -> Self {
        // Seen when a test fails.
        drop(drawbridge_daemon::journal::start(log::LevelFilter::Debug));
        let (actions, queue) = mpsc::channel(64);
        let (tell, events) = mpsc::channel(64);
        tokio::spawn(Bluez::new(config, &bus.state()).run(queue, tell));
        Self {
            bus,
            machine: Machine::default(),
            actions,
            events,
        }
    }

    /// The core wants to hear of locks.
    pub(crate) async fn listen(&self) {
        let scan = RadioAction::Scan { on: true };
        self.actions.send(scan).await.unwrap();
    }

    pub(crate) async fn next(&mut self, limit: Duration) -> Option<RadioEvent> {
        tokio::time::timeout(limit, self.events.recv()).await.ok()?
    }

    /// Waits until the radio says so; returns how long that took.
    pub(crate) async fn health(&mut self, wanted: RadioHealth, limit: Duration) -> Duration {
        let since = Instant::now();
        while since.elapsed() < limit {
            let left = limit.saturating_sub(since.elapsed());
            match self.next(left).await {
                Some(RadioEvent::Health(health)) if health == wanted => return since.elapsed(),
                Some(_) => {}
                None => break,
            }
        }
        panic!("not {wanted:?} within {limit:?}");
    }

    /// Waits until the fake has seen that many calls that end so.
    pub(crate) async fn calls(&self, end: &str, count: usize, limit: Duration) {
        let until = Instant::now() + limit;
        while self.machine.count(end) < count {
            assert!(
                Instant::now() < until,
                "{end}: {} of {count} within {limit:?}",
                self.machine.count(end)
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
