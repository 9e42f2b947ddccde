//! ACL data: packets of a connection, and the L2CAP frames that they are parts of.

use std::collections::HashMap;

use super::By;
use super::error::CaptureError;

/// One L2CAP frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Connections are numbered as they come.
    pub link: usize,
    /// Who sent it.
    pub by: By,
    /// The channel's number at its receiver; 4 is ATT, 5 signalling, 6 pairing.
    pub channel: u16,
    /// What is in it.
    pub payload: Vec<u8>,
}

/// Length and channel.
const HEADER: usize = 4;

/// Puts frames together, for every connection and direction. Give it what was recorded in its order.
#[derive(Debug, Default)]
pub(super) struct Frames {
    links: HashMap<(u16, u16), Link>,
    /// Links so far.
    count: usize,
}

#[derive(Debug)]
struct Link {
    number: usize,
    /// What is there of the next frame of hub and lock.
    partial: [Vec<u8>; 2],
}

impl Frames {
    /// Takes one ACL packet; answers the number of its link, what it carries, and the frame that it completes.
    ///
    /// # Errors
    /// [`CaptureError`] when it is malformed or does not fit to the one before.
    pub(super) fn take<'p>(
        &mut self,
        record: usize,
        adapter: u16,
        by: By,
        packet: &'p [u8],
    ) -> Result<(usize, &'p [u8], Option<Frame>), CaptureError> {
        let malformed = CaptureError::Malformed(record);
        let (&[low, high, length @ ..], data) = packet.split_first_chunk::<4>().ok_or(malformed)?;
        if usize::from(u16::from_le_bytes(length)) != data.len() {
            return Err(malformed);
        }
        let handle = u16::from_le_bytes([low, high & 0x0f]);
        let link = self.links.entry((adapter, handle)).or_insert_with(|| {
            self.count += 1;
            Link {
                number: self.count,
                partial: Default::default(),
            }
        });
        let partial = &mut link.partial[by as usize];
        // Packet boundary flag: 1 goes on, 0 and 2 begin.
        let goes_on = match high >> 4 & 0b11 {
            1 => true,
            0 | 2 => false,
            _ => return Err(malformed),
        };
        if goes_on == partial.is_empty() {
            return Err(CaptureError::MissingPart(record));
        }
        partial.extend_from_slice(data);
        if partial.is_empty() {
            return Err(malformed);
        }
        let frame = match partial.split_first_chunk::<HEADER>() {
            None => None,
            Some((&[low, high, ..], payload)) => {
                let length = usize::from(u16::from_le_bytes([low, high]));
                if payload.len() > length {
                    return Err(malformed);
                }
                (payload.len() == length).then(|| std::mem::take(partial))
            }
        };
        let frame = frame.map(|bytes| Frame {
            link: link.number,
            by,
            channel: u16::from_le_bytes([bytes[2], bytes[3]]),
            payload: bytes[HEADER..].to_vec(),
        });
        Ok((link.number, data, frame))
    }

    /// Takes an event: a connection that has ended leaves its partial frames behind, and its number to another one.
    pub(super) fn event(&mut self, adapter: u16, event: &[u8]) {
        // Disconnection complete: code, length, status, handle, reason.
        if let [0x05, 4, 0, low, high, _] = *event {
            let handle = u16::from_le_bytes([low, high & 0x0f]);
            self.links.remove(&(adapter, handle));
        }
    }

    /// The adapter is closed or gone, and its connections with it.
    pub(super) fn closed(&mut self, adapter: u16) {
        self.links.retain(|(of, _), _| *of != adapter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(handle: u16, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap().to_le_bytes();
        [&handle.to_le_bytes(), &length[..], data].concat()
    }

    const BEGINS: u16 = 0x2040;
    const GOES_ON: u16 = 0x1040;

    #[test]
    fn frames_come_together_from_every_cut_and_directions_do_not_mix() {
        let frame = [&[5, 0, 0x41, 0], &b"hello"[..]].concat();
        for cut in 1..=frame.len() {
            let mut frames = Frames::default();
            let mut last = None;
            for (by, channel) in [(By::Hub, 0x41), (By::Lock, 0x41)] {
                let (first, second) = frame.split_at(cut);
                let begins = packet(BEGINS, first);
                let (link, data, taken) = frames.take(0, 0, by, &begins).unwrap();
                assert_eq!((link, data), (1, first));
                last = taken.or(last);
                if !second.is_empty() {
                    last = frames.take(1, 0, by, &packet(GOES_ON, second)).unwrap().2;
                }
                let frame = last.take().unwrap();
                assert_eq!((frame.by, frame.channel), (by, channel));
                assert_eq!(frame.payload, b"hello");
            }
        }
        // Between the two parts of one direction, a whole frame of the other.
        let mut frames = Frames::default();
        assert_eq!(
            frames
                .take(0, 0, By::Hub, &packet(BEGINS, &frame[..6]))
                .unwrap()
                .2,
            None
        );
        assert!(
            frames
                .take(1, 0, By::Lock, &packet(BEGINS, &frame))
                .unwrap()
                .2
                .is_some()
        );
        assert!(
            frames
                .take(2, 0, By::Hub, &packet(GOES_ON, &frame[6..]))
                .unwrap()
                .2
                .is_some()
        );
    }

    // Guards: text that is cut in two by a packet's border and never put together, so never found.
    #[test]
    fn missing_parts_and_lying_lengths_are_errors() {
        let mut frames = Frames::default();
        let take = |frames: &mut Frames, packet: &[u8]| {
            frames.take(7, 0, By::Hub, packet).map(|taken| taken.2)
        };
        let missing = Err(CaptureError::MissingPart(7));
        let malformed = Err(CaptureError::Malformed(7));
        assert_eq!(take(&mut frames, &packet(GOES_ON, b"lo")), missing);
        assert_eq!(
            take(&mut frames, &packet(BEGINS, &[5, 0, 0x41, 0, 1])),
            Ok(None)
        );
        assert_eq!(
            take(&mut frames, &packet(BEGINS, &[5, 0, 0x41, 0, 1])),
            missing
        );
        assert_eq!(
            take(&mut frames, &packet(GOES_ON, b"hello")),
            malformed,
            "more than the frame"
        );
        let mut frames = Frames::default();
        assert_eq!(
            take(&mut frames, &packet(0x3040, &[0, 0, 4, 0])),
            malformed,
            "no such flag"
        );
        assert_eq!(take(&mut frames, &packet(BEGINS, &[])), malformed);
        for cut in 0..9 {
            assert_eq!(
                take(
                    &mut Frames::default(),
                    &packet(BEGINS, b"hello")[..cut.min(8)]
                ),
                malformed
            );
        }
    }

    #[test]
    fn the_end_of_a_connection_forgets_its_parts() {
        let mut frames = Frames::default();
        let half = packet(BEGINS, &[5, 0, 0x41, 0, 1]);
        assert_eq!(frames.take(0, 0, By::Hub, &half).unwrap().0, 1);
        frames.event(0, &[0x05, 4, 0, 0x40, 0, 0x13]);
        assert_eq!(frames.take(0, 0, By::Hub, &half).unwrap().0, 2);
        // One that failed to end, one of another connection, one on another adapter.
        frames.event(0, &[0x05, 4, 2, 0x40, 0, 0x13]);
        frames.event(0, &[0x05, 4, 0, 0x41, 0, 0x13]);
        frames.event(1, &[0x05, 4, 0, 0x40, 0, 0x13]);
        frames.closed(1);
        assert!(frames.take(0, 0, By::Hub, &half).is_err());
        frames.closed(0);
        assert_eq!(frames.take(0, 0, By::Hub, &half).unwrap().0, 3);
    }
}
