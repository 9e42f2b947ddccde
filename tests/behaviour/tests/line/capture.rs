//! A recorder beside the door: every packet on the air, both ways.

/// Who sent a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Hub,
    Lock,
}

/// One packet on the air.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// Links are numbered as they come.
    pub(crate) link: u64,
    pub(crate) by: By,
    pub(crate) packet: Vec<u8>,
}

/// Whether a packet begins a message, and how long that message is.
pub(crate) fn message_len(packet: &[u8]) -> Option<usize> {
    match packet {
        [first, low, high, ..] if first & 0x80 != 0 => {
            Some(usize::from(u16::from_le_bytes([*low, *high])))
        }
        _ => None,
    }
}

/// The packets numbered anew from zero, as whoever replays them on a link of his own would.
pub(crate) fn renumbered(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let renumber = |(number, packet): (usize, &Vec<u8>)| {
        let mut packet = packet.clone();
        packet[0] = (packet[0] & 0x80) | (number as u8 & 0x3f);
        packet
    };
    packets.iter().enumerate().map(renumber).collect()
}

/// The packets of each message.
pub(crate) fn messages(packets: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    let mut messages: Vec<Vec<Vec<u8>>> = Vec::new();
    for packet in packets {
        match messages.last_mut() {
            Some(last) if message_len(packet).is_none() => last.push(packet.clone()),
            _ => messages.push(vec![packet.clone()]),
        }
    }
    messages
}

/// A message without its framing.
pub(crate) fn joined(message: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for packet in message {
        let header = if message_len(packet).is_some() { 3 } else { 1 };
        bytes.extend_from_slice(&packet[header..]);
    }
    bytes
}
