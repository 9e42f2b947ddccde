//! Bluetooth through BlueZ: bluer for bluetoothd, the kernel's sockets for the packets.
//!
//! One file a noun: `life` and `epoch` follow bluetoothd's lives, `ear` hears the bus, `adapter`
//! keeps one adapter, `port` holds the ready ones, `scan` listens, `link` carries packets over
//! `coc` or `gatt`, `bond` bonds, `ladder` says what to try when nothing works.
//! docs/decisions/0009-one-epoch-per-bluetoothd.md says why.

mod adapter;
mod advert;
mod bond;
mod bond_book;
mod call;
mod coc;
mod ear;
mod epoch;
mod gatt;
mod ladder;
mod life;
mod link;
mod place;
mod port;
pub mod probe;
mod scan;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::bond::Bonds;
use self::ear::Ear;
use self::life::Standing;
use self::link::LinkTask;
use self::port::Ports;
use crate::radio::handle::{Handle, send};
use crate::radio::{LinkId, RadioAction, RadioEvent};

/// Packets of one link that may wait for a lock that does not take them; then it is ended.
const WAITING_PACKETS: usize = 256;

/// What all tasks of the radio share.
#[derive(Debug)]
struct Shared {
    ports: Ports,
    bonds: Bonds,
    scan: watch::Sender<bool>,
    standing: watch::Sender<Standing>,
    ear: Mutex<Option<Arc<Ear>>>,
    /// The adapters that may be used; empty: all.
    adapters: Vec<bluer::Address>,
    gatt_only: bool,
}

impl Shared {
    fn may_use(&self, adapter: bluer::Address) -> bool {
        self.adapters.is_empty() || self.adapters.contains(&adapter)
    }

    fn ear(&self) -> Option<Arc<Ear>> {
        let ear = self.ear.lock().unwrap_or_else(PoisonError::into_inner);
        ear.clone()
    }

    fn hear_with(&self, ear: Option<Arc<Ear>>) {
        *self.ear.lock().unwrap_or_else(PoisonError::into_inner) = ear;
    }
}

/// The radio.
#[derive(Debug)]
pub struct Bluez {
    shared: Arc<Shared>,
}

impl Bluez {
    /// A radio as the configuration has it, that keeps its bonds in the state folder. Nothing is
    /// asked of BlueZ yet; adapters of the configuration that are no addresses are left out.
    #[must_use]
    pub fn new(config: &crate::config::Radio, state: &Path) -> Self {
        let adapters = config.adapters.iter();
        Self {
            shared: Arc::new(Shared {
                ports: Ports::default(),
                bonds: Bonds::open(state),
                scan: watch::Sender::new(false),
                standing: watch::Sender::new(Standing::Away),
                ear: Mutex::default(),
                adapters: adapters.filter_map(|text| text.parse().ok()).collect(),
                gatt_only: config.gatt_only,
            }),
        }
    }

    /// Carries out `actions` until their sender is dropped, then ends all links.
    ///
    /// **This loop waits for actions only, never for a lock, for BlueZ or for room in `events`.**
    pub async fn run(
        self,
        mut actions: mpsc::Receiver<RadioAction>,
        events: mpsc::Sender<RadioEvent>,
    ) {
        let mut links: HashMap<LinkId, Handle> = HashMap::new();
        let mut tasks: JoinSet<LinkId> = JoinSet::new();
        let mut chores = JoinSet::new();
        chores.spawn(life::live(Arc::clone(&self.shared), events.clone()));
        chores.spawn(life::report(Arc::clone(&self.shared), events.clone()));
        loop {
            tokio::select! {
                action = actions.recv() => match action {
                    None => break,
                    Some(RadioAction::Connect { link, address, lock, passkey }) => {
                        let (handle, queue, ended) = Handle::new(WAITING_PACKETS);
                        links.insert(link, handle);
                        let (shared, events) = (Arc::clone(&self.shared), events.clone());
                        let task = LinkTask { link, address, lock, passkey, shared, events };
                        tasks.spawn(task.run(queue, ended));
                    }
                    Some(RadioAction::Send { link, packet }) => {
                        send(&mut links, link, packet, "link_congested");
                    }
                    // What was sent before still goes: the task ends when its queue is empty.
                    Some(RadioAction::Disconnect { link }) => drop(links.remove(&link)),
                    Some(RadioAction::Forget { lock }) => {
                        let shared = Arc::clone(&self.shared);
                        shared.ports.unlinked(lock);
                        chores.spawn(async move {
                            shared.bonds.forget(&shared.ports, lock).await;
                        });
                    }
                    Some(RadioAction::Scan { on }) => {
                        self.shared.scan.send_replace(on);
                    }
                },
                Some(ended) = tasks.join_next() => {
                    if let Ok(link) = ended {
                        links.remove(&link);
                    }
                }
                Some(_) = chores.join_next() => {}
            }
        }
        tasks.shutdown().await;
        chores.shutdown().await;
    }
}
