//! Bonds: made at the hub's initiative, with the passkey of the lock's code.
//!
//! A bond lets the hub recognise a lock's rotating address and encrypts the link once more. **It is
//! no security boundary and no condition: whatever becomes of it, the link goes on.**

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bluer::Address as Bdaddr;
use bluer::agent::{Agent, ReqError};
use drawbridge_protocol::ids::LockId;
use log::{info, warn};
use tokio::time::{Instant, sleep};

use super::bond_book::{BondBook, file_in, write};
use super::call::{CallError, PAIR, PROPERTY, limited};
use super::place::Place;
use super::port::{Port, Ports};
use crate::core::Passkey;

/// The link's own opening goes first.
const SETTLED: Duration = Duration::from_secs(2);

/// All bonds of this hub, and the pairings under way.
#[derive(Debug)]
pub(super) struct Bonds {
    file: PathBuf,
    book: Mutex<BondBook>,
    /// By adapter name and device, as BlueZ asks.
    expected: Arc<Mutex<HashMap<(String, Bdaddr), u32>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds one of these panics half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pairing under way; dropped, its passkey is given to nobody any more.
struct Expected<'a>(&'a Bonds, (String, Bdaddr));

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        locked(&self.0.expected).remove(&self.1);
    }
}

impl Bonds {
    /// Reads the book of the state folder; without one there are no bonds.
    pub(super) fn open(state: &std::path::Path) -> Self {
        let file = file_in(state);
        let book = std::fs::read_to_string(&file)
            .map(|text| BondBook::parse(&text))
            .unwrap_or_default();
        Self {
            file,
            book: Mutex::new(book),
            expected: Arc::default(),
        }
    }

    /// The agent of an epoch: it types a passkey for a device that the hub pairs right now, and
    /// refuses everything else. bluer takes an agent without any handler for one that accepts all;
    /// with one it is KeyboardOnly and the others reject.
    pub(super) fn agent(&self) -> Agent {
        let expected = Arc::clone(&self.expected);
        Agent {
            request_passkey: Some(Box::new(move |request| {
                let key = (request.adapter, request.device);
                let passkey = locked(&expected).get(&key).copied();
                Box::pin(async move { passkey.ok_or(ReqError::Rejected) })
            })),
            ..Agent::default()
        }
    }

    /// Makes a bond on a link that is up, if the lock is to have one; then never ends.
    pub(super) async fn keep(&self, port: &Port, place: Place, lock: LockId, passkey: Passkey) {
        sleep(SETTLED).await;
        if locked(&self.book).may_bond(lock, Instant::now()) {
            // Cancelled with the link, it is tried on the next one.
            match self.make(port, place, passkey).await {
                Ok(identity) => {
                    locked(&self.book).made(lock, identity);
                    self.save().await;
                    info!(event = "bond_made", lock = lock.to_string().as_str(); "a lock is bonded");
                }
                Err(error) => {
                    locked(&self.book).failed(lock, Instant::now());
                    let error = error.to_string();
                    warn!(event = "bond_failed", lock = lock.to_string().as_str(), error = error.as_str(); "a lock could not be bonded; its link goes on, and the next try is in ten minutes");
                }
            }
        }
        std::future::pending().await
    }

    async fn make(&self, port: &Port, place: Place, passkey: Passkey) -> Result<Place, CallError> {
        let act = "bond with a lock";
        let device = port
            .adapter
            .device(place.lock)
            .map_err(|error| CallError::Refused {
                act,
                reason: error.to_string(),
            })?;
        let key = (port.adapter.name().to_owned(), place.lock);
        locked(&self.expected).insert(key.clone(), passkey.danger_digits());
        let _expected = Expected(self, key);
        if !limited("ask whether a lock is bonded", PROPERTY, device.is_paired()).await? {
            limited(act, PAIR, device.pair()).await?;
        }
        // BlueZ: with the bond the device's address becomes its identity address, its path does
        // not. Seen: device_update_addr. So: both are read.
        let address = device.remote_address();
        let lock = limited("read an identity address", PROPERTY, address).await?;
        let kind = device.address_type();
        let kind = limited("read an address type", PROPERTY, kind).await?;
        Ok(Place {
            lock,
            kind,
            ..place
        })
    }

    /// A link ended by itself: a bond that the lock no longer has is removed.
    pub(super) async fn link_ended(&self, ports: &Ports, lock: LockId, lasted: Duration) {
        let stale = locked(&self.book).link_ended(lock, lasted);
        if let Some(bond) = stale {
            warn!(event = "bond_removed", lock = lock.to_string().as_str(); "links of a bonded lock end at once: its bond is removed and made anew");
            self.remove(ports, bond).await;
        }
    }

    /// The hub has given the lock up.
    pub(super) async fn forget(&self, ports: &Ports, lock: LockId) {
        let bond = locked(&self.book).forget(lock);
        if let Some(bond) = bond {
            info!(event = "bond_removed", lock = lock.to_string().as_str(); "a lock is given up, and its bond");
            self.remove(ports, bond).await;
        }
    }

    /// Whether the device of this place carries a bond of ours.
    pub(super) fn is_bonded(&self, lock: LockId) -> bool {
        locked(&self.book).bond(lock).is_some()
    }

    async fn remove(&self, ports: &Ports, bond: Place) {
        self.save().await;
        let Some(port) = ports.port(bond.adapter) else {
            return;
        };
        let removed = port.adapter.remove_device(bond.lock);
        if let Err(error) = limited("remove a bond", PROPERTY, removed).await {
            let error = error.to_string();
            warn!(event = "bond_not_removed", error = error.as_str(); "BlueZ keeps a bond that the hub has given up");
        }
    }

    async fn save(&self) {
        let text = locked(&self.book).text();
        let file = self.file.clone();
        let written = tokio::task::spawn_blocking(move || write(&file, &text)).await;
        if let Ok(Err(error)) = written {
            let error = error.to_string();
            warn!(event = "bonds_not_written", error = error.as_str(); "after a restart the hub may bond with locks again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards (S12): an agent that accepts pairings without a passkey, or hands one to a stranger.
    #[tokio::test]
    async fn s12_the_agent_types_a_passkey_for_the_expected_device_only() {
        let folder = tempfile::tempdir().unwrap();
        let bonds = Bonds::open(folder.path());
        let agent = bonds.agent();
        assert!(agent.request_confirmation.is_none() && agent.request_authorization.is_none());
        assert!(agent.authorize_service.is_none() && agent.request_pin_code.is_none());
        assert!(agent.display_passkey.is_none() && agent.display_pin_code.is_none());
        assert!(
            agent.request_passkey.is_some(),
            "or bluer accepts everything"
        );
        let device = Bdaddr::new([0xc0, 1, 2, 3, 4, 5]);
        let key = ("hci0".to_owned(), device);
        locked(&bonds.expected).insert(key.clone(), 123_456);
        drop(Expected(&bonds, key));
        assert!(
            locked(&bonds.expected).is_empty(),
            "a pairing that ended leaves its passkey with the agent"
        );
    }
}
