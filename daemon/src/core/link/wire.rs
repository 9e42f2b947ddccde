//! One link: packets in, messages out, and back.

use drawbridge_protocol::frame::{Fragmenter, FrameError, Reassembler};
use drawbridge_protocol::link_message::{LinkMessage, MAX_LINK_MESSAGE};

use super::LinkStep;
use crate::core::event::LinkId;

/// Largest packet that is made use of: what fits the data length of Bluetooth LE many times over.
const MAX_PACKET: usize = 512;

/// Framing of one link; dies with it.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) link: LinkId,
    packet: usize,
    out: Fragmenter,
    incoming: Box<Reassembler>,
}

impl Wire {
    pub(super) fn new(link: LinkId, packet_size: usize) -> Self {
        Self {
            link,
            packet: packet_size.min(MAX_PACKET),
            out: Fragmenter::new(),
            incoming: Box::default(),
        }
    }

    /// Takes a packet; returns the message it completes.
    pub(super) fn push(&mut self, packet: &[u8]) -> Result<Option<Vec<u8>>, FrameError> {
        let message = self.incoming.push(packet)?;
        Ok(message.map(<[u8]>::to_vec))
    }

    /// Cuts a message into packets.
    pub(super) fn send(
        &mut self,
        message: &LinkMessage<'_>,
        steps: &mut Vec<LinkStep>,
    ) -> Result<(), FrameError> {
        let (mut whole, mut scratch) = ([0; MAX_LINK_MESSAGE], [0; MAX_PACKET]);
        let whole = message
            .encode(&mut whole)
            .map_err(|_| FrameError::Unsendable)?;
        let link = self.link;
        self.out.cut(whole, &mut scratch, self.packet, |packet| {
            let packet = packet.to_vec();
            steps.push(LinkStep::Send { link, packet });
        })
    }
}
