//! Listening for locks.

use std::sync::Arc;
use std::time::Duration;

use bluer::{DiscoveryFilter, DiscoveryTransport};
use futures_util::stream::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::Shared;
use super::call::{CallError, PROPERTY, limited};
use super::ear::Heard;
use super::place::Place;
use super::port::Port;
use crate::radio::RadioEvent;

/// Discoveries refused in a row before it is a trouble.
const REFUSED: u32 = 10;
/// A discovery that ends by itself this soon counts as refused.
const TOO_SOON: Duration = Duration::from_secs(1);
/// BlueZ: a discovery listens for 10.24 s, and one that heard nothing hears nothing until its next
/// window. Seen: 5.82 on kernel 6.12, locks that were found after 0.3 s or after 10.9 s, nothing
/// between. So: a discovery is renewed before its window ends.
const RENEW: Duration = Duration::from_secs(3);
/// Between two refused ones, milliseconds, times their number.
const PAUSE_MS: u64 = 50;

/// Discovers on this adapter while it is wanted and nobody connects; returns the last error once
/// BlueZ has refused ten times in a row.
pub(super) async fn listen(port: &Port, mut wanted: watch::Receiver<bool>) -> CallError {
    let mut refused = 0;
    loop {
        if wanted.wait_for(|on| *on).await.is_err() {
            // The radio ends.
            std::future::pending::<()>().await;
        }
        let turn = port.turn_to_listen().await;
        let outcome = discover(port, &mut wanted).await;
        drop(turn);
        let Err(error) = outcome else {
            refused = 0;
            continue;
        };
        refused += 1;
        if refused >= REFUSED {
            return error;
        }
        sleep(Duration::from_millis(PAUSE_MS * u64::from(refused))).await;
    }
}

/// One discovery, until it is no longer wanted. Everything that advertises is heard, and adverts
/// that repeat: a beacon changes under the same address, too.
async fn discover(port: &Port, wanted: &mut watch::Receiver<bool>) -> Result<(), CallError> {
    let filter = DiscoveryFilter {
        transport: DiscoveryTransport::Le,
        duplicate_data: true,
        ..DiscoveryFilter::default()
    };
    // bluer: this waits until the discovery before is really over.
    let set = port.adapter.set_discovery_filter(filter.clone());
    limited("set a discovery filter", PROPERTY, set).await?;
    let started = Instant::now();
    let starting = port.adapter.discover_devices();
    let mut devices = Box::pin(limited("start a discovery", PROPERTY, starting).await?);
    let ended = async {
        // What it finds is heard by the ear; here it is only kept from piling up.
        while devices.next().await.is_some() {}
    };
    let is_ended = tokio::select! {
        () = ended => true,
        _ = wanted.wait_for(|on| !*on) => false,
        () = port.connect_is_wanted() => false,
        () = sleep(RENEW) => false,
    };
    drop(devices);
    let stopped = port.adapter.set_discovery_filter(filter);
    // Stopped or not, the next one begins with the same.
    drop(limited("end a discovery", PROPERTY, stopped).await);
    if is_ended && started.elapsed() < TOO_SOON {
        return Err(CallError::Refused {
            act: "keep a discovery going",
            reason: "it ended by itself".into(),
        });
    }
    Ok(())
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
