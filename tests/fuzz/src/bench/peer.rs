//! A hub's end of a link to a door.

use drawbridge_lock::LinkId;
use drawbridge_protocol::frame::{Fragmenter, Reassembler};
use drawbridge_protocol::hello::{InitiatorHello, MAX_HELLO, Prologue, Purpose};
use drawbridge_protocol::keys::{LinkSecret, Psk};
use drawbridge_protocol::link_message::{LinkMessage, MAX_LINK_MESSAGE, MAX_RECORD};
use drawbridge_protocol::noise::initiator::Initiator;
use drawbridge_protocol::psk::{PskGeneration, PskRing};
use drawbridge_protocol::session::{Label, Session};
use drawbridge_protocol::tunnel::{HubToLock, LockToHub};

use super::door::{Door, PACKET};
use crate::parties;

/// Keys, session and link of the hub of the examples. What goes wrong on a hostile way it takes in
/// its stride: it has no session then.
pub(crate) struct Peer {
    pub(crate) link: LinkId,
    pub(crate) ring: PskRing,
    pub(crate) session: Option<Session>,
    incoming: Reassembler,
    outgoing: Fragmenter,
    hello: Vec<u8>,
    /// Every packet that it sent, for those who listen.
    pub(crate) sent: Vec<Vec<u8>>,
}

impl Peer {
    pub(crate) fn new(link: u8, ring: PskRing) -> Self {
        Self {
            link: LinkId(link),
            ring,
            session: None,
            incoming: Reassembler::new(),
            outgoing: Fragmenter::new(),
            hello: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// With nothing but the key from the code on the lock.
    pub(crate) fn unpaired(link: u8) -> Self {
        Self::new(link, PskRing::pairing(pairing_psk()))
    }

    /// A new link under the peer.
    pub(crate) fn connect(&mut self, door: &mut Door) {
        door.link_down(self.link);
        self.incoming = Reassembler::new();
        self.outgoing = Fragmenter::new();
        self.hello.clear();
        door.link_up(self.link, PACKET);
        self.receive(door);
    }

    /// Moves the session to a new link.
    pub(crate) fn resume(&mut self, door: &mut Door) {
        self.connect(door);
        if !self.session.as_mut().is_some_and(Session::resume) {
            self.session = None;
        }
    }

    /// Connects and shakes hands; generation after generation, as far as there are any.
    pub(crate) fn shake(&mut self, door: &mut Door, purpose: Purpose) {
        let kept = [Some(self.ring.current.clone()), self.ring.previous.clone()];
        for psk in kept.into_iter().flatten() {
            self.session = None;
            self.connect(door);
            self.shake_with(door, purpose, &psk);
            if self.session.is_some() {
                return;
            }
        }
    }

    fn shake_with(&mut self, door: &mut Door, purpose: Purpose, psk: &PskGeneration) {
        let hello = InitiatorHello {
            version: 1,
            features: 0,
            purpose,
        };
        let mut buffer = [0; MAX_HELLO];
        let hello = hello.encode(&mut buffer).expect("hellos fit");
        let Ok(prologue) = Prologue::new(parties::LOCK, &self.hello, hello) else {
            return;
        };
        let ephemeral = LinkSecret::generate(&mut door.entropy);
        let lock = parties::lock_link().public();
        let started = Initiator::start(&prologue, &parties::hub_link(), &lock, psk, &ephemeral);
        let (initiator, message) = started.expect("good keys");
        self.send_message(door, &LinkMessage::InitiatorHello(hello));
        self.send_message(door, &LinkMessage::Handshake1(&message));
        for message in self.messages(door) {
            if let Ok(LinkMessage::Handshake2(answer)) = LinkMessage::decode(&message) {
                self.session = initiator.finish(answer).ok();
                return;
            }
        }
    }

    fn send_message(&mut self, door: &mut Door, message: &LinkMessage<'_>) {
        let mut bytes = [0; MAX_LINK_MESSAGE];
        let message = message.encode(&mut bytes).expect("messages fit");
        let mut packets = Vec::new();
        self.outgoing
            .cut(message, &mut [0; PACKET], PACKET, |packet| {
                packets.push(packet.to_vec())
            })
            .expect("within its bound");
        for packet in packets {
            door.packet(self.link, &packet);
            self.sent.push(packet);
        }
    }

    /// Whole link messages that came for this peer; after a bad fragment there are no more.
    fn messages(&mut self, door: &mut Door) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut others = std::collections::VecDeque::new();
        while let Some((link, packet)) = door.packets.pop_front() {
            if link != self.link {
                others.push_back((link, packet));
            } else if let Ok(Some(message)) = self.incoming.push(&packet) {
                messages.push(message.to_vec());
            }
        }
        door.packets = others;
        messages
    }

    /// What the lock said in the session; labels and psk offers are dealt with.
    pub(crate) fn receive(&mut self, door: &mut Door) -> Vec<Vec<u8>> {
        let mut said = Vec::new();
        for message in self.messages(door) {
            match LinkMessage::decode(&message) {
                Ok(LinkMessage::LockHello(hello)) => self.hello = hello.to_vec(),
                Ok(LinkMessage::Record(record)) => {
                    let mut plain = [0; 1_024];
                    let opened = self
                        .session
                        .as_mut()
                        .map(|session| session.open(record, &mut plain));
                    let Some(Ok(opened)) = opened else { continue };
                    let plain = opened.plaintext.to_vec();
                    self.take(door, &plain);
                    said.push(plain);
                }
                _ => {}
            }
        }
        said
    }

    fn take(&mut self, door: &mut Door, plain: &[u8]) {
        match LockToHub::decode(plain).expect("a lock's own words") {
            LockToHub::NextLabel { label } => {
                if let Some((session, label)) = self.session.as_mut().zip(Label::from_bytes(label))
                {
                    session.store_next(label);
                }
            }
            LockToHub::PskOffer { next } => {
                let generation = next.generation;
                if self.ring.advance(next) {
                    self.send(door, &HubToLock::PskStored { generation });
                }
            }
            _ => {}
        }
    }

    pub(crate) fn send(&mut self, door: &mut Door, request: &HubToLock<'_>) {
        let mut plain = [0; 1_024];
        let plain = request.encode(&mut plain).expect("requests fit").to_vec();
        self.send_plain(door, &plain);
    }

    /// Seals bytes that need not be a request.
    pub(crate) fn send_plain(&mut self, door: &mut Door, plain: &[u8]) {
        let mut record = [0; MAX_RECORD];
        let sealed = self
            .session
            .as_mut()
            .map(|session| session.seal(plain, &mut record));
        if let Some(Ok(sealed)) = sealed {
            let sealed = sealed.to_vec();
            self.send_message(door, &LinkMessage::Record(&sealed));
        }
    }

    pub(crate) fn ask(&mut self, door: &mut Door, request: &HubToLock<'_>) -> Vec<Vec<u8>> {
        self.send(door, request);
        self.receive(door)
    }
}

fn pairing_psk() -> Psk {
    parties::code().keys().pair_psk
}
