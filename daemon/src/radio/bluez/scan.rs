//! Listening for locks.

use std::sync::Arc;
use std::time::Duration;

use log::debug;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::Shared;
use super::call::{CallError, PROPERTY, limited};
use super::ear::{Ear, Heard};
use super::place::Place;
use super::port::Port;
use crate::radio::RadioEvent;

/// Discoveries refused in a row, or for this long, before it is a trouble: a controller that has
/// fallen mute takes seconds for each.
const REFUSED: u32 = 10;
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// BlueZ: a discovery listens for 10.24 s, and one that heard nothing hears nothing until its next
/// window. Seen: 5.82 on kernel 6.12, locks that were found after 0.3 s or after 10.9 s, nothing
/// between. So: a discovery is renewed before its window ends.
const RENEW: Duration = Duration::from_secs(3);
/// Between two refused ones, milliseconds, times their number.
const PAUSE_MS: u64 = 50;

/// Discovers on this adapter while it is wanted and nobody connects; returns the last error once
/// BlueZ has refused ten times in a row, or for 10 s.
pub(super) async fn listen(ear: &Ear, port: &Port, mut wanted: watch::Receiver<bool>) -> CallError {
    let (mut refused, mut since) = (0, Instant::now());
    loop {
        if wanted.wait_for(|on| *on).await.is_err() {
            // The radio ends.
            std::future::pending::<()>().await;
        }
        let turn = port.turn_to_listen().await;
        if refused == 0 {
            since = Instant::now();
        }
        let outcome = discover(ear, port, &mut wanted).await;
        drop(turn);
        let Err(error) = outcome else {
            refused = 0;
            continue;
        };
        refused += 1;
        debug!(event = "discovery_refused", address = port.address.to_string().as_str(), error = error.to_string().as_str(); "BlueZ does not listen; it is asked again");
        if refused >= REFUSED || since.elapsed() >= REFUSED_FOR {
            return error;
        }
        sleep(Duration::from_millis(PAUSE_MS * u64::from(refused))).await;
    }
}

/// One discovery, until it is no longer wanted.
///
/// BlueZ: with a controller that has fallen mute a discovery begins all the same, since the one before never ended; only the
/// end says so. Seen: 5.82 on kernel 6.12. So: the answer to the end counts as much.
async fn discover(
    ear: &Ear,
    port: &Port,
    wanted: &mut watch::Receiver<bool>,
) -> Result<(), CallError> {
    let adapter = port.adapter.name();
    let started = ear.start_discovery(adapter).await;
    if started.is_ok() {
        tokio::select! {
            _ = wanted.wait_for(|on| !*on) => {}
            () = port.connect_is_wanted() => {}
            () = sleep(RENEW) => {}
        }
    }
    // However it began: one that goes on would be in the way of whoever connects.
    let ended = ear.end_discovery(adapter).await;
    started.and(ended)
}

/// Tells the core of each lock that the ear hears.
pub(super) async fn tell(
    shared: &Arc<Shared>,
    heard: &mut mpsc::Receiver<Heard>,
    events: &mpsc::Sender<RadioEvent>,
) {
    while let Some(advert) = heard.recv().await {
        let Some(port) = shared.ports.named(&advert.adapter) else {
            continue;
        };
        let kind = match advert.kind {
            Some(kind) => kind,
            None => {
                let Ok(device) = port.adapter.device(advert.device) else {
                    continue;
                };
                let asked = device.address_type();
                match limited("read an address type", PROPERTY, asked).await {
                    Ok(kind) => kind,
                    // It went away meanwhile.
                    Err(_) => continue,
                }
            }
        };
        let place = Place {
            adapter: port.address,
            lock: advert.device,
            kind,
        };
        let beacon = advert.beacon;
        if let Some(address) = place.address().filter(|_| *shared.scan.borrow()) {
            // The core is gone: nobody is left to be told.
            let _told = events.send(RadioEvent::Seen { address, beacon }).await;
        }
    }
}
