//! The links that are up: framing, hellos, deadlines for whoever has not proven anything yet.

use drawbridge_protocol::frame::{Fragmenter, Reassembler};
use drawbridge_protocol::hello::MAX_HELLO;
use drawbridge_protocol::ids::Nonce;
use drawbridge_protocol::noise::MESSAGE_2;
use heapless::Vec;

use crate::peers::Place;

/// Links at once.
pub const LINKS: usize = 2;

/// From its first frame a peer has this long to prove itself, in milliseconds.
const FROM_FIRST_FRAME_MS: u64 = 2_000;
/// From link-up, in milliseconds.
const FROM_LINK_UP_MS: u64 = 10_000;
/// Inside the pairing window, in milliseconds.
const IN_WINDOW_MS: u64 = 60_000;

/// Names a link; given by whoever runs the radio, not used again while the link is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u8);

/// What is to be said on a link outside any session.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    Hello,
    Handshake2([u8; MESSAGE_2]),
    Denied,
}

/// One link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) packet: usize,
    pub(crate) nonce: Nonce,
    pub(crate) incoming: Reassembler,
    pub(crate) outgoing: Fragmenter,
    pub(crate) initiator_hello: Vec<u8, MAX_HELLO>,
    pub(crate) say: Option<Say>,
    /// Whose authentic record arrived on it last.
    pub(crate) proven: Option<Place>,
    pub(crate) closing: bool,
    up_ms: u64,
    first_frame_ms: Option<u64>,
}

impl Link {
    pub(crate) fn new(id: LinkId, packet: usize, nonce: Nonce, now_ms: u64) -> Self {
        Self {
            id,
            packet,
            nonce,
            incoming: Reassembler::new(),
            outgoing: Fragmenter::new(),
            initiator_hello: Vec::new(),
            say: Some(Say::Hello),
            proven: None,
            closing: false,
            up_ms: now_ms,
            first_frame_ms: None,
        }
    }

    pub(crate) fn saw_frame(&mut self, now_ms: u64) {
        self.first_frame_ms.get_or_insert(now_ms);
    }

    /// When the link ends unless somebody proves himself; `None` once somebody has.
    pub(crate) fn deadline(&self, window_open: bool) -> Option<u64> {
        if self.proven.is_some() {
            return None;
        }
        if window_open {
            return Some(self.up_ms + IN_WINDOW_MS);
        }
        let from_up = self.up_ms + FROM_LINK_UP_MS;
        Some(
            self.first_frame_ms
                .map_or(from_up, |first| from_up.min(first + FROM_FIRST_FRAME_MS)),
        )
    }
}

/// All links.
#[derive(Debug, Default)]
pub(crate) struct Links {
    up: Vec<Link, LINKS>,
}

impl Links {
    pub(crate) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.up.iter_mut().find(|link| link.id == id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Link> {
        self.up.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Link> {
        self.up.iter_mut()
    }

    /// Adds a link; `false` without a free place, while another one has proven nothing, or under
    /// the name of one that is up.
    pub(crate) fn add(&mut self, link: Link) -> bool {
        let unproven = self
            .up
            .iter()
            .any(|up| up.id == link.id || (up.proven.is_none() && !up.closing));
        !unproven && self.up.push(link).is_ok()
    }

    pub(crate) fn remove(&mut self, id: LinkId) {
        self.up.retain(|link| link.id != id);
    }
}
