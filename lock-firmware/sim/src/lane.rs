//! One direction of a link: packets that wait, get lost, or take the link with them.

use std::collections::VecDeque;

/// The most packets that wait in one direction; a peer that sends more loses its link.
pub const MAX_WAITING: usize = 256;

/// First byte of a fragment that begins a message (`drawbridge_protocol::frame`).
const FIRST_FRAGMENT: u8 = 0x80;
/// Type byte of a session record (`drawbridge_protocol::link_message`).
const RECORD: u8 = 5;

/// Which of the coming messages get lost.
///
/// Only session records count, and only those that are announced with at least `at_least` bytes:
/// the air cannot read them, but a signed answer is longer than anything else. All fragments of a
/// lost message are lost, so the next one on that link is out of order and ends it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// How many more messages.
    pub count: u32,
    /// Shorter ones pass.
    pub at_least: u16,
    /// Whether the link goes down with the message, as it does on the real air.
    pub close: bool,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// On its way.
    Sent,
    /// Lost; nobody noticed.
    Lost,
    /// Lost or too many: the link must go down.
    LinkEnds,
}

/// The packets of one direction. Time is an argument.
///
/// Contract: [`push`](Self::push) what was sent, [`pop_due`](Self::pop_due) what has arrived.
/// **Order is kept, whatever the delay is changed to.**
#[derive(Debug, Default)]
pub struct Lane {
    waiting: VecDeque<(u64, Vec<u8>)>,
    losing_message: bool,
}

impl Lane {
    /// Takes a packet that arrives after `delay_ms`, unless `drops` says that it is lost.
    pub fn push(
        &mut self,
        packet: &[u8],
        delay_ms: u32,
        drops: &mut Drops,
        now_ms: u64,
    ) -> Passage {
        if packet
            .first()
            .is_some_and(|head| head & FIRST_FRAGMENT != 0)
        {
            self.losing_message = drops.count > 0 && is_record(packet, drops.at_least);
            if self.losing_message {
                drops.count -= 1;
                if drops.close {
                    return Passage::LinkEnds;
                }
            }
        }
        if self.losing_message {
            return Passage::Lost;
        }
        if self.waiting.len() >= MAX_WAITING {
            return Passage::LinkEnds;
        }
        let last_due = self.waiting.back().map_or(0, |(due, _)| *due);
        let due = (now_ms + u64::from(delay_ms)).max(last_due);
        self.waiting.push_back((due, packet.to_vec()));
        Passage::Sent
    }

    /// The next packet that has arrived by now.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        self.waiting
            .pop_front_if(|(due, _)| *due <= now_ms)
            .map(|(_, packet)| packet)
    }

    /// When the next packet arrives.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.waiting.front().map(|(due, _)| *due)
    }
}

fn is_record(packet: &[u8], at_least: u16) -> bool {
    match packet {
        [_, low, high, RECORD, ..] => u16::from_le_bytes([*low, *high]) >= at_least,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD_HEAD: [u8; 5] = [0x80, 40, 0, RECORD, 1];

    #[test]
    fn a_delay_keeps_the_order_even_when_it_shrinks() {
        let mut lane = Lane::default();
        let mut none = Drops::default();
        assert_eq!(lane.push(b"\x81a", 100, &mut none, 0), Passage::Sent);
        assert_eq!(lane.push(b"\x82b", 0, &mut none, 1), Passage::Sent);
        assert_eq!((lane.pop_due(99), lane.next_due()), (None, Some(100)));
        assert_eq!(lane.pop_due(100).unwrap(), b"\x81a");
        assert_eq!(lane.pop_due(100).unwrap(), b"\x82b");
    }

    #[test]
    fn a_lost_message_loses_all_its_fragments_and_nothing_else() {
        let mut lane = Lane::default();
        let mut drops = Drops {
            count: 1,
            ..Drops::default()
        };
        let hello = [0x80, 40, 0, 1, 9];
        assert_eq!(lane.push(&hello, 0, &mut drops, 0), Passage::Sent);
        assert_eq!(lane.push(&RECORD_HEAD, 0, &mut drops, 0), Passage::Lost);
        assert_eq!(lane.push(&[1, 7], 0, &mut drops, 0), Passage::Lost);
        assert_eq!(lane.push(&RECORD_HEAD, 0, &mut drops, 0), Passage::Sent);
        assert_eq!(drops.count, 0);
    }

    #[test]
    fn only_messages_of_the_wanted_size_are_lost_and_the_link_can_go_with_them() {
        let mut lane = Lane::default();
        let mut drops = Drops {
            count: 1,
            at_least: 41,
            close: true,
        };
        assert_eq!(lane.push(&RECORD_HEAD, 0, &mut drops, 0), Passage::Sent);
        drops.at_least = 40;
        assert_eq!(lane.push(&RECORD_HEAD, 0, &mut drops, 0), Passage::LinkEnds);
    }

    /// Guards (I7): a peer that floods a slow link until memory is gone.
    #[test]
    fn i7_waiting_packets_are_bounded() {
        let mut lane = Lane::default();
        let mut none = Drops::default();
        let ends =
            (0..10_000).position(|_| lane.push(b"\x80x", 1_000, &mut none, 0) == Passage::LinkEnds);
        assert_eq!(ends, Some(MAX_WAITING));
    }
}
