//! The simulated lock as the radio sees it: events into the simulator's loop, packets out of it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use drawbridge_lock_ble::{Bond, Inbound, Outbound, Port};
use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::entropy::Entropy;
use tokio::sync::{mpsc, oneshot, watch};

use super::echo::Echo;
use super::kept::{Kept, KeptError};
use crate::air::AirEvent;
use crate::causes::chain;
use crate::device::ConnectionId;
use crate::entropy::Randomness;
use crate::show::Terminal;

/// Packets that wait for a peer that reads slowly; with more it loses its link.
const OUTBOUND: usize = 128;
/// How often a lock that wants no beacon is asked again.
const ASLEEP: Duration = Duration::from_millis(200);

/// The simulator's end.
pub(super) struct SimPort {
    events: mpsc::Sender<AirEvent>,
    alive: watch::Receiver<bool>,
    kept: RefCell<Kept>,
    terminal: Terminal,
    connections: Cell<u64>,
    /// Tests only: links are echoes.
    is_echo: bool,
    /// Whether the radio was set up since this was looked at last.
    up: Cell<bool>,
}

impl SimPort {
    pub(super) fn new(
        events: mpsc::Sender<AirEvent>,
        alive: watch::Receiver<bool>,
        kept: Kept,
        terminal: Terminal,
        is_echo: bool,
    ) -> Self {
        Self {
            events,
            alive,
            kept: RefCell::new(kept),
            terminal,
            connections: Cell::new(0),
            is_echo,
            up: Cell::new(false),
        }
    }

    pub(super) fn kept(&self) -> Kept {
        self.kept.borrow().clone()
    }

    /// Whether the radio got so far as to want a beacon since the last call.
    pub(super) fn take_up(&self) -> bool {
        self.up.take()
    }

    pub(super) fn forget(&self) {
        self.tell(self.kept.borrow_mut().forget());
    }

    fn tell(&self, written: Result<(), KeptError>) {
        if let Err(error) = written {
            self.terminal
                .warn(&format!("keep the bonds: {}", chain(&error)));
        }
    }
}

impl Port for SimPort {
    type Inbound = ToLock;
    type Outbound = FromLock;

    async fn beacon(&self) -> Beacon {
        self.up.set(true);
        loop {
            let (answer, beacon) = oneshot::channel();
            if self.events.send(AirEvent::Scanned(answer)).await.is_ok()
                && let Ok(beacon) = beacon.await
            {
                return beacon;
            }
            tokio::time::sleep(ASLEEP).await;
        }
    }

    async fn asleep(&self) {
        let mut alive = self.alive.clone();
        if alive.wait_for(|alive| !alive).await.is_err() {
            // The simulator is gone, and this thread soon will be.
            std::future::pending().await
        }
    }

    async fn open(&self, packet: u16) -> Option<(ToLock, FromLock)> {
        let connection = ConnectionId(self.connections.get() + 1);
        self.connections.set(connection.0);
        let (outbound, packets) = mpsc::channel(OUTBOUND);
        if self.is_echo {
            let inbound = ToLock::Echo(Echo::new(packet, outbound));
            return Some((inbound, FromLock(packets)));
        }
        let (sender, answer) = oneshot::channel();
        // Made first: dropped at any point from here on, it takes the link down.
        let inbound = ToLock::Lock(ToDevice {
            connection,
            events: self.events.clone(),
        });
        let wanted = AirEvent::Wanted {
            connection,
            packet,
            answer: sender,
            outbound,
        };
        self.events.send(wanted).await.ok()?;
        answer.await.ok()?.ok()?;
        Some((inbound, FromLock(packets)))
    }

    fn fill(&self, into: &mut [u8]) {
        Randomness::Kernel.fill(into);
    }

    fn keep_bonds(&self, bonds: &[Bond]) {
        self.tell(self.kept.borrow_mut().keep(bonds));
    }
}

/// Where a link's packets go; dropped, the link is down.
#[derive(Debug)]
pub(super) enum ToLock {
    Lock(ToDevice),
    Echo(Echo),
}

/// Packets for the lock.
#[derive(Debug)]
pub(super) struct ToDevice {
    connection: ConnectionId,
    events: mpsc::Sender<AirEvent>,
}

impl Inbound for ToLock {
    async fn push(&mut self, packet: &[u8]) -> bool {
        match self {
            Self::Lock(lock) => {
                let event = AirEvent::Packet(lock.connection, packet.to_vec());
                lock.events.send(event).await.is_ok()
            }
            Self::Echo(echo) => echo.push(packet).await,
        }
    }
}

impl Drop for ToDevice {
    fn drop(&mut self) {
        let gone = AirEvent::Gone(self.connection);
        if let Err(mpsc::error::TrySendError::Full(gone)) = self.events.try_send(gone) {
            let events = self.events.clone();
            tokio::spawn(async move { events.send(gone).await.is_ok() });
        }
    }
}

/// Packets of the lock.
#[derive(Debug)]
pub(super) struct FromLock(mpsc::Receiver<Vec<u8>>);

impl Outbound for FromLock {
    async fn pop(&mut self, into: &mut [u8]) -> Option<usize> {
        let packet = self.0.recv().await?;
        into.get_mut(..packet.len())?.copy_from_slice(&packet);
        Some(packet.len())
    }
}
