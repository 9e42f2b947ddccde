//! A lock for the hub's tests: the lock's end of handshake, session, commands, log and pairing in
//! the shortest form that keeps the protocol's promises, with knobs for what goes wrong.

use std::collections::BTreeMap;

use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::command::Command;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::frame::{Fragmenter, Reassembler};
use drawbridge_protocol::grant::{Grant, Rights};
use drawbridge_protocol::hello::{InitiatorHello, LockHello, Prologue};
use drawbridge_protocol::ids::{CommandId, Digest32, LockEpoch, LockId, Nonce, OwnershipId};
use drawbridge_protocol::keys::{
    IdentityKey, IdentitySecret, LinkKey, LinkSecret, Psk, SharedSecret,
};
use drawbridge_protocol::link_message::{LinkMessage, MAX_LINK_MESSAGE, MAX_RECORD};
use drawbridge_protocol::log_record::{LogEvent, LogRecord};
use drawbridge_protocol::noise::MESSAGE_2;
use drawbridge_protocol::noise::responder::Responder;
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::psk::{PskGeneration, PskRing};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::receipt::Receipt;
use drawbridge_protocol::report::{Cause, Door, Position, Report};
use drawbridge_protocol::session::{Label, Session};
use drawbridge_protocol::session_info::SessionInfo;
use drawbridge_protocol::ticket::PairingTicket;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub};

use super::world::{Seeded, keys};

pub(crate) const PACKET: usize = 100;
/// Numbers of requests, as refusals name them.
const COMMAND: u8 = 2;
const QUERY: u8 = 3;

/// What the link does around the next command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Dies with the command unread.
    BeforeReading,
    /// Dies after the motor, with the answer unsent.
    BeforeAnswer,
}

/// What the lock answers when it is asked for its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pulls {
    Answered,
    Refused,
    /// There is more, and nothing of it in the answer.
    Empty,
    /// A record that is none.
    Nonsense,
}

struct Line {
    incoming: Reassembler,
    out: Fragmenter,
    hello: Vec<u8>,
    initiator: Vec<u8>,
    /// A handshake whose session waits for its first record.
    fresh: Option<(Session, u32)>,
    is_proven: bool,
}

pub(crate) struct LockDouble {
    pub(crate) id: LockId,
    pub(crate) identity: IdentitySecret,
    pub(crate) link: LinkSecret,
    pub(crate) beacon_key: SharedSecret<16>,
    pub(crate) owner: IdentitySecret,
    pub(crate) epoch: LockEpoch,
    pub(crate) boot: u32,
    pub(crate) psks: PskRing,
    pub(crate) peer: Option<LinkKey>,
    pub(crate) window: Option<Nonce>,
    claim: Option<Vec<u8>>,
    session: Option<Session>,
    line: Option<Line>,
    entropy: Seeded,
    /// What was decided for each command.
    decided: BTreeMap<CommandId, (Verdict, Reason)>,
    pub(crate) actuations: BTreeMap<CommandId, u32>,
    /// Every request that was read, in order.
    pub(crate) heard: Vec<String>,
    pub(crate) position: Position,
    pub(crate) log: Vec<Vec<u8>>,
    /// Records below this number were freed.
    pub(crate) log_from: u64,
    pub(crate) cuts: Vec<Cut>,
    pub(crate) forges_outcomes: bool,
    /// Answers with another command's outcome, correctly signed.
    pub(crate) mixes_answers: bool,
    /// Has lost its index of intents: the log is all that is left.
    pub(crate) forgets_as: Option<(Verdict, Reason)>,
    /// Offers a new generation in each new session.
    pub(crate) rotates: bool,
    /// Forgets what it offered, as after a power cut before it was kept.
    pub(crate) loses_offers: bool,
    offered: Option<PskGeneration>,
    pub(crate) knows_grants: bool,
    /// Takes every grant and knows none when it is named.
    pub(crate) loses_grants: bool,
    /// Says this about every query, without a signature.
    pub(crate) refuses_queries: Option<Reason>,
    pub(crate) pulls: Pulls,
    /// A record of its own tells that records were freed.
    pub(crate) writes_what_it_frees: bool,
    pub(crate) pulls_answered: u32,
    pub(crate) now_ms: u64,
    pub(crate) wants_down: bool,
}

impl LockDouble {
    pub(crate) fn new(number: u8) -> Self {
        let mut lock = Self {
            id: LockId([number; 8]),
            identity: IdentitySecret::from_bytes(&[number; 32]),
            link: LinkSecret::from_bytes([number.wrapping_add(1); 32]),
            beacon_key: SharedSecret::new([number; 16]),
            owner: IdentitySecret::from_bytes(&[0xee; 32]),
            epoch: LockEpoch([number; 16]),
            boot: 1,
            psks: PskRing::pairing(Psk::new([number; 32])),
            peer: None,
            window: None,
            claim: None,
            session: None,
            line: None,
            entropy: Seeded::new(number.into()),
            decided: BTreeMap::new(),
            actuations: BTreeMap::new(),
            heard: Vec::new(),
            position: Position::Unlocked,
            log: Vec::new(),
            log_from: 1,
            cuts: Vec::new(),
            forges_outcomes: false,
            mixes_answers: false,
            forgets_as: None,
            rotates: false,
            loses_offers: false,
            offered: None,
            knows_grants: false,
            loses_grants: false,
            refuses_queries: None,
            pulls: Pulls::Answered,
            writes_what_it_frees: false,
            pulls_answered: 0,
            now_ms: 0,
            wants_down: false,
        };
        lock.record(LogEvent::Boot, None, None);
        lock
    }

    pub(crate) fn ticket(&self) -> PairingTicket {
        PairingTicket {
            model: 1,
            lock: self.id,
            link: self.link.public(),
            identity: self.identity.public(),
            pair_psk: self.psks.current.psk.clone(),
            passkey: 1,
            beacon_key: self.beacon_key.clone(),
        }
    }

    /// The grant of a hub's rights at this lock, as its owner signs it.
    pub(crate) fn grant(&self, hub: IdentityKey, hub_link: LinkKey) -> Vec<u8> {
        let grant = Grant {
            issuer: self.owner.public(),
            holder: hub,
            holder_link: hub_link,
            lock: self.id,
            rights: Rights::VIEW.union(Rights::READ_AUDIT).union(Rights::LOCK),
            not_before: None,
            not_after: None,
            serial: 1,
            policy_epoch: 0,
            ownership: OwnershipId([7; 8]),
        };
        grant.sign(&self.owner, &mut [0; 512]).unwrap().to_vec()
    }

    pub(crate) fn beacon(&mut self) -> Beacon {
        Beacon::generate(&self.beacon_key, &mut self.entropy)
    }

    /// Power off and on: sessions and epoch are new, what was decided is known from flash.
    pub(crate) fn reboot(&mut self) {
        self.boot += 1;
        self.epoch = LockEpoch(self.entropy.bytes());
        self.session = None;
        self.line = None;
        self.knows_grants = false;
        self.record(LogEvent::Boot, None, None);
    }

    pub(crate) fn forget_session(&mut self) {
        self.session = None;
    }

    pub(crate) fn hang_up(&mut self) {
        self.line = None;
    }

    pub(crate) fn connected(&mut self) -> Vec<Vec<u8>> {
        let hello = LockHello::new(0x80, Nonce(self.entropy.bytes()))
            .encode(&mut [0; 48])
            .unwrap()
            .to_vec();
        self.line = Some(Line {
            incoming: Reassembler::new(),
            out: Fragmenter::new(),
            hello: hello.clone(),
            initiator: Vec::new(),
            fresh: None,
            is_proven: false,
        });
        self.frame(&LinkMessage::LockHello(&hello))
    }

    fn frame(&mut self, message: &LinkMessage<'_>) -> Vec<Vec<u8>> {
        let mut buffer = [0; MAX_LINK_MESSAGE];
        let bytes = message.encode(&mut buffer).unwrap();
        let mut packets = Vec::new();
        let line = self.line.as_mut().unwrap();
        line.out
            .cut(bytes, &mut [0; PACKET], PACKET, |packet| {
                packets.push(packet.to_vec());
            })
            .unwrap();
        packets
    }

    pub(crate) fn packet(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        let Some(line) = self.line.as_mut() else {
            return Vec::new();
        };
        let Some(message) = line.incoming.push(packet).unwrap().map(<[u8]>::to_vec) else {
            return Vec::new();
        };
        match LinkMessage::decode(&message).unwrap() {
            LinkMessage::InitiatorHello(hello) => {
                line.initiator = hello.to_vec();
                Vec::new()
            }
            LinkMessage::Handshake1(message) => self.shake(message),
            LinkMessage::Record(record) => self.record_in(record),
            other => panic!("the hub sent {other:?}"),
        }
    }

    fn deny(&mut self, closes: bool) -> Vec<Vec<u8>> {
        let packets = self.frame(&LinkMessage::Denied);
        self.wants_down |= closes;
        packets
    }

    fn shake(&mut self, message: &[u8]) -> Vec<Vec<u8>> {
        let line = self.line.as_ref().unwrap();
        InitiatorHello::decode(&line.initiator).unwrap();
        let prologue = Prologue::new(self.id, &line.hello, &line.initiator).unwrap();
        let ephemeral = LinkSecret::generate(&mut self.entropy);
        let responder = Responder::read(&prologue, &self.link, &ephemeral, message).unwrap();
        let known = self.peer == Some(responder.peer) || self.window.is_some();
        let generation = responder.generation;
        let Some(psk) = self.psks.find(generation).cloned().filter(|_| known) else {
            return self.deny(true);
        };
        let labels = [0, 1].map(|_| Label::generate(&mut self.entropy));
        let mut answer = [0; MESSAGE_2];
        let session = responder
            .finish(&psk, labels[0], labels[1], &mut answer)
            .unwrap();
        self.line.as_mut().unwrap().fresh = Some((session, generation));
        self.heard.push(format!("handshake {generation}"));
        self.frame(&LinkMessage::Handshake2(&answer))
    }

    fn record_in(&mut self, record: &[u8]) -> Vec<Vec<u8>> {
        let mut plain = [0; MAX_RECORD];
        let line = self.line.as_mut().unwrap();
        let mut is_new = false;
        if let Some((session, generation)) = &mut line.fresh
            && session.open(record, &mut plain).is_ok()
        {
            self.psks.proven(*generation);
            let (session, _) = line.fresh.take().unwrap();
            self.session = Some(session);
            is_new = true;
            line.is_proven = true;
            // A record is opened once: what it said is in `plain`.
        } else {
            let opened = self
                .session
                .as_mut()
                .map(|session| session.open(record, &mut plain));
            match opened {
                Some(Ok(_)) => {}
                _ => return self.deny(false),
            }
        }
        let len = record.len() - 32;
        let mut packets = Vec::new();
        let line = self.line.as_mut().unwrap();
        let greets = is_new || !line.is_proven;
        line.is_proven = true;
        if greets {
            packets.extend(self.greet(is_new));
        }
        packets.extend(self.request(&plain[..len]));
        packets
    }

    fn greet(&mut self, is_new: bool) -> Vec<Vec<u8>> {
        let label = Label::generate(&mut self.entropy);
        let bytes = self.session.as_mut().unwrap().offer_next(label);
        let mut packets = self.say(&LockToHub::NextLabel { label: &bytes });
        if is_new && self.rotates && self.peer.is_some() {
            let fresh = PskGeneration {
                generation: self.psks.current.generation + 1,
                psk: Psk::generate(&mut self.entropy),
            };
            let next = match self.offered.take() {
                Some(offered) if !self.loses_offers && offered.generation == fresh.generation => {
                    offered
                }
                _ => fresh,
            };
            self.offered = Some(next.clone());
            packets.extend(self.say(&LockToHub::PskOffer { next }));
        }
        packets
    }

    fn say(&mut self, message: &LockToHub<'_>) -> Vec<Vec<u8>> {
        let (mut plain, mut record) = ([0; 1_024], [0; MAX_RECORD]);
        let plain = message.encode(&mut plain).unwrap();
        let record = self
            .session
            .as_mut()
            .unwrap()
            .seal(plain, &mut record)
            .unwrap()
            .to_vec();
        self.frame(&LinkMessage::Record(&record))
    }

    pub(crate) fn info(&self, nonce: Option<Nonce>) -> SessionInfo {
        SessionInfo {
            lock: self.id,
            boot: self.boot,
            epoch: self.epoch,
            time_ms: self.now_ms,
            policy_epoch: 0,
            revoked: None,
            log_seq: Some(self.head().0),
            log_head: Some(self.head().1),
            handshakes: None,
            counter: 0,
            nonce,
            ownership: None,
        }
    }

    fn head(&self) -> (u64, Digest32) {
        let last = self.log.last().unwrap();
        (self.log.len() as u64, Digest32::of(last))
    }

    /// Appends to the log.
    pub(crate) fn record(
        &mut self,
        event: LogEvent,
        command: Option<CommandId>,
        reason: Option<Reason>,
    ) {
        let previous = self
            .log
            .last()
            .map_or(Digest32::ZERO, |last| Digest32::of(last));
        let record = LogRecord {
            seq: self.log.len() as u64 + 1,
            previous,
            boot: self.boot,
            time_ms: self.now_ms,
            event,
            cause: Cause::Boot,
            actor: None,
            grant: None,
            command,
            reason,
            position: Some(self.position),
            count: None,
            evidence: None,
        };
        let bytes = record.encode(&mut [0; 480]).unwrap().to_vec();
        self.log.push(bytes);
    }

    fn request(&mut self, plain: &[u8]) -> Vec<Vec<u8>> {
        let request = HubToLock::decode(plain).unwrap();
        let name = format!("{request:?}");
        let name = name.split([' ', '{']).next().unwrap().to_owned();
        match request {
            HubToLock::Command { statement } => {
                self.heard
                    .push(format!("Command {}", Command::read(statement).unwrap().id));
            }
            _ => self.heard.push(name),
        }
        match request {
            HubToLock::Command { statement } => self.command(statement),
            HubToLock::Query { statement } => self.query(statement),
            HubToLock::SessionInfoRequest { nonce, .. } => {
                let info = self.info(Some(nonce));
                let statement = info.sign(&self.identity, &mut [0; 600]).unwrap().to_vec();
                self.say(&LockToHub::SessionInfo {
                    statement: &statement,
                })
            }
            HubToLock::PresentGrant { statement } => {
                self.knows_grants = !self.loses_grants;
                let hash = Digest32::of(statement);
                self.say(&LockToHub::GrantAccepted { hash })
            }
            HubToLock::ReportRequest => self.send_report(),
            HubToLock::LogPull { from } => self.pull(from),
            HubToLock::AuditAck { .. } => {
                let up_to = self.head().0;
                if self.writes_what_it_frees && self.log_from <= up_to {
                    self.record(LogEvent::Freed, None, None);
                }
                self.log_from = up_to + 1;
                self.say(&LockToHub::Freed { up_to })
            }
            HubToLock::PskStored { generation } => {
                if let Some(offered) = self.offered.take_if(|o| o.generation == generation) {
                    self.psks.advance(offered);
                }
                Vec::new()
            }
            HubToLock::PairInfoRequest => match self.window {
                Some(window) => self.say(&LockToHub::PairInfo {
                    window,
                    owned: self.claim.is_some(),
                    policy_epoch: 0,
                }),
                None => self.say(&LockToHub::Refused {
                    request: 7,
                    reason: Reason::WindowClosed,
                }),
            },
            HubToLock::Claim { statement } => self.take_claim(statement),
            other => panic!("the hub asked {other:?}"),
        }
    }

    fn take_claim(&mut self, statement: &[u8]) -> Vec<Vec<u8>> {
        if self
            .claim
            .as_deref()
            .is_some_and(|known| known != statement)
        {
            return self.say(&LockToHub::Refused {
                request: 8,
                reason: Reason::AlreadyOwned,
            });
        }
        self.claim = Some(statement.to_vec());
        let cut = self.take_cut(Cut::BeforeAnswer);
        let receipt = Receipt {
            lock: self.id,
            claim: Digest32::of(statement),
            log_head: self.head().1,
            log_seq: self.head().0,
        };
        let statement = receipt
            .sign(&self.identity, &mut [0; 400])
            .unwrap()
            .to_vec();
        if cut {
            self.wants_down = true;
            return Vec::new();
        }
        self.say(&LockToHub::Receipt {
            statement: &statement,
        })
    }

    pub(crate) fn send_report(&mut self) -> Vec<Vec<u8>> {
        let statement = self.report();
        self.send_statement(&statement)
    }

    pub(crate) fn send_statement(&mut self, statement: &[u8]) -> Vec<Vec<u8>> {
        self.say(&LockToHub::Report { statement })
    }

    /// What it senses now, signed.
    pub(crate) fn report(&self) -> Vec<u8> {
        let report = Report {
            lock: self.id,
            boot: self.boot,
            time_ms: self.now_ms,
            position: self.position,
            door: Door::Closed,
            tamper: false,
            battery: 90,
            cause: Cause::Sensor,
            command: None,
            log_seq: self.head().0,
            log_head: self.head().1,
            log_used: 1,
        };
        report.sign(&self.identity, &mut [0; 400]).unwrap().to_vec()
    }

    fn pull(&mut self, from: u64) -> Vec<Vec<u8>> {
        self.pulls_answered += 1;
        let newest = self.head().0;
        let nothing = |records| LockToHub::LogBatch {
            first: from,
            newest,
            records,
        };
        match self.pulls {
            Pulls::Answered => {}
            Pulls::Refused => {
                let (request, reason) = (5, Reason::NoRight);
                return self.say(&LockToHub::Refused { request, reason });
            }
            Pulls::Empty => return self.say(&nothing(&[])),
            Pulls::Nonsense => return self.say(&nothing(&[0, 2, 0xff, 0xff])),
        }
        let first = from.max(self.log_from);
        let mut records = Vec::new();
        for bytes in self.log.iter().skip(first as usize - 1) {
            if records.len() + bytes.len() + 2 > 900 {
                break;
            }
            records.extend((bytes.len() as u16).to_be_bytes());
            records.extend(bytes);
        }
        self.say(&LockToHub::LogBatch {
            first,
            newest,
            records: &records,
        })
    }

    fn take_cut(&mut self, wanted: Cut) -> bool {
        if self.cuts.first() == Some(&wanted) {
            self.cuts.remove(0);
            return true;
        }
        false
    }

    fn command(&mut self, statement: &[u8]) -> Vec<Vec<u8>> {
        if self.take_cut(Cut::BeforeReading) {
            self.heard.pop();
            self.wants_down = true;
            return Vec::new();
        }
        let read = Command::read(statement).unwrap();
        let is_repeat = self.decided.contains_key(&read.id);
        if read.command.grant.is_some() && !self.knows_grants {
            return self.refuse_unsigned(COMMAND, Reason::GrantUnknown);
        }
        let signer = if read.command.grant.is_some() {
            keys().identity.public()
        } else {
            self.owner.public()
        };
        if read.verify(&signer).is_err() {
            return self.refuse_unsigned(COMMAND, Reason::Signature);
        }
        if !is_repeat {
            let decision = self.decide(&read.command);
            if decision.0 == Verdict::Done {
                self.record(LogEvent::Intent, Some(read.id), None);
                *self.actuations.entry(read.id).or_default() += 1;
                self.position = Position::Locked;
                self.record(LogEvent::Outcome, Some(read.id), None);
            }
            self.decided.insert(read.id, decision);
        }
        if self.take_cut(Cut::BeforeAnswer) {
            self.wants_down = true;
            return Vec::new();
        }
        let (verdict, reason) = self.decided[&read.id];
        self.answer(read.id, verdict, reason, is_repeat)
    }

    /// What a lock says about bytes whose signer it does not know.
    fn refuse_unsigned(&mut self, request: u8, reason: Reason) -> Vec<Vec<u8>> {
        self.say(&LockToHub::Refused { request, reason })
    }

    fn decide(&self, command: &Command) -> (Verdict, Reason) {
        if command.epoch != self.epoch {
            (Verdict::Refused, Reason::WrongEpoch)
        } else if command.expiry_ms <= self.now_ms {
            (Verdict::Expired, Reason::Expired)
        } else {
            (Verdict::Done, Reason::None)
        }
    }

    fn query(&mut self, statement: &[u8]) -> Vec<Vec<u8>> {
        if let Some(reason) = self.refuses_queries {
            return self.refuse_unsigned(QUERY, reason);
        }
        let read = Command::read(statement).unwrap();
        let (verdict, reason) = match (self.forgets_as, self.decided.get(&read.id)) {
            (Some(forgotten), _) => forgotten,
            (None, Some(decided)) => *decided,
            (None, None) if read.command.epoch != self.epoch => {
                (Verdict::NotExecuted, Reason::NotSeen)
            }
            (None, None) => (Verdict::NotSeen, Reason::NotSeen),
        };
        self.answer(read.id, verdict, reason, true)
    }

    fn answer(
        &mut self,
        id: CommandId,
        verdict: Verdict,
        reason: Reason,
        duplicate: bool,
    ) -> Vec<Vec<u8>> {
        let named = if self.mixes_answers {
            CommandId([0; 16])
        } else {
            id
        };
        let outcome = Outcome {
            command: named,
            verdict,
            reason,
            position: self.position,
            duplicate,
            info: self.info(None),
        };
        let other = IdentitySecret::from_bytes(&[0x77; 32]);
        let signer = if self.forges_outcomes {
            &other
        } else {
            &self.identity
        };
        let statement = outcome.sign(signer, &mut [0; 724]).unwrap().to_vec();
        self.say(&LockToHub::Outcome {
            command: id,
            statement: &statement,
        })
    }
}
