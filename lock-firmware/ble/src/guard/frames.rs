//! L2CAP frames of all links: their form, whose channel they are for, and the credits they cost.

use bt_hci::data::AclPacketBoundary;
use drawbridge_protocol::gatt::MAX_PACKET;
use heapless::Vec;

use super::pairing;
use super::signals::{self, FIRST_CHANNEL, Sent, Signal};

/// Links followed at once: those that the host takes, and those that it is about to refuse.
const MAX_LINKS: usize = 4;
/// Channels followed on a link.
const MAX_CHANNELS: usize = 4;
/// Largest frame on a channel: the MPS that the lock offers.
pub(crate) const MPS: u16 = 247;
/// Largest frame of the attribute protocol.
const MAX_ATT: usize = 517;
/// Smallest MTU of the attribute protocol on LE. Below, the host would cut at negative lengths.
const MIN_ATT_MTU: u16 = 23;
const ATT_MTU_REQUEST: u8 = 0x02;
const ATT_MTU_RESPONSE: u8 = 0x03;

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

    pub(crate) fn connected(&mut self, handle: u16) {
        self.disconnected(handle);
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
            ATT if is_attribute(len, here) => Verdict::Pass,
            SECURITY if pairing::is_well_formed(len, here) => {
                if let Some((_, message)) = data.split_at_mut_checked(4) {
                    pairing::refuse_weak(message);
                }
                Verdict::Pass
            }
            SIGNALS if missing == 0 => self.signal(here),
            ATT | SECURITY | SIGNALS => Verdict::End,
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

/// Whether a frame may reach the attribute server.
fn is_attribute(len: usize, here: &[u8]) -> bool {
    let is_mtu = matches!(here.first(), Some(&ATT_MTU_REQUEST | &ATT_MTU_RESPONSE));
    let mtu = match here {
        [_, low, high] => u16::from_le_bytes([*low, *high]),
        _ => 0,
    };
    len <= MAX_ATT && !here.is_empty() && (!is_mtu || (len == 3 && mtu >= MIN_ATT_MTU))
}
