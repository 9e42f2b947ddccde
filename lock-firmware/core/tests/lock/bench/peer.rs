//! The other end of a link: hub, phone, or somebody who should not be there.

use std::collections::VecDeque;

use drawbridge_lock::LinkId;
use drawbridge_protocol::claim::PeerKeys;
use drawbridge_protocol::frame::{Fragmenter, Reassembler};
use drawbridge_protocol::hello::{InitiatorHello, Prologue, Purpose};
use drawbridge_protocol::ids::Nonce;
use drawbridge_protocol::keys::{IdentityKey, IdentitySecret, LinkSecret};
use drawbridge_protocol::link_message::LinkMessage;
use drawbridge_protocol::noise::initiator::Initiator;
use drawbridge_protocol::outcome::Outcome;
use drawbridge_protocol::psk::{PskGeneration, PskRing};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::receipt::Receipt;
use drawbridge_protocol::session::{Label, Session};
use drawbridge_protocol::session_info::SessionInfo;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub};

use super::home::{Home, PACKET};

/// A peer's end: keys, psk ring, session, link.
pub(crate) struct Peer {
    pub(crate) link: LinkId,
    pub(crate) identity: IdentitySecret,
    pub(crate) secret: LinkSecret,
    pub(crate) ring: PskRing,
    pub(crate) session: Option<Session>,
    pub(crate) incoming: Reassembler,
    pub(crate) outgoing: Fragmenter,
    pub(crate) hello: Vec<u8>,
    pub(crate) denied: bool,
    /// Every packet this peer sent, for those who replay.
    pub(crate) sent: Vec<Vec<u8>>,
    /// `false`: psk offers are lost on the way.
    pub(crate) takes_offers: bool,
    /// Generations that were offered.
    pub(crate) offers: Vec<u32>,
}

/// An owned copy of what the lock said.
pub(crate) type Said = Vec<u8>;

impl Peer {
    pub(crate) fn new(home: &mut Home, link: u8) -> Self {
        Self {
            link: LinkId(link),
            identity: IdentitySecret::generate(&mut home.entropy),
            secret: LinkSecret::generate(&mut home.entropy),
            ring: PskRing::pairing(home.factory.qr().keys().pair_psk),
            session: None,
            incoming: Reassembler::new(),
            outgoing: Fragmenter::new(),
            hello: Vec::new(),
            denied: false,
            sent: Vec::new(),
            takes_offers: true,
            offers: Vec::new(),
        }
    }

    pub(crate) fn keys(&self) -> PeerKeys {
        PeerKeys {
            identity: self.identity.public(),
            link: self.secret.public(),
        }
    }

    /// A new link under the peer; its hello is taken in.
    pub(crate) fn connect(&mut self, home: &mut Home) -> bool {
        let now = home.now;
        let link = self.link;
        home.lock().link_down(link, now);
        home.packets.retain(|(id, _)| *id != link);
        self.incoming = Reassembler::new();
        self.outgoing = Fragmenter::new();
        self.denied = false;
        self.hello.clear();
        let up = home.link_up(link);
        self.receive(home);
        up
    }

    pub(crate) fn send_message(&mut self, home: &mut Home, message: &LinkMessage<'_>) {
        let mut bytes = [0; 1_100];
        let message = message.encode(&mut bytes).unwrap().to_vec();
        self.send_bytes(home, &message);
    }

    /// Sends a link message that somebody else made.
    pub(crate) fn send_bytes(&mut self, home: &mut Home, message: &[u8]) {
        let mut packets = Vec::new();
        self.outgoing
            .cut(message, &mut [0; PACKET], PACKET, |packet| {
                packets.push(packet.to_vec())
            })
            .unwrap();
        for packet in packets {
            home.packet(self.link, &packet);
            self.sent.push(packet);
        }
    }

    /// Handshakes on the newest generation; `false` when the lock does not answer.
    pub(crate) fn shake(&mut self, home: &mut Home, purpose: Purpose) -> bool {
        let psk = self.ring.current.clone();
        self.shake_with(home, purpose, &psk)
    }

    pub(crate) fn shake_with(
        &mut self,
        home: &mut Home,
        purpose: Purpose,
        psk: &PskGeneration,
    ) -> bool {
        let mut buffer = [0; 48];
        let hello = InitiatorHello {
            version: 1,
            features: 0,
            purpose,
        }
        .encode(&mut buffer)
        .unwrap()
        .to_vec();
        let lock_key = home.factory.link.public();
        let prologue = Prologue::new(home.factory.lock, &self.hello, &hello).unwrap();
        let ephemeral = LinkSecret::generate(&mut home.entropy);
        let (initiator, message) =
            Initiator::start(&prologue, &self.secret, &lock_key, psk, &ephemeral).unwrap();
        self.send_message(home, &LinkMessage::InitiatorHello(&hello));
        self.send_message(home, &LinkMessage::Handshake1(&message));
        for message in self.messages(home) {
            match LinkMessage::decode(&message) {
                Ok(LinkMessage::Handshake2(answer)) => {
                    self.session = initiator.finish(answer).ok();
                    return self.session.is_some();
                }
                Ok(LinkMessage::Denied) => self.denied = true,
                _ => {}
            }
        }
        false
    }

    /// Complete link messages that arrived for this peer.
    pub(crate) fn messages(&mut self, home: &mut Home) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut others = VecDeque::new();
        while let Some((link, packet)) = home.packets.pop_front() {
            if link != self.link {
                others.push_back((link, packet));
            } else if let Some(message) = self.incoming.push(&packet).unwrap() {
                messages.push(message.to_vec());
            }
        }
        home.packets = others;
        messages
    }

    /// Opens whatever came; labels and psk offers are dealt with, the rest is returned.
    pub(crate) fn receive(&mut self, home: &mut Home) -> Vec<Said> {
        let mut said = Vec::new();
        for message in self.messages(home) {
            match LinkMessage::decode(&message).unwrap() {
                LinkMessage::LockHello(hello) => self.hello = hello.to_vec(),
                LinkMessage::Record(record) => {
                    let mut plain = [0; 1_024];
                    let session = self.session.as_mut().unwrap();
                    let Ok(opened) = session.open(record, &mut plain) else {
                        continue;
                    };
                    let plaintext = opened.plaintext.to_vec();
                    match LockToHub::decode(&plaintext).unwrap() {
                        LockToHub::NextLabel { label } => {
                            session.store_next(Label::from_bytes(label).unwrap());
                        }
                        LockToHub::PskOffer { next } => {
                            let generation = next.generation;
                            self.offers.push(generation);
                            if self.takes_offers {
                                assert!(self.ring.advance(next), "offer of {generation}");
                                self.send(home, &HubToLock::PskStored { generation });
                            }
                        }
                        _ => said.push(plaintext),
                    }
                }
                LinkMessage::Denied => self.denied = true,
                _ => {}
            }
        }
        said
    }

    pub(crate) fn send(&mut self, home: &mut Home, request: &HubToLock<'_>) {
        let mut plain = [0; 1_024];
        let plaintext = request.encode(&mut plain).unwrap();
        self.send_plain(home, plaintext);
    }

    /// Seals bytes that need not be a request.
    pub(crate) fn send_plain(&mut self, home: &mut Home, plaintext: &[u8]) {
        let mut record = [0; 1_100];
        let sealed = self
            .session
            .as_mut()
            .unwrap()
            .seal(plaintext, &mut record)
            .unwrap();
        let sealed = sealed.to_vec();
        self.send_message(home, &LinkMessage::Record(&sealed));
    }

    pub(crate) fn ask(&mut self, home: &mut Home, request: &HubToLock<'_>) -> Vec<Said> {
        self.send(home, request);
        self.receive(home)
    }

    /// Moves the session to a new link under the same name, without a handshake.
    pub(crate) fn resume(&mut self, home: &mut Home) -> bool {
        self.connect(home) && self.session.as_mut().unwrap().resume()
    }

    /// Handshakes on a new link as a hub does: the newest generation first, then the one before.
    pub(crate) fn rejoin(&mut self, home: &mut Home) -> bool {
        let kept = [Some(self.ring.current.clone()), self.ring.previous.clone()];
        for psk in kept.into_iter().flatten() {
            home.pass_time(1_000);
            if self.connect(home) && self.shake_with(home, Purpose::Session, &psk) {
                // Any record of the lock proves the generation; a closed window is an answer too.
                let answered = !self.ask(home, &HubToLock::PairInfoRequest).is_empty();
                return answered && {
                    self.ring.proven(psk.generation);
                    true
                };
            }
        }
        false
    }

    pub(crate) fn window(&mut self, home: &mut Home) -> Option<(Nonce, bool, u32)> {
        let said = self.ask(home, &HubToLock::PairInfoRequest);
        said.iter().find_map(|said| match LockToHub::decode(said) {
            Ok(LockToHub::PairInfo {
                window,
                owned,
                policy_epoch,
            }) => Some((window, owned, policy_epoch)),
            _ => None,
        })
    }

    /// The verified receipt for a claim, byte for byte, or why there is none.
    pub(crate) fn claim(
        &mut self,
        home: &mut Home,
        claim: &[u8],
    ) -> Result<Vec<u8>, Option<Reason>> {
        let said = self.ask(home, &HubToLock::Claim { statement: claim });
        let receipt = said.iter().find_map(|said| match LockToHub::decode(said) {
            Ok(LockToHub::Receipt { statement }) => {
                Receipt::verify(statement, &home.factory.identity.public()).unwrap();
                Some(statement.to_vec())
            }
            _ => None,
        });
        receipt.ok_or_else(|| refusal(&said))
    }

    pub(crate) fn session_info(&mut self, home: &mut Home) -> SessionInfo {
        self.session_info_of(home, None)
    }

    pub(crate) fn session_info_of(
        &mut self,
        home: &mut Home,
        holder: Option<IdentityKey>,
    ) -> SessionInfo {
        let request = HubToLock::SessionInfoRequest {
            nonce: Nonce([4; 16]),
            holder,
        };
        for said in self.ask(home, &request) {
            if let LockToHub::SessionInfo { statement } = LockToHub::decode(&said).unwrap() {
                return SessionInfo::verify(statement, &home.factory.identity.public()).unwrap();
            }
        }
        panic!("no session info came");
    }

    /// Sends a signed command and returns what the lock signed about it, if it did.
    pub(crate) fn command(&mut self, home: &mut Home, statement: &[u8]) -> Option<Outcome> {
        let said = self.ask(home, &HubToLock::Command { statement });
        outcome(home, &said)
    }

    pub(crate) fn query(&mut self, home: &mut Home, statement: &[u8]) -> Option<Outcome> {
        let said = self.ask(home, &HubToLock::Query { statement });
        outcome(home, &said)
    }
}

/// The packets numbered anew from zero, as whoever replays them on a link of his own would.
pub(crate) fn renumbered(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let renumber = |(number, packet): (usize, &Vec<u8>)| {
        let mut packet = packet.clone();
        packet[0] = (packet[0] & 0x80) | (number as u8 & 0x3f);
        packet
    };
    packets.iter().enumerate().map(renumber).collect()
}

/// The link messages in a capture.
pub(crate) fn messages_in(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for packet in packets {
        if packet[0] & 0x80 != 0 {
            messages.push(packet[3..].to_vec());
        } else {
            messages.last_mut().unwrap().extend_from_slice(&packet[1..]);
        }
    }
    messages
}

/// The verified outcome among what was said.
pub(crate) fn outcome(home: &Home, said: &[Said]) -> Option<Outcome> {
    said.iter()
        .find_map(|said| match LockToHub::decode(said).unwrap() {
            LockToHub::Outcome { statement, .. } => {
                Some(Outcome::verify(statement, &home.factory.identity.public()).unwrap())
            }
            _ => None,
        })
}

/// The unsigned refusal among what was said.
pub(crate) fn refusal(said: &[Said]) -> Option<Reason> {
    said.iter()
        .find_map(|said| match LockToHub::decode(said).unwrap() {
            LockToHub::Refused { reason, .. } => Some(reason),
            _ => None,
        })
}
