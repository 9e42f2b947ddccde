//! The portable bearer: three characteristics, through bluetoothd.

use std::pin::Pin;
use std::sync::Arc;

use bluer::Uuid;
use bluer::gatt::remote::Characteristic;
use drawbridge_protocol::gatt;
use futures_util::stream::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::call::{CONNECT, CallError, PROPERTY, SERVICES, WRITE, limited};
use super::ear::Ear;
use super::place::Place;
use super::port::Port;
use crate::radio::LinkFault;

/// What fits one packet of every LE device: an ATT MTU of 23 less 3 bytes of header (Core vol 3
/// part F 3.4.7.1).
const LEAST_VALUE: usize = 20;

/// A subscription to a lock's outbox.
pub(super) struct GattLink {
    inbox: Characteristic,
    /// Holds the subscription; what it yields is heard by the ear.
    subscription: Pin<Box<dyn Stream<Item = Vec<u8>> + Send>>,
    values: mpsc::Receiver<Vec<u8>>,
    /// Largest packet, bytes.
    pub(super) packet_size: usize,
}

/// The side of it that sends.
pub(super) struct GattOutgoing(Characteristic);

impl GattLink {
    /// Connects, finds the service and subscribes.
    pub(super) async fn open(port: &Port, ear: &Arc<Ear>, place: Place) -> Result<Self, LinkFault> {
        let device = port
            .adapter
            .device(place.lock)
            .map_err(|_| LinkFault::Unreachable)?;
        limited("connect to a lock", CONNECT, device.connect())
            .await
            .map_err(|error| connect_fault(&error))?;
        let services = limited("find a lock's services", SERVICES, device.services())
            .await
            .map_err(|error| fault(&error))?;
        let mut found = None;
        for service in services {
            let uuid = limited("read a service", PROPERTY, service.uuid()).await;
            if uuid.map_err(|error| fault(&error))? == Uuid::from_u128(gatt::SERVICE) {
                found = Some(service);
                break;
            }
        }
        let service = found.ok_or(LinkFault::Protocol)?;
        let (mut inbox, mut outbox) = (None, None);
        let all = limited("find characteristics", PROPERTY, service.characteristics());
        for characteristic in all.await.map_err(|error| fault(&error))? {
            let uuid = limited("read a characteristic", PROPERTY, characteristic.uuid()).await;
            match uuid.map_err(|error| fault(&error))?.as_u128() {
                gatt::INBOX => inbox = Some(characteristic),
                gatt::OUTBOX => outbox = Some(characteristic),
                _ => {}
            }
        }
        let (Some(inbox), Some(outbox)) = (inbox, outbox) else {
            return Err(LinkFault::Protocol);
        };
        // bluer: takes 5 bytes off the MTU, which are the header's 3 and 2 more. BlueZ: does not tell
        // before 5.62. So: what it says is what fits, or the least.
        let fits = limited("read the MTU", PROPERTY, inbox.mtu()).await;
        let fits = fits.unwrap_or(LEAST_VALUE).max(LEAST_VALUE);
        let packet_size = fits.min(usize::from(gatt::MAX_PACKET));
        // The lock speaks as soon as the subscription stands: listen first.
        let values = ear.values(path_of(port, place, &outbox));
        // BlueZ: AcquireNotify crashed some versions. Seen: bluez #1376. So: signals.
        let subscription = limited("subscribe to a lock", SERVICES, outbox.notify())
            .await
            .map_err(|error| fault(&error))?;
        Ok(Self {
            inbox,
            subscription: Box::pin(subscription),
            values,
            packet_size,
        })
    }

    /// A handle that sends while this one receives.
    pub(super) fn outgoing(&self) -> GattOutgoing {
        GattOutgoing(self.inbox.clone())
    }

    /// The next packet. A notification that this version cannot have asked for ends the link.
    pub(super) async fn receive(&mut self) -> Result<Vec<u8>, LinkFault> {
        loop {
            tokio::select! {
                biased;
                value = self.values.recv() => {
                    let value = value.ok_or(LinkFault::Closed)?;
                    return if value.len() <= usize::from(gatt::MAX_PACKET) {
                        Ok(value)
                    } else {
                        Err(LinkFault::Protocol)
                    };
                }
                same = self.subscription.next() => {
                    if same.is_none() {
                        return Err(LinkFault::Closed);
                    }
                }
            }
        }
    }
}

impl GattOutgoing {
    pub(super) async fn send(&self, packet: &[u8]) -> Result<(), LinkFault> {
        // The default is a write without response.
        limited("write a packet", WRITE, self.0.write(packet))
            .await
            .map_err(|error| fault(&error))
    }
}

fn path_of(port: &Port, place: Place, characteristic: &Characteristic) -> String {
    format!(
        "/org/bluez/{}/dev_{}/service{:04x}/char{:04x}",
        port.adapter.name(),
        place.lock.to_string().replace(':', "_"),
        characteristic.service_id(),
        characteristic.id(),
    )
}

fn fault(error: &CallError) -> LinkFault {
    match error {
        CallError::Late { .. } => LinkFault::Timeout,
        CallError::Refused { .. } => LinkFault::Closed,
    }
}

/// BlueZ tells reasons of a failed connection by words only (`btd_error_le_errno`).
fn connect_fault(error: &CallError) -> LinkFault {
    let CallError::Refused { reason, .. } = error else {
        return LinkFault::Timeout;
    };
    let has = |word: &str| reason.contains(word);
    if has("concurrent-connection-limit") || has("too many") || has("memory") {
        LinkFault::NoSlot
    } else if has("adapter-not-powered") || has("not ready") || has("NotReady") {
        LinkFault::NoAdapter
    } else if has("does not exist") || has("UnknownObject") || has("doesn't exist") {
        LinkFault::Unreachable
    } else if has("timeout") || has("page-timeout") {
        LinkFault::Timeout
    } else {
        LinkFault::Closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: &str) -> CallError {
        CallError::Refused {
            act: "connect to a lock",
            reason: reason.into(),
        }
    }

    /// Guards (F04, F02): BlueZ's words that all become the same fault.
    #[test]
    fn f04_bluez_words_become_faults() {
        let of = |words| connect_fault(&refused(words));
        let limit = "Bluetooth operation failed: le-connection-concurrent-connection-limit";
        assert_eq!(of(limit), LinkFault::NoSlot);
        let off = "Bluetooth device not ready: le-connection-adapter-not-powered";
        assert_eq!(of(off), LinkFault::NoAdapter);
        let abort = "Bluetooth operation failed: le-connection-abort-by-local";
        assert_eq!(of(abort), LinkFault::Closed);
    }
}
