//! What a controller tells of a peer, and a lock that says one thing.

use std::future::pending;

use drawbridge_lock_ble::{Bond, Inbound, Outbound, Port};
use drawbridge_protocol::beacon::Beacon;

/// Most bytes of one ACL packet: what the host offers a controller.
const ACL: usize = 251;

/// The event of a link to `peer`, a random address, that begins.
pub(super) fn connected(handle: u16, peer: [u8; 6]) -> Vec<u8> {
    let head = [4, 0x3e, 19, 1, 0];
    let timing = [0x18, 0, 0, 0, 0x48, 0, 0];
    [&head, &handle.to_le_bytes()[..], &[1, 1], &peer, &timing].concat()
}

/// The event of a link that the peer has ended.
pub(super) fn disconnected(handle: u16) -> Vec<u8> {
    [&[4, 0x05, 4, 0], &handle.to_le_bytes()[..], &[0x13]].concat()
}

/// An L2CAP frame as ACL packets: whole, or in two pieces of which the first has `at` bytes.
pub(super) fn frame(handle: u16, channel: u16, data: &[u8], at: u8) -> Vec<Vec<u8>> {
    let length = u16::try_from(data.len()).unwrap_or_default();
    let frame = [&length.to_le_bytes()[..], &channel.to_le_bytes(), data].concat();
    let first = if at == 0 { ACL } else { usize::from(at) };
    let (first, rest) = frame.split_at(first.min(frame.len()));
    let packet = |data: &[u8], flags: u16| {
        let head = (handle | flags << 12).to_le_bytes();
        let length = u16::try_from(data.len()).unwrap_or_default().to_le_bytes();
        [&[2], &head[..], &length, data].concat()
    };
    let mut packets = vec![packet(first, 2)];
    packets.extend(rest.chunks(ACL).map(|piece| packet(piece, 1)));
    packets
}

/// A lock that takes every link, says hello once and hears nothing.
pub(super) struct Deaf;

pub(super) struct Taken;

pub(super) struct Hello(bool);

impl Port for Deaf {
    type Inbound = Taken;
    type Outbound = Hello;

    async fn beacon(&self) -> Beacon {
        Beacon([7; 12])
    }

    async fn asleep(&self) {
        pending().await
    }

    async fn open(&self, _packet: u16) -> Option<(Taken, Hello)> {
        Some((Taken, Hello(false)))
    }

    fn fill(&self, into: &mut [u8]) {
        into.fill(0x5a);
    }

    fn keep_bonds(&self, _bonds: &[Bond]) {}
}

impl Inbound for Taken {
    async fn push(&mut self, _packet: &[u8]) -> bool {
        true
    }
}

impl Outbound for Hello {
    async fn pop(&mut self, into: &mut [u8]) -> Option<usize> {
        if std::mem::replace(&mut self.0, true) {
            return pending().await;
        }
        let hello = into.get_mut(..20)?;
        hello.fill(1);
        Some(20)
    }
}
