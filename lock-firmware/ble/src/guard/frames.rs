//! L2CAP frames of all links: their form, whose channel they are for, and the credits they cost.

use bt_hci::data::AclPacketBoundary;
use drawbridge_protocol::gatt::MAX_PACKET;
use heapless::Vec;

use super::attributes;
use super::pairing;
use super::signals::{self, FIRST_CHANNEL, Sent, Signal};

/// Links followed at once: those that the host takes, and those that it is about to refuse.
const MAX_LINKS: usize = 4;
/// Channels followed on a link.
const MAX_CHANNELS: usize = 4;
/// Largest frame on a channel: the MPS that the lock offers.
pub(crate) const MPS: u16 = 247;

const ATT: u16 = 4;
const SIGNALS: u16 = 5;
const SECURITY: u16 = 6;

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Drop,
    /// Dropped, and the link ends.
    End,
}

#[derive(Debug)]
struct Channel {
    own: u16,
    credits: u16,
    /// Bytes that are missing of the service data unit that has begun.
    missing: usize,
    closing: bool,
}

#[derive(Debug)]
struct Link {
    handle: u16,
    ending: bool,
    admitted: bool,
    /// The largest unit of the channel asked for last, bytes.
    asked: u16,
    /// Bytes that are missing of the frame that has begun, and whether what comes is dropped.
    missing: usize,
    dropping: bool,
    channels: Vec<Channel, MAX_CHANNELS>,
}

/// All links.
#[derive(Debug)]
pub(crate) struct Frames {
    links: Vec<Link, MAX_LINKS>,
}

impl Frames {
    pub(crate) const fn new() -> Self {
        Self { links: Vec::new() }
    }

    /// A link begins; `false` if its handle is a link's already, which then ends.
    pub(crate) fn connected(&mut self, handle: u16) -> bool {
        if let Some(link) = self.link(handle) {
            link.ending = true;
            return false;
        }
        // Without a place nothing of the link is heard, and its deadline ends it.
        let _full = self.links.push(Link {
            handle,
            ending: false,
            admitted: false,
            asked: 0,
            missing: 0,
            dropping: false,
            channels: Vec::new(),
        });
        true
    }

    pub(crate) fn disconnected(&mut self, handle: u16) {
        self.links.retain(|link| link.handle != handle);
    }

    /// Somebody serves the link.
    pub(crate) fn admit(&mut self, handle: u16) {
        if let Some(link) = self.link(handle) {
            link.admitted = true;
        }
    }

    /// Whether somebody serves the link, or it is none.
    pub(crate) fn is_admitted(&self, handle: u16) -> bool {
        let mut links = self.links.iter();
        links.all(|link| link.handle != handle || link.admitted)
    }

    /// The largest unit that the peer takes on the channel that it asked for last.
    pub(crate) fn asked(&self, handle: u16) -> u16 {
        let mut links = self.links.iter();
        links
            .find(|link| link.handle == handle)
            .map_or(0, |link| link.asked)
    }

    fn link(&mut self, handle: u16) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.handle == handle)
    }

    /// Judges the data of an ACL packet from a peer, and may make it harmless.
    pub(crate) fn inbound(
        &mut self,
        handle: u16,
        boundary: AclPacketBoundary,
        data: &mut [u8],
    ) -> Verdict {
        let Some(link) = self.link(handle).filter(|link| !link.ending) else {
            return Verdict::Drop;
        };
        let verdict = match boundary {
            AclPacketBoundary::FirstFlushable => link.begins(data),
            AclPacketBoundary::Continuing => link.goes_on(data.len()),
            // Not from a controller to its host on LE.
            _ => Verdict::End,
        };
        link.ending = verdict == Verdict::End;
        verdict
    }

    /// Takes note of what the host sends: `data` begins a frame.
    pub(crate) fn outbound(&mut self, handle: u16, data: &[u8]) {
        let Some(link) = self.link(handle) else {
            return;
        };
        let Some((_, SIGNALS, frame)) = header(data) else {
            return;
        };
        match signals::from_host(frame) {
            Sent::Opened { own, credits } => {
                link.channels.retain(|channel| channel.own != own);
                // Without a place nothing of the channel is heard.
                let _full = link.channels.push(Channel {
                    own,
                    credits,
                    missing: 0,
                    closing: false,
                });
            }
            Sent::Credits { own, credits } => {
                if let Some(channel) = link.channel(own) {
                    channel.credits = channel.credits.saturating_add(credits);
                }
            }
            Sent::Ends { own } => {
                if let Some(channel) = link.channel(own) {
                    channel.closing = true;
                }
            }
            Sent::Other => {}
        }
    }
}

/// Length, channel and the part of the frame that is here.
fn header(data: &[u8]) -> Option<(usize, u16, &[u8])> {
    let ([len_low, len_high, low, high], frame) = data.split_first_chunk::<4>()?;
    let len = usize::from(u16::from_le_bytes([*len_low, *len_high]));
    Some((len, u16::from_le_bytes([*low, *high]), frame))
}

impl Link {
    fn channel(&mut self, own: u16) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|channel| channel.own == own)
    }

    fn goes_on(&mut self, len: usize) -> Verdict {
        match self.missing.checked_sub(len) {
            Some(missing) if len > 0 => {
                self.missing = missing;
                if self.dropping {
                    Verdict::Drop
                } else {
                    Verdict::Pass
                }
            }
            _ => Verdict::End,
        }
    }

    fn begins(&mut self, data: &mut [u8]) -> Verdict {
        let Some((len, channel, here)) = header(data) else {
            return Verdict::End;
        };
        if self.missing > 0 || len == 0 || here.len() > len {
            return Verdict::End;
        }
        let missing = len - here.len();
        let verdict = match channel {
            ATT => attributes::judge(len, here),
            SECURITY if pairing::is_well_formed(len, here) => {
                if let Some((_, message)) = data.split_at_mut_checked(4) {
                    pairing::refuse_weak(message);
                }
                Verdict::Pass
            }
            SIGNALS if missing == 0 => self.signal(here),
            SECURITY | SIGNALS => Verdict::End,
            own if own >= FIRST_CHANNEL => self.on_channel(own, len, here),
            // Some phones ask for fixed channels that nobody has here.
            _ => Verdict::Drop,
        };
        self.missing = missing;
        self.dropping = verdict == Verdict::Drop;
        verdict
    }

    fn signal(&mut self, frame: &[u8]) -> Verdict {
        match signals::from_peer(frame) {
            Ok(Signal::Pass) => Verdict::Pass,
            Ok(Signal::Asks { mtu }) => {
                self.asked = mtu;
                Verdict::Pass
            }
            Ok(Signal::Ends { own }) => self.remove(|channel| channel.own == own),
            Ok(Signal::Ended { own }) => {
                self.remove(|channel| channel.own == own && channel.closing)
            }
            Err(verdict) => verdict,
        }
    }

    /// A channel ends: only one of this link's own. The other's is not this peer's to close.
    fn remove(&mut self, is: impl Fn(&Channel) -> bool) -> Verdict {
        let before = self.channels.len();
        self.channels.retain(|channel| !is(channel));
        if self.channels.len() < before {
            Verdict::Pass
        } else {
            Verdict::Drop
        }
    }

    fn on_channel(&mut self, own: u16, len: usize, here: &[u8]) -> Verdict {
        let Some(channel) = self.channel(own).filter(|channel| !channel.closing) else {
            return Verdict::Drop;
        };
        let Some(credits) = channel.credits.checked_sub(1) else {
            return Verdict::End;
        };
        if len > usize::from(MPS) {
            return Verdict::End;
        }
        let missing = match (channel.missing, here) {
            (0, [low, high, ..]) => {
                let unit = usize::from(u16::from_le_bytes([*low, *high]));
                let is_fit = (1..=usize::from(MAX_PACKET)).contains(&unit);
                is_fit
                    .then_some(unit)
                    .and_then(|unit| unit.checked_sub(len - 2))
            }
            (0, _) => None,
            (missing, _) => missing.checked_sub(len),
        };
        let Some(missing) = missing else {
            return Verdict::End;
        };
        (channel.credits, channel.missing) = (credits, missing);
        Verdict::Pass
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const A: u16 = 0x40;
    const B: u16 = 0x41;
    const OWN: u16 = 0x40;
    const FIRST: AclPacketBoundary = AclPacketBoundary::FirstFlushable;
    const NEXT: AclPacketBoundary = AclPacketBoundary::Continuing;

    fn frame(channel: u16, body: &[u8]) -> Vec<u8> {
        let mut frame = (body.len() as u16).to_le_bytes().to_vec();
        frame.extend(channel.to_le_bytes());
        frame.extend(body);
        frame
    }

    fn unit(len: u16, body: &[u8]) -> Vec<u8> {
        frame(OWN, &[&len.to_le_bytes(), body].concat())
    }

    fn signal(code: u8, words: &[u16]) -> Vec<u8> {
        let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        frame(
            SIGNALS,
            &[&[code, 1, words.len() as u8, 0][..], &words].concat(),
        )
    }

    /// Two links; the first has a channel, and this many credits were given for it.
    fn two_links(credits: u16) -> Frames {
        let mut frames = Frames::new();
        assert!(frames.connected(A) && frames.connected(B));
        frames.outbound(A, &signal(0x15, &[OWN, 244, 247, credits, 0]));
        frames
    }

    impl Frames {
        fn say(&mut self, handle: u16, mut data: Vec<u8>) -> Verdict {
            self.inbound(handle, FIRST, &mut data)
        }
    }

    /// S13. Guards: a stranger's link that fills, closes or is told about another's channel.
    #[test]
    fn s13_channel_belongs_to_one_link() {
        let mut frames = two_links(8);
        assert_eq!(frames.say(B, unit(1, &[7])), Verdict::Drop);
        assert_eq!(frames.say(B, signal(6, &[OWN, 0x50])), Verdict::Drop);
        assert_eq!(frames.say(B, signal(7, &[0x50, OWN])), Verdict::Drop);
        assert_eq!(frames.say(A, unit(1, &[7])), Verdict::Pass);
        assert_eq!(frames.say(A, signal(6, &[OWN, 0x50])), Verdict::Pass);
        // It is over: the host must not be asked to end it again, nor hear anything on it.
        assert_eq!(frames.say(A, signal(6, &[OWN, 0x50])), Verdict::Drop);
        assert_eq!(frames.say(A, unit(1, &[7])), Verdict::Drop);
    }

    /// S13. Guards: the end of channel 0, for which the host finds a place without a connection.
    #[test]
    fn s13_end_of_a_channel_that_never_was_is_dropped() {
        let mut frames = two_links(8);
        for channel in [0, 1, 0x3f, 0x41, 0xffff] {
            assert_eq!(frames.say(A, signal(6, &[channel, 0])), Verdict::Drop);
        }
        // An agreement to an end that nobody asked for.
        assert_eq!(frames.say(A, signal(7, &[0, OWN])), Verdict::Drop);
        frames.outbound(A, &signal(6, &[0x50, OWN]));
        assert_eq!(frames.say(A, signal(7, &[0x50, OWN])), Verdict::Pass);
    }

    /// S13. Guards: frames of no byte and of one, which panic the host, and units over their bounds.
    #[test]
    fn s13_units_that_do_not_add_up_end_the_link() {
        let bad = [
            frame(OWN, &[]),
            frame(OWN, &[1]),
            unit(0, &[]),
            unit(245, &[0; 200]),
            unit(0xffff, &[0; 10]),
            unit(1, &[1, 2]),
            unit(244, &[0; 246]),
        ];
        for data in bad {
            let mut frames = two_links(8);
            assert_eq!(frames.say(A, data.clone()), Verdict::End, "{data:?}");
            // Nothing more is heard of it, and the other link is as it was.
            assert_eq!(frames.say(A, unit(1, &[7])), Verdict::Drop);
            assert_eq!(frames.say(B, signal(0x16, &[1, 1])), Verdict::Pass);
        }
        let mut frames = two_links(8);
        assert_eq!(frames.say(A, unit(4, &[1, 2])), Verdict::Pass);
        assert_eq!(
            frames.say(A, frame(OWN, &[3])),
            Verdict::Pass,
            "the last byte but one"
        );
        assert_eq!(
            frames.say(A, frame(OWN, &[4, 5])),
            Verdict::End,
            "one too many"
        );
    }

    /// Guards: a peer that sends without credits, and a lock whose new credits do not count.
    #[test]
    fn each_frame_costs_a_credit() {
        let mut frames = two_links(2);
        assert_eq!(frames.say(A, unit(1, &[7])), Verdict::Pass);
        assert_eq!(frames.say(A, unit(1, &[7])), Verdict::Pass);
        frames.outbound(A, &signal(0x16, &[OWN, 1]));
        assert_eq!(frames.say(A, unit(1, &[7])), Verdict::Pass);
        assert_eq!(frames.say(A, unit(1, &[7])), Verdict::End);
    }

    /// S13. Guards: pieces of frames that do not fit together.
    #[test]
    fn s13_pieces_must_make_up_the_frame_that_they_began() {
        let attribute = frame(ATT, &[0x52, 1, 0, 9, 9, 9]);
        let (first, rest) = attribute.split_at(6);
        let run = |pieces: &[(AclPacketBoundary, &[u8])]| {
            let mut frames = two_links(8);
            let judged = pieces
                .iter()
                .map(|(boundary, piece)| frames.inbound(A, *boundary, &mut piece.to_vec()));
            judged.collect::<Vec<_>>()
        };
        assert_eq!(run(&[(FIRST, first), (NEXT, rest)]), [Verdict::Pass; 2]);
        let bad: [&[(AclPacketBoundary, &[u8])]; 7] = [
            &[(NEXT, rest)],
            &[(FIRST, first), (FIRST, first)],
            &[(FIRST, first), (NEXT, &attribute)],
            &[(FIRST, first), (NEXT, &[])],
            &[(FIRST, &[])],
            &[(FIRST, &attribute[..3])],
            &[(FIRST, &[&attribute[..], &[0]].concat())],
        ];
        for pieces in bad {
            assert_eq!(run(pieces).last(), Some(&Verdict::End), "{pieces:?}");
        }
        // A frame for nobody is dropped whole.
        let nobody = frame(0x3a, &[0; 6]);
        let (first, rest) = nobody.split_at(6);
        assert_eq!(run(&[(FIRST, first), (NEXT, rest)]), [Verdict::Drop; 2]);
    }

    /// Guards: a handle that is given to the next peer with what the last one left behind.
    #[test]
    fn new_link_has_nothing_of_the_one_before() {
        let mut frames = two_links(8);
        frames.admit(A);
        assert_eq!(frames.say(A, frame(OWN, &[1])), Verdict::End);
        frames.disconnected(A);
        assert_eq!(frames.say(A, unit(1, &[7])), Verdict::Drop, "no link");
        assert!(frames.connected(A));
        assert!(!frames.is_admitted(A));
        assert_eq!(frames.say(A, unit(1, &[7])), Verdict::Drop, "no channel");
        assert_eq!(
            frames.say(A, signal(0x14, &[0x88, 0x40, 64, 64, 1])),
            Verdict::Pass
        );
        assert_eq!(frames.asked(A), 64);
    }

    /// S13. Guards: a second link under one handle, to whose peer the host would go on as to the first.
    #[test]
    fn s13_handle_that_is_given_twice_ends_its_link() {
        let mut frames = two_links(8);
        assert!(!frames.connected(A));
        assert_eq!(frames.say(A, unit(1, &[7])), Verdict::Drop);
        assert_eq!(frames.say(B, signal(0x16, &[1, 1])), Verdict::Pass);
        frames.disconnected(A);
        assert!(frames.connected(A));
    }
}
