//! Who may hold a session: the owner's device, the peers that the claim named, and for as long as
//! the pairing window is open one candidate.

use drawbridge_protocol::keys::LinkKey;
use drawbridge_protocol::psk::{Generation, PskGeneration, PskRing};
use drawbridge_protocol::session::Session;
use minicbor::{Decode, Encode};

use crate::links::LinkId;

/// Places: owner's device, three peers, one candidate.
pub(crate) const PLACES: usize = 5;

/// Index of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) u8);

/// What is kept of an enrolled peer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct PeerRecord {
    #[n(1)]
    pub(crate) link: LinkKey,
    #[n(2)]
    pub(crate) ring: PskRing,
}

/// A session of a peer, with what the record layer leaves to a clock.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) session: Session,
    pub(crate) link: Option<LinkId>,
    pub(crate) born_ms: u64,
    pub(crate) generation: Generation,
}

/// A peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) record: PeerRecord,
    /// `false` for the candidate: nothing of it is on flash.
    pub(crate) enrolled: bool,
    /// The next generation, proposed and not yet stored by the peer.
    pub(crate) offered: Option<PskGeneration>,
    pub(crate) handshakes: u32,
    pub(crate) session: Option<Live>,
    /// From the newest handshake; takes over when its first record opens.
    pub(crate) fresh: Option<Live>,
}

impl Peer {
    pub(crate) const fn new(record: PeerRecord, enrolled: bool) -> Self {
        Self {
            record,
            enrolled,
            offered: None,
            handshakes: 0,
            session: None,
            fresh: None,
        }
    }
}

/// All places.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    places: [Option<Peer>; PLACES],
}

impl Peers {
    pub(crate) fn get(&self, place: Place) -> Option<&Peer> {
        self.places
            .get(usize::from(place.0))
            .and_then(Option::as_ref)
    }

    pub(crate) fn get_mut(&mut self, place: Place) -> Option<&mut Peer> {
        self.places
            .get_mut(usize::from(place.0))
            .and_then(Option::as_mut)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Place, &Peer)> {
        (0..)
            .map(Place)
            .zip(&self.places)
            .filter_map(|(place, peer)| Some((place, peer.as_ref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Place, &mut Peer)> {
        (0..)
            .map(Place)
            .zip(&mut self.places)
            .filter_map(|(place, peer)| Some((place, peer.as_mut()?)))
    }

    pub(crate) fn find(&self, link: &LinkKey) -> Option<Place> {
        self.iter()
            .find(|(_, peer)| peer.record.link == *link)
            .map(|(place, _)| place)
    }

    /// Puts a peer at `place`, over whoever was there.
    pub(crate) fn put(&mut self, place: Place, peer: Peer) {
        if let Some(slot) = self.places.get_mut(usize::from(place.0)) {
            *slot = Some(peer);
        }
    }

    /// Takes the candidate out of its place.
    pub(crate) fn take_candidate(&mut self) -> Option<Peer> {
        self.places.last_mut().and_then(Option::take)
    }

    /// Whether the candidate's newest handshake was answered on `link` and nothing proved it since.
    pub(crate) fn is_unproven_candidate(&self, link: LinkId) -> bool {
        self.get(Self::candidate_place())
            .and_then(|peer| peer.fresh.as_ref())
            .is_some_and(|fresh| fresh.link == Some(link))
    }

    /// Whether the candidate has a link.
    pub(crate) fn is_candidate_here(&self) -> bool {
        self.get(Self::candidate_place()).is_some_and(|candidate| {
            let mut lives = [&candidate.session, &candidate.fresh].into_iter().flatten();
            lives.any(|live| live.link.is_some())
        })
    }

    /// The candidate's place.
    pub(crate) const fn candidate_place() -> Place {
        Place(PLACES as u8 - 1)
    }

    pub(crate) fn clear(&mut self) {
        self.places = Default::default();
    }
}
