//! The keeper of one adapter: on, listening, and back when it was away.

use std::sync::Arc;
use std::time::Duration;

use bluer::{Adapter, Address as Bdaddr, Uuid};
use drawbridge_protocol::gatt;
use log::{info, warn};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::Shared;
use super::call::{CallError, POWER, PROPERTY, limited};
use super::ear::Ear;
use super::port::{Port, Ports};
use super::scan;

/// Between two tries to switch an adapter on: the first, the least when something changed, and the
/// longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LEAST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Tries after which an adapter that is the only one is a trouble of the whole radio.
const TRIES: u32 = 3;
/// Devices of an earlier run that are looked at.
const LEFTOVERS: usize = 256;

/// Keeps one adapter. **An adapter that cannot be used costs the others nothing:** it is tried
/// again alone; only when none is ready does the radio as a whole have a trouble.
pub(super) struct Keeper {
    pub(super) adapter: Adapter,
    pub(super) address: Bdaddr,
    pub(super) shared: Arc<Shared>,
    pub(super) ear: Arc<Ear>,
    pub(super) troubles: mpsc::Sender<CallError>,
    /// Switch it off first.
    pub(super) cycle: bool,
}

/// A port that is open for as long as this lives. **However it ends, it is told once:** a keeper is
/// also dropped, when bluetoothd no longer lists its adapter or when its epoch ends.
struct Open<'a> {
    ports: &'a Ports,
    port: Arc<Port>,
    /// Why it ended, if the keeper knows.
    reason: Option<String>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.ports.close(&self.port);
        let address = self.port.address.to_string();
        let reason = self.reason.as_deref().unwrap_or("BlueZ no longer has it");
        warn!(event = "adapter_gone", address = address.as_str(), reason; "a Bluetooth adapter is gone, off or refuses to listen");
    }
}

impl Keeper {
    /// Runs until it is dropped.
    pub(super) async fn keep(mut self) {
        let mut changed = self.ear.adapters_changed();
        let (mut pause, mut failures) = (FIRST_PAUSE, 0);
        let address = self.address.to_string();
        loop {
            changed.mark_unchanged();
            let error = match self.switch_on().await {
                Ok(port) => {
                    (pause, failures) = (FIRST_PAUSE, 0);
                    let name = self.adapter.name();
                    info!(event = "adapter_ready", address = address.as_str(), name; "a Bluetooth adapter is ready");
                    self.serve(port).await
                }
                Err(error) => {
                    if failures == 0 {
                        warn!(event = "adapter_refused", address = address.as_str(), error = error.to_string().as_str(); "a Bluetooth adapter cannot be switched on; it is tried again");
                    }
                    error
                }
            };
            failures += 1;
            if failures >= TRIES && self.shared.ports.all().is_empty() {
                // Full: a trouble is on its way already.
                let _told = self.troubles.try_send(error);
            }
            // Whoever switches it off each time is not answered faster than this.
            sleep(LEAST_PAUSE).await;
            // A change of an adapter may be the one that was waited for.
            let _changed = timeout(pause, changed.changed()).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn switch_on(&mut self) -> Result<Arc<Port>, CallError> {
        let asked = self.adapter.is_powered();
        let mut is_on = limited("read whether an adapter is on", PROPERTY, asked).await?;
        if std::mem::take(&mut self.cycle) && is_on {
            let off = self.adapter.set_powered(false);
            limited("switch an adapter off", POWER, off).await?;
            is_on = false;
        }
        if !is_on {
            let on = self.adapter.set_powered(true);
            limited("switch an adapter on", POWER, on).await?;
        }
        let kind = self.adapter.address_type();
        let kind = limited("read an adapter's address type", PROPERTY, kind).await?;
        Ok(Arc::new(Port::new(
            self.adapter.clone(),
            self.address,
            kind,
        )))
    }

    /// The port's life; returns why it ended.
    async fn serve(&mut self, port: Arc<Port>) -> CallError {
        tidy(&self.shared, &port).await;
        let shared = Arc::clone(&self.shared);
        let mut open = Open {
            ports: &shared.ports,
            port,
            reason: None,
        };
        open.ports.open(&open.port);
        let ended = tokio::select! {
            error = scan::listen(&self.ear, &open.port, shared.scan.subscribe()) => {
                self.cycle = true;
                error
            }
            error = self.until_off() => error,
        };
        open.reason = Some(ended.to_string());
        ended
    }

    async fn until_off(&self) -> CallError {
        let mut changed = self.ear.adapters_changed();
        loop {
            let asked = self.adapter.is_powered();
            match limited("read whether an adapter is on", PROPERTY, asked).await {
                Ok(true) => {}
                Ok(false) => {
                    return CallError::Refused {
                        act: "use an adapter",
                        reason: "it was switched off".into(),
                    };
                }
                Err(error) => return error,
            }
            if changed.changed().await.is_err() {
                sleep(LONGEST_PAUSE).await;
            }
        }
    }
}

/// Ends what an earlier run left: connections to locks that nobody here uses, which would keep
/// their slots, and device objects of locks without a bond, whose addresses have rotated.
async fn tidy(shared: &Shared, port: &Port) {
    let listed = port.adapter.device_addresses();
    let Ok(devices) = limited("list devices", PROPERTY, listed).await else {
        return;
    };
    for address in devices.into_iter().take(LEFTOVERS) {
        let Ok(device) = port.adapter.device(address) else {
            continue;
        };
        let uuids = limited("read services", PROPERTY, device.uuids()).await;
        let is_lock =
            matches!(uuids, Ok(Some(uuids)) if uuids.contains(&Uuid::from_u128(gatt::SERVICE)));
        let door = shared.ports.door(address);
        let Ok(_unused) = door.try_lock() else {
            continue;
        };
        if !is_lock {
            continue;
        }
        drop(limited("end a connection", PROPERTY, device.disconnect()).await);
        let is_bonded = limited("read a bond", PROPERTY, device.is_paired()).await;
        if is_bonded == Ok(false) {
            drop(
                limited(
                    "forget a device",
                    PROPERTY,
                    port.adapter.remove_device(address),
                )
                .await,
            );
        }
    }
}
