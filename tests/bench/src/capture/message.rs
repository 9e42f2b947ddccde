//! What went over the links of locks: fragments, and the messages that they are parts of.

use std::collections::HashMap;

use drawbridge_protocol::frame::Reassembler;
use drawbridge_protocol::gatt::PSM;

use super::By;
use super::error::CaptureError;
use super::frame::Frame;

/// ATT and the channel on which others are opened.
const ATT: u16 = 4;
const SIGNALLING: u16 = 5;

/// Which way messages went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer {
    /// An L2CAP channel on the locks' PSM.
    Channel,
    /// Written to and notified by characteristics.
    Gatt,
}

/// One message between a hub and a lock, without its framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The link of its frames.
    pub link: usize,
    /// Who sent it.
    pub by: By,
    /// Over what.
    pub bearer: Bearer,
    /// Type byte and body.
    pub bytes: Vec<u8>,
}

/// All messages in these frames, in the order of their last fragments.
///
/// # Errors
/// [`CaptureError::Message`] when fragments do not fit together.
pub(super) fn messages(frames: &[Frame]) -> Result<Vec<Message>, CaptureError> {
    let mut ways = Ways::default();
    let mut messages = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        let Some((bearer, way, fragment)) = ways.fragment(frame) else {
            continue;
        };
        let pushed = way.push(&fragment);
        let whole = pushed.map_err(|source| CaptureError::Message {
            frame: number,
            source,
        })?;
        messages.extend(whole.map(|bytes| Message {
            link: frame.link,
            by: frame.by,
            bearer,
            bytes: bytes.to_vec(),
        }));
    }
    Ok(messages)
}

/// A channel of a link, named as its receiver does: the link, who sends, the number.
type Name = (usize, By, u16);

#[derive(Debug, Default)]
struct Ways {
    /// Channels asked for: by link, who asked, and the request's number; the number at the asker.
    asked: HashMap<(usize, By, u8), u16>,
    channels: HashMap<Name, Channel>,
    gatt: HashMap<(usize, By), Reassembler>,
}

#[derive(Debug, Default)]
struct Channel {
    /// What is there of the next service data unit, its length before it.
    unit: Vec<u8>,
    way: Reassembler,
}

impl Ways {
    /// The fragment that a frame completes, and where it goes on.
    fn fragment(&mut self, frame: &Frame) -> Option<(Bearer, &mut Reassembler, Vec<u8>)> {
        match (frame.channel, frame.payload.as_slice()) {
            (SIGNALLING, payload) => {
                self.signal(frame, payload);
                None
            }
            // Write request: what the hub writes so is the switch of notifications, and with it a link begins or ends.
            (ATT, [0x12, ..]) => {
                self.gatt.retain(|(link, _), _| *link != frame.link);
                None
            }
            // Write command to the lock, notification to the hub: a handle, then the value.
            (ATT, [0x52 | 0x1b, _, _, value @ ..]) => {
                let way = self.gatt.entry((frame.link, frame.by)).or_default();
                Some((Bearer::Gatt, way, value.to_vec()))
            }
            (number, payload) => {
                let name = (frame.link, frame.by, number);
                let channel = self.channels.get_mut(&name)?;
                channel.unit.extend_from_slice(payload);
                let (&length, unit) = channel.unit.split_first_chunk()?;
                if unit.len() < usize::from(u16::from_le_bytes(length)) {
                    return None;
                }
                let unit = unit.to_vec();
                channel.unit.clear();
                Some((Bearer::Channel, &mut channel.way, unit))
            }
        }
    }

    /// Credit based connection request (0x14) and response (0x15): code, number, length of two bytes, fields.
    fn signal(&mut self, frame: &Frame, payload: &[u8]) {
        let word = |at: usize| {
            let bytes = payload.get(at..at + 2)?;
            Some(u16::from_le_bytes([bytes[0], bytes[1]]))
        };
        let (Some(&code), Some(&number)) = (payload.first(), payload.get(1)) else {
            return;
        };
        match (code, word(4), word(6), word(12)) {
            (0x14, Some(PSM), Some(own), Some(_)) => {
                self.asked.insert((frame.link, frame.by, number), own);
            }
            (0x15, Some(other), Some(_), Some(0)) => {
                let asker = frame.by.other();
                if let Some(own) = self.asked.remove(&(frame.link, asker, number)) {
                    for (by, at) in [(asker, other), (frame.by, own)] {
                        self.channels
                            .insert((frame.link, by, at), Channel::default());
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use drawbridge_protocol::frame::{Fragmenter, FrameError};

    use super::*;

    fn frame(by: By, channel: u16, payload: &[u8]) -> Frame {
        Frame {
            link: 1,
            by,
            channel,
            payload: payload.to_vec(),
        }
    }

    fn fragments(message: &[u8]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let mut cutter = Fragmenter::new();
        cutter
            .cut(message, &mut [0; 20], 20, |fragment| {
                all.push(fragment.to_vec())
            })
            .unwrap();
        all
    }

    fn opening(psm: u8, result: u8) -> [Frame; 2] {
        [
            frame(
                By::Hub,
                SIGNALLING,
                &[0x14, 3, 10, 0, psm, 0, 0x40, 0, 244, 0, 244, 0, 9, 0],
            ),
            frame(
                By::Lock,
                SIGNALLING,
                &[0x15, 3, 10, 0, 0x51, 0, 244, 0, 244, 0, 9, 0, result, 0],
            ),
        ]
    }

    /// Over a channel, each fragment a unit that is cut once more.
    fn over_channel(message: &[u8]) -> Vec<Frame> {
        let mut frames = opening(0x88, 0).to_vec();
        for (by, channel) in [(By::Hub, 0x51), (By::Lock, 0x40)] {
            for fragment in fragments(message) {
                let unit = [&[fragment.len() as u8, 0], fragment.as_slice()].concat();
                frames.extend(unit.chunks(7).map(|part| frame(by, channel, part)));
            }
        }
        frames
    }

    fn over_gatt(message: &[u8]) -> Vec<Frame> {
        let mut frames = vec![frame(By::Hub, ATT, &[0x12, 14, 0, 1, 0])];
        for (by, code) in [(By::Hub, 0x52), (By::Lock, 0x1b)] {
            let values = fragments(message).into_iter();
            frames.extend(
                values.map(|value| frame(by, ATT, &[&[code, 12, 0], value.as_slice()].concat())),
            );
        }
        frames
    }

    #[test]
    fn messages_come_together_over_both_bearers() {
        let message: Vec<u8> = (0..100).collect();
        for (frames, bearer) in [
            (over_channel(&message), Bearer::Channel),
            (over_gatt(&message), Bearer::Gatt),
        ] {
            // Twice: the second opening begins anew.
            let read = messages(&[frames.clone(), frames].concat()).unwrap();
            let expected = [By::Hub, By::Lock].map(|by| Message {
                link: 1,
                by,
                bearer,
                bytes: message.clone(),
            });
            assert_eq!(read, [expected.clone(), expected].concat());
        }
    }

    #[test]
    fn other_channels_and_refused_ones_carry_no_messages() {
        for (psm, result) in [(0x89, 0), (0x88, 4)] {
            let mut frames = over_channel(b"message");
            frames.splice(..2, opening(psm, result));
            assert_eq!(messages(&frames), Ok(Vec::new()));
        }
        let odd: [&[u8]; 4] = [
            &[],
            &[0x14],
            &[0x14, 1, 10, 0, 0x88],
            &[0x15, 9, 10, 0, 1, 0, 2, 0, 3, 0, 4, 0, 0, 0],
        ];
        let odd = odd.map(|payload| frame(By::Lock, SIGNALLING, payload));
        assert_eq!(messages(&odd), Ok(Vec::new()));
    }

    // Guards: a message of which a part is missing, taken for a shorter one in which nothing is found.
    #[test]
    fn missing_fragments_are_errors() {
        let mut frames = over_gatt(&[7; 100]);
        frames.remove(2);
        let error = CaptureError::Message {
            frame: 2,
            source: FrameError::OutOfOrder,
        };
        assert_eq!(messages(&frames), Err(error));
    }
}
