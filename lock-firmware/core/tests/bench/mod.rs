//! A lock on a table: the real core, a flash that can lose power, a bolt made of two lines, and an
//! initiator with the real handshake. Time is a number.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use drawbridge_lock::flash::model::{Nor, Tear};
use drawbridge_lock::flash::{Flash, FlashError};
use drawbridge_lock::{BootError, Factory, LinkId, Lock, Motor, Output, Sensors, Settings};
use drawbridge_protocol::claim::{Claim, PeerKeys};
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::frame::{Fragmenter, Reassembler};
use drawbridge_protocol::grant::{Grant, Rights};
use drawbridge_protocol::hello::{InitiatorHello, Prologue, Purpose};
use drawbridge_protocol::ids::{Digest32, Nonce, OwnershipId};
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::link_message::LinkMessage;
use drawbridge_protocol::noise::initiator::Initiator;
use drawbridge_protocol::outcome::Outcome;
use drawbridge_protocol::psk::PskRing;
use drawbridge_protocol::report::{Door, Position};
use drawbridge_protocol::session::{Label, Session};
use drawbridge_protocol::session_info::SessionInfo;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub};

/// Size of the packets on the test's links.
const PACKET: usize = 244;

/// A seeded stream (xorshift64*): tests repeat, nothing else may use it.
#[derive(Clone)]
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        u64::from_le_bytes(self.bytes()) % limit
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, into: &mut [u8]) {
        for byte in into {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            *byte = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8;
        }
    }
}

/// A handle to the one flash, as a board would hand it out.
#[derive(Clone)]
pub(crate) struct Chip(pub(crate) Rc<RefCell<Nor>>);

impl Flash for Chip {
    const PAGE: u32 = <Nor as Flash>::PAGE;
    fn pages(&self) -> u32 {
        self.0.borrow().pages()
    }
    fn read(&self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.0.borrow().read(at, into)
    }
    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.0.borrow_mut().write(at, bytes)
    }
    fn erase(&mut self, page: u32) -> Result<(), FlashError> {
        self.0.borrow_mut().erase(page)
    }
}

/// The bolt itself, which survives every reboot. `starts` counts how often the motor was energised.
pub(crate) struct Bolt {
    pub(crate) position: Position,
    pub(crate) starts: u32,
    pub(crate) jammed: bool,
}

/// The lock, its flash, its bolt and its clock.
pub(crate) struct Home {
    pub(crate) factory: Factory,
    pub(crate) settings: Settings,
    pub(crate) chip: Chip,
    pub(crate) bolt: Bolt,
    pub(crate) battery: u8,
    pub(crate) door: Door,
    pub(crate) lock: Option<Lock<Chip>>,
    pub(crate) now: u64,
    pub(crate) entropy: Seeded,
    pub(crate) packets: VecDeque<(LinkId, Vec<u8>)>,
    pub(crate) dropped_links: Vec<LinkId>,
}

impl Home {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_pages(seed, 20)
    }

    pub(crate) fn with_pages(seed: u64, pages: u32) -> Self {
        let mut entropy = Seeded::new(seed);
        let factory = Factory::generate(7, &mut entropy);
        let mut home = Self {
            factory,
            settings: Settings::default(),
            chip: Chip(Rc::new(RefCell::new(Nor::new(pages)))),
            bolt: Bolt {
                position: Position::Locked,
                starts: 0,
                jammed: false,
            },
            battery: 90,
            door: Door::Closed,
            lock: None,
            now: 0,
            entropy,
            packets: VecDeque::new(),
            dropped_links: Vec::new(),
        };
        home.boot().unwrap();
        home
    }

    pub(crate) fn sensors(&self) -> Sensors {
        Sensors {
            position: self.bolt.position,
            door: self.door,
            tamper: false,
            battery: self.battery,
        }
    }

    /// Power on. Whatever the links carried is gone.
    pub(crate) fn boot(&mut self) -> Result<(), BootError> {
        self.lock = None;
        self.packets.clear();
        self.now = 0;
        self.chip.0.borrow_mut().restore();
        let lock = Lock::boot(
            self.chip.clone(),
            self.factory.clone(),
            self.settings,
            self.sensors(),
            &mut self.entropy,
        )?;
        self.lock = Some(lock);
        Ok(())
    }

    pub(crate) fn cut_after(&mut self, operations: u64, tear: Tear, seed: u64) {
        self.chip.0.borrow_mut().cut_after(operations, tear, seed);
    }

    pub(crate) fn lock(&mut self) -> &mut Lock<Chip> {
        self.lock.as_mut().unwrap()
    }

    /// Carries out what the lock orders. The bolt moves at once; the sensors say so.
    pub(crate) fn settle(&mut self) {
        let mut buffer = [0; PACKET];
        loop {
            let mut moved = None;
            let lock = self.lock.as_mut().unwrap();
            match lock.poll_output(&mut buffer, self.now, &mut self.entropy) {
                Some(Output::Packet { link, bytes }) => {
                    self.packets.push_back((link, bytes.to_vec()));
                }
                Some(Output::Disconnect { link }) => self.dropped_links.push(link),
                Some(Output::Motor(Motor::Throw)) => moved = Some(Position::Locked),
                Some(Output::Motor(Motor::Draw)) => moved = Some(Position::Unlocked),
                Some(Output::Motor(Motor::Stop)) => {}
                None => return,
            }
            if let Some(target) = moved {
                self.bolt.starts += 1;
                self.bolt.position = if self.bolt.jammed {
                    Position::Jammed
                } else {
                    target
                };
                let sensors = self.sensors();
                let now = self.now;
                self.lock().handle_sensors(sensors, now);
            }
        }
    }

    pub(crate) fn press_button(&mut self) {
        let now = self.now;
        let mut entropy = self.entropy.clone();
        self.lock().press_button(200, now, &mut entropy);
        self.entropy = entropy;
        self.settle();
    }

    pub(crate) fn link_up(&mut self, link: LinkId) -> bool {
        let (now, mut entropy) = (self.now, self.entropy.clone());
        let up = self.lock().link_up(link, PACKET, now, &mut entropy);
        self.entropy = entropy;
        self.settle();
        up
    }

    pub(crate) fn packet(&mut self, link: LinkId, packet: &[u8]) {
        let (now, mut entropy) = (self.now, self.entropy.clone());
        self.lock().handle_packet(link, packet, now, &mut entropy);
        self.entropy = entropy;
        self.settle();
    }

    pub(crate) fn pass_time(&mut self, milliseconds: u64) {
        self.now += milliseconds;
        let now = self.now;
        self.lock().handle_time(now);
        self.settle();
    }
}

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
        let mut packets = Vec::new();
        self.outgoing
            .cut(&message, &mut [0; PACKET], PACKET, |packet| {
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
        psk: &drawbridge_protocol::psk::PskGeneration,
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
                            assert!(self.ring.advance(next));
                            self.send(home, &HubToLock::PskStored { generation });
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
        let (mut plain, mut record) = ([0; 1_024], [0; 1_100]);
        let plaintext = request.encode(&mut plain).unwrap();
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

    pub(crate) fn session_info(&mut self, home: &mut Home) -> SessionInfo {
        self.session_info_of(home, None)
    }

    pub(crate) fn session_info_of(
        &mut self,
        home: &mut Home,
        holder: Option<drawbridge_protocol::keys::IdentityKey>,
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
pub(crate) fn refusal(said: &[Said]) -> Option<drawbridge_protocol::reason::Reason> {
    said.iter()
        .find_map(|said| match LockToHub::decode(said).unwrap() {
            LockToHub::Refused { reason, .. } => Some(reason),
            _ => None,
        })
}

/// An owner whose hub is paired, holds a session and has presented its grant (lock and view).
pub(crate) struct Owned {
    pub(crate) home: Home,
    pub(crate) hub: Peer,
    pub(crate) owner: IdentitySecret,
    pub(crate) audit: IdentitySecret,
    pub(crate) ownership: OwnershipId,
    pub(crate) claim: Vec<u8>,
    pub(crate) grant: Vec<u8>,
}

impl Owned {
    pub(crate) fn new(seed: u64) -> Self {
        Self::of(Home::new(seed))
    }

    pub(crate) fn of(mut home: Home) -> Self {
        let mut hub = Peer::new(&mut home, 1);
        let owner = IdentitySecret::generate(&mut home.entropy);
        let audit = IdentitySecret::generate(&mut home.entropy);
        home.press_button();
        assert!(hub.connect(&mut home));
        assert!(hub.shake(&mut home, Purpose::Pair));
        let said = hub.ask(&mut home, &HubToLock::PairInfoRequest);
        let Ok(LockToHub::PairInfo {
            window,
            owned: false,
            ..
        }) = LockToHub::decode(&said[0])
        else {
            panic!("no pair info");
        };
        let claim = claim_of(&home, &owner, &audit, window, Some(hub.keys()));
        let said = hub.ask(&mut home, &HubToLock::Claim { statement: &claim });
        assert!(
            said.iter()
                .any(|s| matches!(LockToHub::decode(s), Ok(LockToHub::Receipt { .. }))),
            "claim refused: {:?}, halted {}",
            refusal(&said),
            home.lock().is_halted()
        );
        let ownership = OwnershipId::of_claim(&claim);
        let mut owned = Self {
            home,
            hub,
            owner,
            audit,
            ownership,
            claim,
            grant: Vec::new(),
        };
        owned.grant = owned.grant_for(&owned.hub.keys(), Rights::LOCK.union(Rights::VIEW));
        owned.present();
        owned
    }

    pub(crate) fn grant_for(&self, holder: &PeerKeys, rights: Rights) -> Vec<u8> {
        let mut out = [0; 724];
        Grant {
            issuer: self.owner.public(),
            holder: holder.identity,
            holder_link: holder.link,
            lock: self.home.factory.lock,
            rights,
            not_before: None,
            not_after: None,
            serial: 1,
            policy_epoch: 0,
            ownership: self.ownership,
        }
        .sign(&self.owner, &mut out)
        .unwrap()
        .to_vec()
    }

    pub(crate) fn present(&mut self) {
        let grant = self.grant.clone();
        let said = self.hub.ask(
            &mut self.home,
            &HubToLock::PresentGrant { statement: &grant },
        );
        assert!(
            said.iter()
                .any(|s| matches!(LockToHub::decode(s), Ok(LockToHub::GrantAccepted { .. }))),
            "grant refused: {:?}",
            refusal(&said)
        );
    }

    /// Power off and on; the hub comes back with a new handshake and its grant.
    pub(crate) fn reboot(&mut self) {
        self.home.boot().unwrap();
        self.rejoin();
    }

    pub(crate) fn rejoin(&mut self) {
        assert!(self.hub.connect(&mut self.home));
        let shaken = self.hub.shake(&mut self.home, Purpose::Session);
        if !shaken {
            let previous = self.hub.ring.previous.clone().unwrap();
            assert!(self.hub.connect(&mut self.home));
            assert!(
                self.hub
                    .shake_with(&mut self.home, Purpose::Session, &previous)
            );
        }
        self.present();
    }

    /// A command by the owner, good for 30 s.
    pub(crate) fn sign(&mut self, action: Action) -> Vec<u8> {
        let info = self.hub.session_info(&mut self.home);
        self.sign_on(&info, action)
    }

    pub(crate) fn sign_on(&self, info: &SessionInfo, action: Action) -> Vec<u8> {
        let command = self.command_on(info, action);
        sign(&command, &self.owner)
    }

    pub(crate) fn command_on(&self, info: &SessionInfo, action: Action) -> Command {
        Command {
            lock: info.lock,
            action,
            epoch: info.epoch,
            counter: info.counter + 1,
            log_position: info.log_seq.unwrap_or(0),
            expiry_ms: info.time_ms + 30_000,
            grant: None,
        }
    }

    /// A command by the hub's own key under its own grant, good for 5 s.
    pub(crate) fn sign_by_hub(&mut self, action: Action) -> Vec<u8> {
        let holder = self.hub.identity.public();
        let info = self.hub.session_info_of(&mut self.home, Some(holder));
        let mut command = self.command_on(&info, action);
        command.expiry_ms = info.time_ms + 5_000;
        command.grant = Some(Digest32::of(&self.grant));
        sign(&command, &self.hub.identity)
    }
}

pub(crate) fn sign(command: &Command, by: &IdentitySecret) -> Vec<u8> {
    command.sign(by, &mut [0; 724]).unwrap().to_vec()
}

pub(crate) fn claim_of(
    home: &Home,
    owner: &IdentitySecret,
    audit: &IdentitySecret,
    window: Nonce,
    hub: Option<PeerKeys>,
) -> Vec<u8> {
    let device = LinkSecret::from_bytes([0x31; 32]);
    Claim {
        lock: home.factory.lock,
        window,
        device: Nonce([6; 16]),
        owner: PeerKeys {
            identity: owner.public(),
            link: device.public(),
        },
        peer1: hub,
        peer2: None,
        peer3: None,
        time_key: None,
        audit_key: audit.public(),
        made_at: 1_790_000_000,
    }
    .seal(&home.factory.qr().keys().claim_key, &mut [0; 724])
    .unwrap()
    .to_vec()
}
