//! What a radio holds of the task of a link: its queue, and a way to end it at once.

use std::collections::HashMap;

use log::debug;
use tokio::sync::{mpsc, oneshot};

use super::{LinkFault, LinkId};

/// Dropped, the link ends after what is in its queue.
pub(super) struct Handle {
    packets: mpsc::Sender<Vec<u8>>,
    end: Option<oneshot::Sender<LinkFault>>,
}

impl Handle {
    /// The handle, and the task's ends of it. With more than `waiting` packets in the queue the link ends.
    pub(super) fn new(
        waiting: usize,
    ) -> (Self, mpsc::Receiver<Vec<u8>>, oneshot::Receiver<LinkFault>) {
        let (packets, queue) = mpsc::channel(waiting);
        let (end, ended) = oneshot::channel();
        let end = Some(end);
        (Self { packets, end }, queue, ended)
    }
}

/// Queues a packet of `link`; a full queue ends it, and the journal says so under the name `event`.
pub(super) fn send(
    links: &mut HashMap<LinkId, Handle>,
    link: LinkId,
    packet: Vec<u8>,
    event: &'static str,
) {
    let Some(handle) = links.get_mut(&link) else {
        return;
    };
    if let Err(mpsc::error::TrySendError::Full(_)) = handle.packets.try_send(packet) {
        debug!(event, link = link.0; "a lock does not take its packets");
        if let Some(end) = handle.end.take() {
            // Ended already: the same.
            let _told = end.send(LinkFault::Timeout);
        }
    }
}

/// Ready when the link is to end at once; dropped, it never is.
pub(super) async fn told(end: oneshot::Receiver<LinkFault>) -> LinkFault {
    match end.await {
        Ok(reason) => reason,
        Err(_) => std::future::pending().await,
    }
}
