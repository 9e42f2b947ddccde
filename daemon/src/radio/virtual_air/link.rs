//! One link: connect, then packets both ways until either side has had enough.

use std::path::PathBuf;

use drawbridge_protocol::frame::MIN_PACKET;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::VirtualAir;
use super::frame::{FrameError, FromLock, ToLock};
use crate::radio::handle::told;
use crate::radio::{LinkFault, LinkId, RadioEvent};

/// The task of one link. **Whatever bytes a lock sends, they end this link at most.**
pub(super) struct LinkTask {
    pub(super) link: LinkId,
    pub(super) socket: PathBuf,
    pub(super) air: VirtualAir,
    pub(super) events: mpsc::Sender<RadioEvent>,
}

struct Up {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    packet_size: usize,
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
        let connected = tokio::select! {
            connected = timeout(self.air.connect_timeout, self.connect()) => {
                connected.unwrap_or(Err(LinkFault::Timeout))
            }
            reason = &mut end => Err(reason.unwrap_or(LinkFault::Closed)),
        };
        let up = match connected {
            Ok(up) => up,
            Err(reason) => {
                self.tell(RadioEvent::ConnectFailed { link, reason }).await;
                return link;
            }
        };
        let packet_size = up.packet_size;
        self.tell(RadioEvent::LinkUp { link, packet_size }).await;
        let reason = tokio::select! {
            reason = self.receive(up.reader, packet_size) => reason,
            reason = self.transmit(up.writer, &mut queue, packet_size) => reason,
            reason = told(end) => reason,
        };
        self.tell(RadioEvent::LinkDown { link, reason }).await;
        link
    }

    async fn connect(&self) -> Result<Up, LinkFault> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|_| LinkFault::Unreachable)?;
        let (mut reader, mut writer) = stream.into_split();
        match FromLock::read(&mut reader).await.map_err(|e| fault(&e))? {
            FromLock::Advert(_) => {}
            _ => return Err(LinkFault::Protocol),
        }
        let wanted = self.air.packet_size;
        ToLock::Connect(wanted)
            .write(&mut writer)
            .await
            .map_err(|e| fault(&e))?;
        match FromLock::read(&mut reader).await.map_err(|e| fault(&e))? {
            FromLock::Connected(granted)
                if granted <= wanted && usize::from(granted) >= MIN_PACKET =>
            {
                Ok(Up {
                    reader,
                    writer,
                    packet_size: usize::from(granted),
                })
            }
            FromLock::Busy => Err(LinkFault::Busy),
            _ => Err(LinkFault::Protocol),
        }
    }

    async fn receive(&self, mut reader: OwnedReadHalf, packet_size: usize) -> LinkFault {
        loop {
            let bytes = match FromLock::read(&mut reader).await {
                Ok(FromLock::Packet(bytes)) if bytes.len() <= packet_size => bytes,
                Ok(_) => return LinkFault::Protocol,
                Err(error) => return fault(&error),
            };
            let link = self.link;
            self.tell(RadioEvent::Packet { link, bytes }).await;
        }
    }

    async fn transmit(
        &self,
        mut writer: OwnedWriteHalf,
        queue: &mut mpsc::Receiver<Vec<u8>>,
        packet_size: usize,
    ) -> LinkFault {
        while let Some(packet) = queue.recv().await {
            if packet.len() > packet_size {
                // Our own mistake; cutting it would garble the message.
                return LinkFault::Protocol;
            }
            let sent = ToLock::Packet(packet);
            match timeout(self.air.send_timeout, sent.write(&mut writer)).await {
                Ok(Ok(())) => {
                    log::trace!(event = "packet_written", at_ns = crate::journal::unix_ns(); "a packet is on the air");
                }
                Ok(Err(error)) => return fault(&error),
                Err(_) => return LinkFault::Timeout,
            }
        }
        LinkFault::Closed
    }

    async fn tell(&self, event: RadioEvent) {
        // The core is gone: nobody is left to be told, and the actions' end stops this task.
        let _told = self.events.send(event).await;
    }
}

fn fault(error: &FrameError) -> LinkFault {
    match error {
        FrameError::Malformed => LinkFault::Protocol,
        FrameError::Io(_) => LinkFault::Closed,
    }
}
