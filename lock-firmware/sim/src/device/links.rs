//! The device's links: from connections of the air to the core's slots, through lossy lanes.

use drawbridge_lock::LinkId;
use drawbridge_protocol::frame::MIN_PACKET;

use super::{ConnectionId, Device, Effect, Link};
use crate::air_frame::MAX_PACKET;
use crate::lane::{Lane, Passage};
use crate::message_ends::MessageEnds;

/// Why a link is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The lock is dead, or what was asked makes no sense: close without a word.
    Closed,
    /// No link is free.
    Busy,
}

impl Device {
    /// Opens a link with packets of at most `wanted` bytes; answers the size granted.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn open_link(
        &mut self,
        connection: ConnectionId,
        wanted: u16,
        now_ms: u64,
    ) -> Result<u16, Refusal> {
        let packet = wanted.min(MAX_PACKET);
        if usize::from(packet) < MIN_PACKET || self.links.contains_key(&connection) {
            return Err(Refusal::Closed);
        }
        let taken = |id: u8| self.links.values().any(|link| link.id == LinkId(id));
        let id = (0..=u8::MAX)
            .find(|id| !taken(*id))
            .map(LinkId)
            .ok_or(Refusal::Busy)?;
        let lock_ms = now_ms - self.booted_at;
        let lock = self.lock.as_mut().ok_or(Refusal::Closed)?;
        if !lock.link_up(id, usize::from(packet), lock_ms, &mut self.entropy) {
            return Err(Refusal::Busy);
        }
        let link = Link {
            id,
            packet: usize::from(packet),
            inbound: Lane::default(),
            outbound: Lane::default(),
            arriving: MessageEnds::default(),
            leaving: MessageEnds::default(),
            opened_at: now_ms,
            closing: false,
        };
        self.links.insert(connection, link);
        Ok(packet)
    }

    /// The other side is gone.
    pub fn close_link(&mut self, connection: ConnectionId, now_ms: u64) {
        if let Some(link) = self.links.remove(&connection)
            && !link.closing
            && let Some(lock) = self.lock.as_mut()
        {
            lock.link_down(link.id, now_ms - self.booted_at);
        }
    }

    /// A packet arrived from a link's other side.
    pub fn packet(&mut self, connection: ConnectionId, packet: &[u8], now_ms: u64) {
        let Some(link) = self.links.get_mut(&connection) else {
            return;
        };
        if packet.len() > link.packet {
            // No radio delivers more than was agreed.
            self.lose(connection, now_ms);
            return;
        }
        let faults = &mut self.faults;
        let passage = link
            .inbound
            .push(packet, faults.delay_ms, &mut faults.to_lock, now_ms);
        self.after(connection, passage, now_ms);
    }

    /// Takes all links down at once, with whatever is on its way.
    pub(super) fn lose_links(&mut self, now_ms: u64) {
        while let Some((connection, _)) = self.links.first_key_value() {
            self.lose(*connection, now_ms);
        }
    }

    pub(super) fn send(&mut self, id: LinkId, packet: &[u8], now_ms: u64) {
        let Some((connection, link)) = self.links.iter_mut().find(|(_, link)| link.id == id) else {
            return;
        };
        let connection = *connection;
        let faults = &mut self.faults;
        let passage = link
            .outbound
            .push(packet, faults.delay_ms, &mut faults.to_hub, now_ms);
        self.after(connection, passage, now_ms);
    }

    /// The core ended a link: what it said before still arrives.
    pub(super) fn end(&mut self, id: LinkId) {
        if let Some(link) = self.links.values_mut().find(|link| link.id == id) {
            link.closing = true;
        }
    }

    pub(super) fn deliver_to_lock(&mut self, now_ms: u64) {
        let Some(lock) = self.lock.as_mut() else {
            return;
        };
        for link in self.links.values_mut().filter(|link| !link.closing) {
            // One at a time: the core's outputs are taken after every input.
            if let Some(packet) = link.inbound.pop_due(now_ms) {
                lock.handle_packet(link.id, &packet, now_ms - self.booted_at, &mut self.entropy);
                if link.arriving.is_at_end(&packet) && self.faults.count_message() {
                    // Before the core's answer is taken, which finds no link.
                    self.lose_links(now_ms);
                }
                return;
            }
        }
    }

    pub(super) fn has_arrived(&self, now_ms: u64) -> bool {
        self.lock.is_some()
            && self.links.values().any(|link| {
                !link.closing && link.inbound.next_due().is_some_and(|due| due <= now_ms)
            })
    }

    pub(super) fn deliver_to_hub(&mut self, now_ms: u64) {
        let mut ended = Vec::new();
        let mut hangs_up = false;
        for (connection, link) in &mut self.links {
            while !hangs_up && let Some(bytes) = link.outbound.pop_due(now_ms) {
                hangs_up = link.leaving.is_at_end(&bytes) && self.faults.count_message();
                self.effects.push_back(Effect::Packet {
                    connection: *connection,
                    bytes,
                });
            }
            if link.closing && link.outbound.next_due().is_none() {
                ended.push(*connection);
            }
        }
        for connection in ended {
            self.links.remove(&connection);
            self.effects.push_back(Effect::Close { connection });
        }
        if hangs_up {
            self.lose_links(now_ms);
        }
    }

    /// What a packet's passage does to its link, and to all of them when a loss is due.
    fn after(&mut self, connection: ConnectionId, passage: Passage, now_ms: u64) {
        let all = self.faults.count_packet();
        if all || passage == Passage::LinkEnds {
            // What was on its way in time is not lost with the link.
            self.deliver_to_hub(now_ms);
        }
        if all {
            self.lose_links(now_ms);
        } else if passage == Passage::LinkEnds {
            self.lose(connection, now_ms);
        }
    }

    fn lose(&mut self, connection: ConnectionId, now_ms: u64) {
        self.close_link(connection, now_ms);
        self.effects.push_back(Effect::Close { connection });
    }
}
