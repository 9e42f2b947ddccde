//! The virtual air: each lock is a Unix socket in one folder; its file name is its address.
//!
//! For trying out and testing without Bluetooth hardware; nothing above this module can tell.

pub mod frame;
mod link;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::handle::{Handle, send};
use super::{Address, LinkFault, LinkId, RadioAction, RadioEvent};

/// Packets to one lock that wait for it; with more its link ends.
const WAITING_PACKETS: usize = 64;

/// Digits of an address.
const ADDRESS_DIGITS: usize = 16;

/// How this air behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualAir {
    /// The folder.
    pub dir: PathBuf,
    /// From one pass over the folder to the next while scanning.
    pub scan_every: Duration,
    /// A lock that has not answered a connect for this long is not there.
    pub connect_timeout: Duration,
    /// A lock that takes no packet for this long loses its link.
    pub send_timeout: Duration,
    /// The packet size to ask for, in bytes.
    pub packet_size: u16,
    /// Links at once; more fail with [`LinkFault::NoSlot`].
    pub max_links: usize,
}

impl VirtualAir {
    /// The air in `dir`: a pass a second, 5 s to connect and to send, packets of 244 bytes as
    /// Bluetooth LE's largest, 256 links.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            scan_every: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(5),
            send_timeout: Duration::from_secs(5),
            packet_size: 244,
            max_links: 256,
        }
    }

    /// Carries out `actions` until their sender is dropped, then ends all links.
    ///
    /// **This loop waits for actions only, never for a lock and never for room in `events`:** links
    /// and the scanner are tasks of their own, each with at most one event on offer, so that a lock
    /// that floods gets its turn and no more.
    pub async fn run(
        self,
        mut actions: mpsc::Receiver<RadioAction>,
        events: mpsc::Sender<RadioEvent>,
    ) {
        let mut links: HashMap<LinkId, Handle> = HashMap::new();
        let mut tasks: JoinSet<LinkId> = JoinSet::new();
        // Dropped, and with it the pass under way, when scanning stops.
        let mut scanner = JoinSet::new();
        loop {
            tokio::select! {
                action = actions.recv() => match action {
                    None => break,
                    Some(RadioAction::Connect { link, address, .. }) => {
                        self.connect(link, &address, &mut links, &mut tasks, &events);
                    }
                    Some(RadioAction::Send { link, packet }) => {
                        send(&mut links, link, packet, "air_link_congested");
                    }
                    // What was sent before still goes: the task ends when its queue is empty.
                    Some(RadioAction::Disconnect { link }) => drop(links.remove(&link)),
                    // Nothing is kept of a lock here.
                    Some(RadioAction::Forget { .. }) => {}
                    Some(RadioAction::Scan { on: true }) if scanner.is_empty() => {
                        scanner.spawn(scan::scan(self.clone(), events.clone()));
                    }
                    Some(RadioAction::Scan { on: true }) => {}
                    Some(RadioAction::Scan { on: false }) => scanner.shutdown().await,
                },
                Some(ended) = tasks.join_next() => {
                    if let Ok(link) = ended {
                        links.remove(&link);
                    }
                }
            }
        }
        scanner.shutdown().await;
        tasks.shutdown().await;
    }

    fn connect(
        &self,
        link: LinkId,
        address: &Address,
        links: &mut HashMap<LinkId, Handle>,
        tasks: &mut JoinSet<LinkId>,
        events: &mpsc::Sender<RadioEvent>,
    ) {
        let events = events.clone();
        let refused = match self.socket_of(address) {
            None => Some(LinkFault::Unreachable),
            _ if tasks.len() >= self.max_links => Some(LinkFault::NoSlot),
            _ => None,
        };
        if let Some(reason) = refused {
            tasks.spawn(async move {
                // The core is gone: nobody is left to be told.
                let _told = events
                    .send(RadioEvent::ConnectFailed { link, reason })
                    .await;
                link
            });
            return;
        }
        let (handle, queue, ended) = Handle::new(WAITING_PACKETS);
        links.insert(link, handle);
        let task = link::LinkTask {
            link,
            socket: self.socket_of(address).unwrap_or_default(),
            air: self.clone(),
            events,
        };
        tasks.spawn(task.run(queue, ended));
    }

    /// The socket of the lock at `address`; `None` for anything that is not an address of this air,
    /// above all for a path that leads out of the folder.
    fn socket_of(&self, address: &Address) -> Option<PathBuf> {
        is_address(address.as_str()).then(|| self.dir.join(format!("{}.air", address.as_str())))
    }
}

fn is_address(text: &str) -> bool {
    text.len() == ADDRESS_DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The address that a file in the folder stands for.
fn address_of(path: &Path) -> Option<Address> {
    let name = path.file_name()?.to_str()?.strip_suffix(".air")?;
    is_address(name).then(|| Address::new(name)).flatten()
}
