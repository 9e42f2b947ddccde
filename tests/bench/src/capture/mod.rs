//! What went over the air, out of a capture of the hub's controllers.
//!
//! The capture is taken between kernel and controller (`btmon -w`): it holds more than the air, and less encrypted. What
//! counts is what the other side of the controller hears: data of connections both ways, and adverts. **Data is there
//! as it was before the controller encrypted it for a bonded link, so this hears as much as somebody who broke that
//! encryption.** What the kernel tells its own controller and what bluetoothd and kernel tell each other (commands with link
//! keys, names of devices that the hub gave them) never leaves the hub and is left out.

mod advert;
mod btsnoop;
mod error;
mod frame;
mod message;

pub use advert::Advert;
pub use error::CaptureError;
pub use frame::Frame;
pub use message::{Bearer, Message};

use frame::Frames;

/// Kinds of records: an adapter is gone or closed, an event, data out and in.
const GONE: u16 = 1;
const EVENT: u16 = 3;
const DATA_OUT: u16 = 4;
const DATA_IN: u16 = 5;
const CLOSED: u16 = 9;

/// Who sent something; the controllers are the hub's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// The hub.
    Hub,
    /// A lock.
    Lock,
}

impl By {
    /// Who hears it.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Hub => Self::Lock,
            Self::Lock => Self::Hub,
        }
    }
}

/// The data of one packet on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Connections are numbered as they come.
    pub link: usize,
    /// Who sent it.
    pub by: By,
    /// What was in it.
    pub data: Vec<u8>,
}

/// All that a capture holds of the air, each in its order.
#[derive(Debug, Default)]
pub struct Air {
    /// Packets of connections as they came.
    pub packets: Vec<Packet>,
    /// What they are parts of.
    pub frames: Vec<Frame>,
    /// What the frames on links of locks are parts of.
    pub messages: Vec<Message>,
    /// Adverts and scan responses.
    pub adverts: Vec<Advert>,
}

impl Air {
    /// Reads a capture.
    ///
    /// # Errors
    /// [`CaptureError`] for one of which anything is missing.
    pub fn read(capture: &[u8]) -> Result<Self, CaptureError> {
        let mut air = Self::default();
        let mut frames = Frames::default();
        for record in btsnoop::records(capture)? {
            let by = match record.opcode {
                DATA_OUT => By::Hub,
                DATA_IN => By::Lock,
                EVENT => {
                    frames.event(record.adapter, record.bytes);
                    let adverts = advert::reports(record.time_us, record.bytes);
                    air.adverts
                        .extend(adverts.ok_or(CaptureError::Malformed(record.number))?);
                    continue;
                }
                GONE | CLOSED => {
                    frames.closed(record.adapter);
                    continue;
                }
                _ => continue,
            };
            let (link, data, frame) =
                frames.take(record.number, record.adapter, by, record.bytes)?;
            let data = data.to_vec();
            air.packets.push(Packet { link, by, data });
            air.frames.extend(frame);
        }
        air.messages = message::messages(&air.frames)?;
        Ok(air)
    }

    /// Everything that somebody who listens has: packets, frames, messages without their framing, adverts.
    pub fn heard(&self) -> impl Iterator<Item = &[u8]> {
        let packets = self.packets.iter().map(|packet| packet.data.as_slice());
        let frames = self.frames.iter().map(|frame| frame.payload.as_slice());
        let messages = self.messages.iter().map(|message| message.bytes.as_slice());
        let adverts = self.adverts.iter();
        let adverts =
            adverts.flat_map(|advert| [advert.address.as_slice(), advert.data.as_slice()]);
        packets.chain(frames).chain(messages).chain(adverts)
    }
}

#[cfg(test)]
mod tests {
    use super::btsnoop::written;
    use super::*;

    // Guards: the hub's own affairs taken for the air, or the air left out.
    #[test]
    fn only_data_and_adverts_are_the_air() {
        let advert = [0x3e, 13, 2, 1, 4, 1, 1, 2, 3, 4, 5, 0x46, 1, 0xaa, 0xc8];
        let out = [0x40, 0, 5, 0, 1, 0, 6, 0, 0xbb];
        let back = [0x40, 0x20, 5, 0, 1, 0, 6, 0, 0xcc];
        let air = Air::read(&written(&[
            (0, 2, b"command"),
            (0, 3, &advert),
            (0, 4, &out),
            (0, 5, &back),
            (0, 13, b"bluetoothd says"),
            (0xffff, 17, b"the kernel tells"),
        ]))
        .unwrap();
        let heard: Vec<&[u8]> = air.heard().collect();
        let address: &[u8] = &[1, 2, 3, 4, 5, 0x46];
        assert_eq!(
            heard,
            [&out[4..], &back[4..], &[0xbb], &[0xcc], address, &[0xaa]]
        );
        let sides: Vec<By> = air.frames.iter().map(|frame| frame.by).collect();
        assert_eq!(sides, [By::Hub, By::Lock]);
    }

    // Guards: an advert or a packet that does not parse and is passed over.
    #[test]
    fn whatever_of_the_air_does_not_parse_is_an_error() {
        for (opcode, bytes) in [
            (3, &[0x3e, 5, 2, 1, 4, 1, 1][..]),
            (4, &[0x40, 0, 5, 0, 1][..]),
            (5, &[][..]),
        ] {
            let read = Air::read(&written(&[(0, 3, &[0x0e, 0]), (0, opcode, bytes)]));
            assert_eq!(read.err(), Some(CaptureError::Malformed(1)), "{opcode}");
        }
    }

    #[test]
    fn a_closed_adapter_ends_its_connections() {
        let half = [0x40, 0, 5, 0, 9, 0, 6, 0, 0xbb];
        for ended in [GONE, CLOSED] {
            let read = Air::read(&written(&[(0, 4, &half), (0, ended, &[]), (0, 4, &half)]));
            let links: Vec<usize> = read
                .unwrap()
                .packets
                .iter()
                .map(|packet| packet.link)
                .collect();
            assert_eq!(links, [1, 2]);
        }
    }
}
