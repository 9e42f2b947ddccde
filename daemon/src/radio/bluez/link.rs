//! One link: connect over a channel or GATT, then packets both ways until either side has had enough.

use std::sync::Arc;

use drawbridge_protocol::ids::LockId;
use log::debug;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::Shared;
use super::call::{CONNECT, LINK, PROPERTY, WRITE, limited};
use super::coc::{Coc, CocError};
use super::gatt::{GattLink, GattOutgoing};
use super::place::Place;
use super::port::Port;
use crate::radio::handle::told;
use crate::radio::{Address, LinkFault, LinkId, Passkey, RadioEvent};

/// The task of one link. **Whatever a lock does, it ends this link at most.**
pub(super) struct LinkTask {
    pub(super) link: LinkId,
    pub(super) address: Address,
    pub(super) lock: LockId,
    pub(super) passkey: Passkey,
    pub(super) shared: Arc<Shared>,
    pub(super) events: mpsc::Sender<RadioEvent>,
}

enum Incoming {
    Coc(Arc<Coc>),
    Gatt(Box<GattLink>),
}

enum Outgoing {
    Coc(Arc<Coc>),
    Gatt(GattOutgoing),
}

struct Bearer {
    incoming: Incoming,
    outgoing: Outgoing,
    packet_size: usize,
    /// What the lock has said already.
    first: Option<Vec<u8>>,
}

impl LinkTask {
    /// Runs until the link is down and that was said. `end` answered = disconnect now; `queue` and
    /// `end` dropped = disconnect after what is in `queue`.
    pub(super) async fn run(
        self,
        mut queue: mpsc::Receiver<Vec<u8>>,
        mut end: oneshot::Receiver<LinkFault>,
    ) -> LinkId {
        let link = self.link;
        let place = Place::parse(self.address.as_str());
        let port = place.and_then(|place| self.shared.ports.port(place.adapter));
        let (Some(place), Some(port)) = (place, port) else {
            let reason = match place {
                None => LinkFault::Unreachable,
                Some(_) => LinkFault::NoAdapter,
            };
            self.tell(RadioEvent::ConnectFailed { link, reason }).await;
            return link;
        };
        let door = self.shared.ports.door(place.lock);
        let connected = tokio::select! {
            connected = timeout(LINK, async {
                let inside = door.lock().await;
                self.connect(&port, place).await.map(|bearer| (bearer, inside))
            }) => connected.unwrap_or(Err(LinkFault::Timeout)),
            reason = &mut end => Err(reason.unwrap_or(LinkFault::Closed)),
            // Whatever is still waited for is an answer of a controller that has gone or says nothing any more.
            () = self.shared.ports.closed(&port) => Err(LinkFault::NoAdapter),
        };
        let (bearer, _inside) = match connected {
            Ok(connected) => connected,
            Err(reason) => {
                // A connection that came half-way holds a slot of the controller and of the lock.
                let _inside = door.lock().await;
                self.let_go(&port, place).await;
                self.tell(RadioEvent::ConnectFailed { link, reason }).await;
                return link;
            }
        };
        let since = Instant::now();
        let packet_size = bearer.packet_size;
        self.tell(RadioEvent::LinkUp { link, packet_size }).await;
        if let Some(bytes) = bearer.first {
            self.tell(RadioEvent::Packet { link, bytes }).await;
        }
        let (reason, is_ours) = tokio::select! {
            reason = self.receive(bearer.incoming) => (reason, false),
            failed = transmit(bearer.outgoing, &mut queue, packet_size) => {
                (failed.unwrap_or(LinkFault::Closed), failed.is_none())
            }
            reason = told(end) => (reason, true),
            () = self.shared.bonds.keep(&port, place, self.lock, self.passkey) => {
                (LinkFault::Closed, true)
            }
        };
        self.let_go(&port, place).await;
        if !is_ours {
            let (bonds, ports) = (&self.shared.bonds, &self.shared.ports);
            bonds.link_ended(ports, self.lock, since.elapsed()).await;
        }
        self.tell(RadioEvent::LinkDown { link, reason }).await;
        link
    }

    async fn connect(&self, port: &Arc<Port>, place: Place) -> Result<Bearer, LinkFault> {
        let _turn = port.turn_to_connect().await;
        if let Some(before) = self.shared.ports.linked(self.lock, place.lock)
            && !self.shared.bonds.is_bonded(self.lock)
        {
            // BlueZ: a device that was connected once is kept for ever, and an address that rotates
            // leaves one behind each time. Seen: btd_device_set_temporary. So: it is removed.
            let removed = port.adapter.remove_device(before);
            if let Err(error) = limited("forget an old address", PROPERTY, removed).await {
                debug!(event = "old_address_kept", error = error.to_string().as_str(); "an address that rotated away stays with BlueZ");
            }
        }
        if !self.shared.gatt_only {
            match timeout(CONNECT, Coc::open(port, place)).await {
                Ok(Ok(coc)) => return Ok(Bearer::coc(coc)),
                Ok(Err(CocError::Fault(fault))) => return Err(fault),
                Ok(Err(CocError::NoChannel)) => {
                    debug!(event = "no_channel", link = self.link.0; "a lock takes no channel: over GATT then");
                }
                Err(_) => return Err(LinkFault::Timeout),
            }
        }
        let ear = self.shared.ear().ok_or(LinkFault::NoAdapter)?;
        Ok(Bearer::gatt(GattLink::open(port, &ear, place).await?))
    }

    /// Ends the connection below the bearer.
    ///
    /// BlueZ: bluetoothd holds a channel of its own on each connection, so that closing ours does
    /// not end it. Seen: gatt-database.c `connect_cb`. So: it is asked to.
    async fn let_go(&self, port: &Port, place: Place) {
        let Ok(device) = port.adapter.device(place.lock) else {
            return;
        };
        // Gone already, most of the time.
        drop(limited("end a connection", PROPERTY, device.disconnect()).await);
    }

    async fn receive(&self, mut incoming: Incoming) -> LinkFault {
        let link = self.link;
        loop {
            let received = match &mut incoming {
                Incoming::Coc(coc) => coc.receive().await,
                Incoming::Gatt(gatt) => gatt.receive().await,
            };
            match received {
                Ok(bytes) => self.tell(RadioEvent::Packet { link, bytes }).await,
                Err(reason) => return reason,
            }
        }
    }

    async fn tell(&self, event: RadioEvent) {
        // The core is gone: nobody is left to be told, and the actions' end stops this task.
        let _told = self.events.send(event).await;
    }
}

impl Bearer {
    fn coc(mut coc: Coc) -> Self {
        let first = Some(std::mem::take(&mut coc.first));
        let packet_size = coc.packet_size;
        let coc = Arc::new(coc);
        Self {
            incoming: Incoming::Coc(Arc::clone(&coc)),
            outgoing: Outgoing::Coc(coc),
            packet_size,
            first,
        }
    }

    fn gatt(link: GattLink) -> Self {
        Self {
            outgoing: Outgoing::Gatt(link.outgoing()),
            packet_size: link.packet_size,
            incoming: Incoming::Gatt(Box::new(link)),
            first: None,
        }
    }
}

/// Sends what comes until the queue is closed (`None`), or what went wrong.
async fn transmit(
    outgoing: Outgoing,
    queue: &mut mpsc::Receiver<Vec<u8>>,
    packet_size: usize,
) -> Option<LinkFault> {
    while let Some(packet) = queue.recv().await {
        if packet.len() > packet_size {
            // Our own mistake; cutting it would garble the message.
            return Some(LinkFault::Protocol);
        }
        let sent = async {
            match &outgoing {
                Outgoing::Coc(coc) => coc.send(&packet).await,
                Outgoing::Gatt(gatt) => gatt.send(&packet).await,
            }
        };
        match timeout(WRITE, sent).await {
            Ok(Ok(())) => {
                log::trace!(event = "packet_written", at_ns = crate::journal::unix_ns(); "a packet is on the air");
            }
            Ok(Err(reason)) => return Some(reason),
            Err(_) => return Some(LinkFault::Timeout),
        }
    }
    None
}
