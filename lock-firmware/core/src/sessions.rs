//! Link messages: hellos, handshakes, and records of sessions.

use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::hello::{InitiatorHello, LockHello, MAX_HELLO, Prologue, Purpose};
use drawbridge_protocol::keys::{LinkSecret, Psk};
use drawbridge_protocol::link_message::{LinkMessage, MAX_PLAINTEXT};
use drawbridge_protocol::noise::MESSAGE_2;
use drawbridge_protocol::noise::responder::Responder;
use drawbridge_protocol::psk::{PskGeneration, PskRing};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::session::{Label, MAX_AGE_MS};
use drawbridge_protocol::tunnel::HubToLock;
use drawbridge_protocol::version;
use heapless::Vec;

use crate::flash::Flash;
use crate::links::{LinkId, Say};
use crate::lock::Lock;
use crate::output::Reply;
use crate::peers::{Live, Peer, PeerRecord, Peers, Place};

/// Handshakes on one generation of a psk before the next is proposed.
const ROTATE_AFTER: u32 = 16;

impl<F: Flash> Lock<F> {
    pub(crate) fn handle_link_message(
        &mut self,
        link: LinkId,
        message: &[u8],
        now_ms: u64,
        entropy: &mut impl Entropy,
    ) {
        match LinkMessage::decode(message) {
            Ok(LinkMessage::InitiatorHello(hello)) => self.handle_hello(link, hello),
            Ok(LinkMessage::Handshake1(message)) => {
                if self
                    .handle_handshake(link, message, now_ms, entropy)
                    .is_none()
                {
                    self.refuse_link(link);
                }
            }
            Ok(LinkMessage::Record(record)) => self.handle_record(link, record, now_ms, entropy),
            _ => self.refuse_link(link),
        }
    }

    /// Keeps the hello for the prologue; what it says is checked when message 1 uses it.
    fn handle_hello(&mut self, link: LinkId, hello: &[u8]) {
        let kept = Vec::<u8, MAX_HELLO>::from_slice(hello);
        match (self.links.get_mut(link), kept) {
            (Some(state), Ok(kept)) => state.initiator_hello = kept,
            _ => self.refuse_link(link),
        }
    }

    fn handle_handshake(
        &mut self,
        link: LinkId,
        message: &[u8],
        now_ms: u64,
        entropy: &mut impl Entropy,
    ) -> Option<()> {
        let state = self.links.get_mut(link)?;
        let hello = InitiatorHello::decode(&state.initiator_hello).ok()?;
        if hello.version != version::CURRENT || hello.features != 0 || !self.handshakes.take(now_ms)
        {
            return None;
        }
        let mut buffer = [0; MAX_HELLO];
        let lock_hello = LockHello::new(self.settings.psm, state.nonce)
            .encode(&mut buffer)
            .ok()?;
        let prologue = Prologue::new(self.factory.lock, lock_hello, &state.initiator_hello).ok()?;
        let ephemeral = LinkSecret::generate(entropy);
        let responder = Responder::read(&prologue, &self.factory.link, &ephemeral, message).ok()?;
        let generation = responder.generation;
        let (place, psk) = match self.peers.find(&responder.peer) {
            Some(place) if place != Peers::candidate_place() => (
                place,
                self.peers.get(place)?.record.ring.find(generation)?.clone(),
            ),
            _ => (
                self.admit_candidate(&responder, hello.purpose, now_ms)?,
                self.keys.pair_psk.clone(),
            ),
        };
        self.shake(responder, place, &psk, link, now_ms, entropy)
    }

    /// Inside the window, and only there, an unknown key may try with the pairing psk.
    fn admit_candidate(
        &mut self,
        responder: &Responder,
        purpose: Purpose,
        now_ms: u64,
    ) -> Option<Place> {
        let place = Peers::candidate_place();
        // Message 1 proves nothing, so it must not take the place of somebody who did prove that
        // he has the code and is still here.
        let taken = self.peers.get(place).is_some_and(|known| {
            let here = known
                .session
                .as_ref()
                .is_some_and(|live| live.link.is_some());
            here && known.record.link != responder.peer
        });
        let window = self
            .window
            .as_mut()
            .filter(|window| window.is_open(now_ms))?;
        if taken || purpose != Purpose::Pair || responder.generation != 0 {
            return None;
        }
        responder.peer.check().ok()?;
        if !self.back_off.is_over(now_ms) || !window.attempt() {
            return None;
        }
        // Message 2 is what a guess is tested with: before it, the failure that it may be is counted.
        if self.memory.save_failures(self.back_off.charged()).is_err() {
            self.halt();
            return None;
        }
        self.back_off.charge(now_ms);
        // A candidate that has proven itself keeps its session until the new one is proven too.
        if self
            .peers
            .get(place)
            .is_none_or(|known| known.record.link != responder.peer)
        {
            let ring = PskRing::pairing(self.keys.pair_psk.clone());
            self.peers.put(
                place,
                Peer::new(
                    PeerRecord {
                        link: responder.peer,
                        ring,
                    },
                    false,
                ),
            );
        }
        Some(place)
    }

    fn shake(
        &mut self,
        responder: Responder,
        place: Place,
        psk: &Psk,
        link: LinkId,
        now_ms: u64,
        entropy: &mut impl Entropy,
    ) -> Option<()> {
        let generation = responder.generation;
        let mut message = [0; MESSAGE_2];
        let (current, next) = (Label::generate(entropy), Label::generate(entropy));
        let session = responder.finish(psk, current, next, &mut message).ok()?;
        let peer = self.peers.get_mut(place)?;
        peer.fresh = Some(Live {
            session,
            link: Some(link),
            born_ms: now_ms,
            generation,
        });
        self.links.get_mut(link)?.say = Some(Say::Handshake2(message));
        Some(())
    }

    fn handle_record(
        &mut self,
        link: LinkId,
        record: &[u8],
        now_ms: u64,
        entropy: &mut impl Entropy,
    ) {
        let mut plain = [0; MAX_PLAINTEXT];
        let Some((place, len)) = self.open_record(link, record, &mut plain, now_ms, entropy) else {
            self.refuse_record(link);
            return;
        };
        let plaintext = plain.get(..len).unwrap_or(&[]);
        match HubToLock::decode(plaintext) {
            Ok(request) => self.handle_request(place, &request, now_ms, entropy),
            // A peer of a later version is no stranger, and may go on with what this one knows.
            Err(_) => match HubToLock::unknown_number(plaintext) {
                Some(request) => {
                    let reason = Reason::Unsupported;
                    self.reply(place, Reply::Refused { request, reason });
                }
                None => self.refuse_link(link),
            },
        }
    }

    /// An unknown session id is met by a new handshake on the same link; anything else that does
    /// not open ends the link.
    fn refuse_record(&mut self, link: LinkId) {
        let Some(state) = self.links.get_mut(link) else {
            return;
        };
        if state.proven.is_none() && state.say.is_none() {
            state.say = Some(Say::Denied);
            self.strangers += 1;
        } else {
            self.refuse_link(link);
        }
    }

    /// Opens a record, whosever it is, and lets a session that proves itself take its place.
    fn open_record(
        &mut self,
        link: LinkId,
        record: &[u8],
        plain: &mut [u8],
        now_ms: u64,
        entropy: &mut impl Entropy,
    ) -> Option<(Place, usize)> {
        let (place, is_fresh) = self.peers.iter().find_map(|(place, peer)| {
            let addressed = |live: &Option<Live>| {
                live.as_ref()
                    .is_some_and(|live| live.session.is_addressed_by(record))
            };
            if addressed(&peer.fresh) {
                Some((place, true))
            } else {
                addressed(&peer.session).then_some((place, false))
            }
        })?;
        let peer = self.peers.get_mut(place)?;
        let live = if is_fresh {
            peer.fresh.as_mut()?
        } else {
            peer.session.as_mut()?
        };
        if now_ms >= live.born_ms.saturating_add(MAX_AGE_MS) {
            return None;
        }
        let opened = live.session.open(record, plain).ok()?;
        let (len, moved) = (opened.plaintext.len(), opened.moved);
        let label = moved.then(|| {
            let label = Label::generate(entropy);
            live.session.offer_next(label);
            label
        });
        // Where the peer was until now: the link that the session left, or that of the session
        // which the fresh one replaces.
        let mut left = live.link.replace(link);
        if is_fresh {
            left = peer.session.as_ref().and_then(|old| old.link);
            peer.session = peer.fresh.take();
            peer.handshakes += 1;
        }
        let generation = peer.session.as_ref()?.generation;
        let old_dies = is_fresh && peer.enrolled && peer.record.ring.proven(generation);
        let record_now = old_dies.then(|| peer.record.clone());
        let by_candidate = is_fresh && !peer.enrolled;
        if by_candidate {
            if self.memory.save_failures(self.back_off.refunded()).is_err() {
                self.halt();
                return None;
            }
            self.back_off.refund();
        }
        if let Some(record) = record_now
            && self.memory.save_peer(place, &record).is_err()
        {
            self.halt();
            return None;
        }
        if let Some(old) = left
            .filter(|old| *old != link)
            .and_then(|old| self.links.get_mut(old))
        {
            old.proven = None;
            old.closing = true;
        }
        self.links.get_mut(link)?.proven = Some(place);
        if let Some(label) = label {
            self.reply(place, Reply::NextLabel(label));
        }
        if is_fresh {
            self.propose_psk(place, entropy);
        }
        Some((place, len))
    }

    /// Proposes the next generation: at once after pairing, later every [`ROTATE_AFTER`] handshakes.
    pub(crate) fn propose_psk(&mut self, place: Place, entropy: &mut impl Entropy) {
        let Some(peer) = self.peers.get_mut(place).filter(|peer| peer.enrolled) else {
            return;
        };
        let generation = peer.record.ring.current.generation;
        let due = generation == 0 || peer.handshakes.is_multiple_of(ROTATE_AFTER);
        // While the previous generation is still kept, the newest one is not proven yet: the peer
        // may hold only the older one, and a third would push it out.
        if !due || peer.record.ring.previous.is_some() {
            return;
        }
        let Some(next) = generation.checked_add(1) else {
            return;
        };
        let offer = peer
            .offered
            .get_or_insert_with(|| PskGeneration {
                generation: next,
                psk: Psk::generate(entropy),
            })
            .clone();
        self.reply(place, Reply::PskOffer(offer));
    }
}
