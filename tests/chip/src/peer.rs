//! The other end of the link: a hub with an owner behind it, on the real initiator.

use drawbridge_protocol::frame::{Fragmenter, Reassembler};
use drawbridge_protocol::hello::{InitiatorHello, Prologue, Purpose};
use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::keys::{LinkKey, LinkSecret};
use drawbridge_protocol::link_message::LinkMessage;
use drawbridge_protocol::noise::initiator::Initiator;
use drawbridge_protocol::psk::PskRing;
use drawbridge_protocol::session::{Label, Session};
use drawbridge_protocol::tunnel::{HubToLock, LockToHub};

use crate::board::{Board, BoardError, Said};
use crate::cost::Cost;
use crate::scenario::kind;

/// Bytes of a packet on the link.
const PACKET: usize = 244;
/// The one link.
const LINK: u8 = 1;

/// The peer. It answers label and psk offers by itself.
pub(crate) struct Peer {
    pub(crate) secret: LinkSecret,
    pub(crate) lock: LockId,
    pub(crate) lock_key: LinkKey,
    pub(crate) ring: PskRing,
    session: Option<Session>,
    incoming: Reassembler,
    outgoing: Fragmenter,
    hello: Vec<u8>,
    /// Where the motor was ordered to, and not yet sensed.
    pub(crate) ordered: Option<u8>,
}

impl Peer {
    pub(crate) fn new(secret: LinkSecret, lock: LockId, lock_key: LinkKey, ring: PskRing) -> Self {
        Self {
            secret,
            lock,
            lock_key,
            ring,
            session: None,
            incoming: Reassembler::new(),
            outgoing: Fragmenter::new(),
            hello: Vec::new(),
            ordered: None,
        }
    }

    /// A new link; the lock's hello is taken in.
    pub(crate) fn connect(&mut self, board: &mut Board) -> Result<Cost, BoardError> {
        let (_, down) = board.input(kind::LINK_DOWN, LINK, &[])?;
        self.incoming = Reassembler::new();
        self.outgoing = Fragmenter::new();
        self.hello.clear();
        let (said, up) = board.input(kind::LINK_UP, LINK, &(PACKET as u16).to_le_bytes())?;
        self.take(&said)?;
        if self.hello.is_empty() {
            return Err(BoardError::Step("get a hello"));
        }
        Ok(down.and(up))
    }

    /// A handshake; its two inputs are the hello and message 1.
    pub(crate) fn shake(
        &mut self,
        board: &mut Board,
        purpose: Purpose,
    ) -> Result<Cost, BoardError> {
        let refused = BoardError::Step("shake hands");
        let mut buffer = [0; 48];
        let hello = InitiatorHello {
            version: 1,
            features: 0,
            purpose,
        };
        let Ok(hello) = hello.encode(&mut buffer).map(<[u8]>::to_vec) else {
            return Err(refused);
        };
        let Ok(prologue) = Prologue::new(self.lock, &self.hello, &hello) else {
            return Err(refused);
        };
        let ephemeral = LinkSecret::generate(&mut board.entropy);
        let started = Initiator::start(
            &prologue,
            &self.secret,
            &self.lock_key,
            &self.ring.current,
            &ephemeral,
        );
        let Ok((initiator, message)) = started else {
            return Err(refused);
        };
        let (_, first) = self.send_message(board, &LinkMessage::InitiatorHello(&hello))?;
        let (said, second) = self.send_message(board, &LinkMessage::Handshake1(&message))?;
        for message in self.messages(&said)? {
            if let Ok(LinkMessage::Handshake2(answer)) = LinkMessage::decode(&message) {
                self.session = initiator.finish(answer).ok();
                break;
            }
        }
        match self.session {
            Some(_) => Ok(first.and(second)),
            None => Err(refused),
        }
    }

    /// Onto a new link without a handshake.
    pub(crate) fn resume(&mut self) -> Result<(), BoardError> {
        match self.session.as_mut().map(Session::resume) {
            Some(true) => Ok(()),
            _ => Err(BoardError::Step("resume the session")),
        }
    }

    /// Sends a request and returns the answers; what the lock says by itself is dealt with.
    pub(crate) fn ask(
        &mut self,
        board: &mut Board,
        request: &HubToLock<'_>,
    ) -> Result<(Vec<Vec<u8>>, Cost), BoardError> {
        let (mut plain, mut record) = ([0; 1_024], [0; 1_100]);
        let session = self
            .session
            .as_mut()
            .ok_or(BoardError::Step("use a session"))?;
        let sealed = request
            .encode(&mut plain)
            .ok()
            .and_then(|plain| session.seal(plain, &mut record).ok().map(<[u8]>::to_vec))
            .ok_or(BoardError::Step("seal a request"))?;
        let (said, mut cost) = self.send_message(board, &LinkMessage::Record(&sealed))?;
        let mut answers = self.take(&said)?;
        // The motor's travel belongs to the command that ordered it.
        if let Some(at) = self.ordered.take() {
            let (said, moved) = board.input(kind::SENSORS, 0, &[at, 1, 0, 90])?;
            cost = cost.and(moved);
            answers.extend(self.take(&said)?);
        }
        let mut rest = Vec::new();
        for answer in answers {
            match LockToHub::decode(&answer) {
                Ok(LockToHub::PskOffer { next }) => {
                    let generation = next.generation;
                    self.ring.advance(next);
                    let (more, _) = self.ask(board, &HubToLock::PskStored { generation })?;
                    rest.extend(more);
                }
                _ => rest.push(answer),
            }
        }
        Ok((rest, cost))
    }

    fn send_message(
        &mut self,
        board: &mut Board,
        message: &LinkMessage<'_>,
    ) -> Result<(Vec<Said>, Cost), BoardError> {
        let mut bytes = [0; 1_100];
        let mut packets = Vec::new();
        let Ok(message) = message.encode(&mut bytes) else {
            return Err(BoardError::Step("encode a message"));
        };
        let cut = self
            .outgoing
            .cut(message, &mut [0; PACKET], PACKET, |packet| {
                packets.push(packet.to_vec());
            });
        cut.map_err(|_| BoardError::Step("cut a message"))?;
        let (mut said, mut cost) = (Vec::new(), Cost::default());
        for packet in packets {
            let (more, spent) = board.input(kind::PACKET, LINK, &packet)?;
            said.extend(more);
            cost = cost.and(spent);
        }
        Ok((said, cost))
    }

    fn messages(&mut self, said: &[Said]) -> Result<Vec<Vec<u8>>, BoardError> {
        let mut messages = Vec::new();
        for said in said {
            match said.kind {
                kind::MOTOR => self.ordered = Some(said.link).filter(|at| *at != 0),
                kind::PACKET => match self.incoming.push(&said.body) {
                    Ok(complete) => messages.extend(complete.map(<[u8]>::to_vec)),
                    Err(_) => return Err(BoardError::Step("put a message together")),
                },
                _ => {
                    return Err(BoardError::Step(
                        "keep the link: the lock refused or ended it",
                    ));
                }
            }
        }
        Ok(messages)
    }

    /// Opens what came. The lock's motor orders are kept for the bolt.
    fn take(&mut self, said: &[Said]) -> Result<Vec<Vec<u8>>, BoardError> {
        let mut answers = Vec::new();
        for message in self.messages(said)? {
            match (LinkMessage::decode(&message), self.session.as_mut()) {
                (Ok(LinkMessage::LockHello(hello)), _) => self.hello = hello.to_vec(),
                (Ok(LinkMessage::Record(record)), Some(session)) => {
                    let mut plain = [0; 1_024];
                    let Ok(opened) = session.open(record, &mut plain) else {
                        return Err(BoardError::Step("open a record"));
                    };
                    let plaintext = opened.plaintext.to_vec();
                    match LockToHub::decode(&plaintext) {
                        Ok(LockToHub::NextLabel { label }) => {
                            let label = Label::from_bytes(label);
                            session.store_next(label.ok_or(BoardError::Step("read a label"))?);
                        }
                        Ok(_) => answers.push(plaintext),
                        Err(_) => return Err(BoardError::Step("read an answer")),
                    }
                }
                _ => return Err(BoardError::Step("get an answer: denied")),
            }
        }
        Ok(answers)
    }
}
