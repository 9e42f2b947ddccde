//! The radio's life: epoch after epoch, for as long as the daemon runs.

use std::sync::Arc;
use std::time::Duration;

use log::{error, info, warn};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::Shared;
use super::call::CallError;
use super::ear::{Ear, Heard};
use super::epoch::{BleEpoch, End};
use super::ladder::{Ladder, Rung};
use crate::radio::{RadioEvent, RadioHealth};

/// Between two tries to reach the bus: the first, and the longest (F24: back within 3 s).
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What there is besides adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// No bus, or nobody there who is bluetoothd.
    Away,
    /// An epoch runs.
    There,
    /// The ladder is at its end.
    Failed,
}

/// Lives until it is dropped.
pub(super) async fn live(shared: Arc<Shared>, events: mpsc::Sender<RadioEvent>) {
    let mut life = Life {
        ladder: Ladder::default(),
        is_away: false,
        shared,
        events,
    };
    let mut pause = FIRST_PAUSE;
    loop {
        match Ear::open().await {
            Ok((ear, heard)) => {
                pause = FIRST_PAUSE;
                let ear = Arc::new(ear);
                life.shared.hear_with(Some(Arc::clone(&ear)));
                life.on_bus(&ear, heard).await;
                life.shared.hear_with(None);
                life.away("the system bus has gone");
            }
            Err(error) => life.away(&error.to_string()),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

struct Life {
    ladder: Ladder,
    /// It was told that Bluetooth is away.
    is_away: bool,
    shared: Arc<Shared>,
    events: mpsc::Sender<RadioEvent>,
}

impl Life {
    /// Lives while the bus does.
    async fn on_bus(&mut self, ear: &Arc<Ear>, mut heard: mpsc::Receiver<Heard>) {
        let mut kept: Option<BleEpoch> = None;
        let mut cycle = false;
        loop {
            let Some(owner) = self.bluetoothd(ear).await else {
                return;
            };
            let epoch = match kept.take() {
                Some(epoch) => Ok(epoch),
                None => BleEpoch::begin(Arc::clone(&self.shared), Arc::clone(ear), owner).await,
            };
            let end = match epoch {
                Ok(mut epoch) => {
                    if !self.ladder.has_failed() {
                        self.shared.standing.send_replace(Standing::There);
                    }
                    let cycle = std::mem::take(&mut cycle);
                    let end = epoch
                        .run(cycle, &mut self.ladder, &mut heard, &self.events)
                        .await;
                    kept = Some(epoch);
                    end
                }
                Err(end) => end,
            };
            match end {
                End::BusLost => return,
                End::Away => {
                    kept = None;
                    self.away("bluetoothd has gone");
                }
                End::Trouble(error) => {
                    let rung = self.climb(ear, &error).await;
                    cycle = rung == Rung::PowerCycle;
                    if rung != Rung::Reconnect {
                        kept = None;
                    }
                }
            }
        }
    }

    /// Waits for bluetoothd; `None` when the bus goes first.
    async fn bluetoothd(&mut self, ear: &Ear) -> Option<String> {
        let (mut owner, mut lost) = (ear.owner(), ear.lost());
        if owner.borrow().is_none() {
            self.away("bluetoothd does not run");
        }
        let owner = tokio::select! {
            biased;
            _ = lost.wait_for(|lost| *lost) => None,
            owner = owner.wait_for(Option::is_some) => owner.ok()?.clone(),
        }?;
        if std::mem::take(&mut self.is_away) {
            info!(event = "bluetooth_back", owner = owner.as_str(); "bluetoothd is there");
        }
        Some(owner)
    }

    fn away(&mut self, reason: &str) {
        self.ladder.away(Instant::now());
        self.shared.standing.send_replace(Standing::Away);
        if !std::mem::replace(&mut self.is_away, true) {
            warn!(event = "bluetooth_away", reason; "no lock can be reached over Bluetooth until bluetoothd is there");
        }
    }

    /// Takes the next rung.
    async fn climb(&mut self, ear: &Ear, trouble: &CallError) -> Rung {
        let (rung, count) = self.ladder.trouble(Instant::now());
        let cause = trouble.to_string();
        let (name, cause) = (rung.name(), cause.as_str());
        if rung == Rung::Failed {
            self.shared.standing.send_replace(Standing::Failed);
            error!(event = "radio_failed", count, cause; "Bluetooth does not work and nothing helps: look at the adapter and at bluetoothd");
        } else {
            warn!(event = "radio_rung", rung = name, count, cause; "Bluetooth does not work");
        }
        let mut owner = ear.owner();
        owner.mark_unchanged();
        // A change of bluetoothd's is news that no pause should outlast.
        let _changed = timeout(rung.pause(), owner.changed()).await;
        if rung == Rung::RestartService
            && let Err(error) = ear.restart_service().await
        {
            let error = error.to_string();
            warn!(event = "restart_refused", error = error.as_str(); "bluetooth.service could not be restarted");
        }
        rung
    }
}

/// Tells the core how the radio is, whenever that changes.
pub(super) async fn report(shared: Arc<Shared>, events: mpsc::Sender<RadioEvent>) {
    let (mut standing, mut ready) = (shared.standing.subscribe(), shared.ports.count());
    let mut told = None;
    loop {
        let health = match (*standing.borrow_and_update(), *ready.borrow_and_update()) {
            (_, 1..) => RadioHealth::Ready,
            (Standing::There, 0) => RadioHealth::NoAdapter,
            (Standing::Away, 0) => RadioHealth::BluetoothAway,
            (Standing::Failed, 0) => RadioHealth::Failed,
        };
        if told.replace(health) != Some(health)
            && events.send(RadioEvent::Health(health)).await.is_err()
        {
            return;
        }
        let changed = tokio::select! {
            changed = standing.changed() => changed,
            changed = ready.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}
