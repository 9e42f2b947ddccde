//! Fixed keys and values: two sets, so that absent and present fields are both pinned.

use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::claim::{Claim, PeerKeys};
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::cose::MAX_STATEMENT;
use drawbridge_protocol::grant::{Grant, Rights};
use drawbridge_protocol::hello::{InitiatorHello, LockHello, MAX_HELLO, Prologue, Purpose};
use drawbridge_protocol::ids::{CommandId, Digest32, LockEpoch, LockId, Nonce, OwnershipId};
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret, Psk};
use drawbridge_protocol::log_record::{LogEvent, LogRecord};
use drawbridge_protocol::noise::initiator::Initiator;
use drawbridge_protocol::noise::responder::Responder;
use drawbridge_protocol::noise::{MESSAGE_1, MESSAGE_2};
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::psk::PskGeneration;
use drawbridge_protocol::qr::QrCode;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::receipt::Receipt;
use drawbridge_protocol::report::{Cause, Door, Position, Report};
use drawbridge_protocol::secret::{ClaimKey, SetupSecret};
use drawbridge_protocol::session::{Label, Session};
use drawbridge_protocol::session_info::SessionInfo;

/// Which set of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// What is common: the examples of `PROTOCOL.md`.
    Plain,
    /// Every optional field present and every number at its bound.
    Full,
}

impl Shape {
    fn number(self, plain: u64) -> u64 {
        if self == Self::Full { u64::MAX } else { plain }
    }

    fn small(self, plain: u32) -> u32 {
        if self == Self::Full { u32::MAX } else { plain }
    }

    fn also<T>(self, value: T) -> Option<T> {
        (self == Self::Full).then_some(value)
    }
}

pub(crate) const LOCK: LockId = LockId([0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0x07, 0x18]);
pub(crate) const OWNERSHIP: OwnershipId = OwnershipId([0x0a; 8]);
pub(crate) const EPOCH: LockEpoch = LockEpoch([0xee; 16]);
pub(crate) const GRANT_HASH: Digest32 = Digest32([0x6a; 32]);
pub(crate) const LOG_HEAD: Digest32 = Digest32([0x10; 32]);

/// Each party's keys, from one byte.
pub(crate) fn lock_identity() -> IdentitySecret {
    IdentitySecret::from_bytes(&[0x11; 32])
}

pub(crate) fn lock_link() -> LinkSecret {
    LinkSecret::from_bytes([0x12; 32])
}

pub(crate) fn owner_identity() -> IdentitySecret {
    IdentitySecret::from_bytes(&[0x21; 32])
}

pub(crate) fn hub_identity() -> IdentitySecret {
    IdentitySecret::from_bytes(&[0x31; 32])
}

pub(crate) fn hub_link() -> LinkSecret {
    LinkSecret::from_bytes([0x32; 32])
}

pub(crate) fn audit_identity() -> IdentitySecret {
    IdentitySecret::from_bytes(&[0x41; 32])
}

pub(crate) fn claim_key() -> ClaimKey {
    code().keys().claim_key
}

pub(crate) fn psk() -> PskGeneration {
    PskGeneration {
        generation: 3,
        psk: Psk::new([0x53; 32]),
    }
}

pub(crate) fn label(number: u8) -> Label {
    Label {
        id: [number; 8],
        to_lock: u64::MAX - 1,
        to_peer: 0x1000 * u64::from(number),
    }
}

pub(crate) fn code() -> QrCode {
    QrCode {
        model: 1,
        lock: LOCK,
        link: lock_link().public(),
        identity: lock_identity().public(),
        secret: SetupSecret::new([0x61; 16]),
    }
}

fn peer(number: u8) -> PeerKeys {
    PeerKeys {
        identity: IdentitySecret::from_bytes(&[number; 32]).public(),
        link: LinkSecret::from_bytes([number + 1; 32]).public(),
    }
}

pub(crate) fn lock_hello(shape: Shape) -> LockHello {
    let mut hello = LockHello::new(0x80, Nonce([0x99; 16]));
    if shape == Shape::Full {
        hello.max_version = u8::MAX;
        hello.features = u32::MAX;
        hello.psm = u16::MAX;
    }
    hello
}

pub(crate) fn initiator_hello(shape: Shape) -> InitiatorHello {
    InitiatorHello {
        version: 1,
        features: if shape == Shape::Full { u32::MAX } else { 0 },
        purpose: if shape == Shape::Full {
            Purpose::Pair
        } else {
            Purpose::Session
        },
    }
}

pub(crate) fn command(shape: Shape) -> Command {
    Command {
        lock: LOCK,
        action: if shape == Shape::Full {
            Action::Lock
        } else {
            Action::Unlock
        },
        epoch: EPOCH,
        counter: shape.number(5),
        log_position: shape.number(41),
        expiry_ms: shape.number(95_000),
        grant: shape.also(GRANT_HASH),
    }
}

pub(crate) fn grant(shape: Shape) -> Grant {
    Grant {
        issuer: owner_identity().public(),
        holder: hub_identity().public(),
        holder_link: hub_link().public(),
        lock: LOCK,
        rights: if shape == Shape::Full {
            Rights::ALL
        } else {
            Rights::LOCK.union(Rights::VIEW)
        },
        not_before: shape.also(u64::MAX),
        not_after: shape.also(u64::MAX),
        serial: shape.small(1),
        policy_epoch: shape.small(0),
        ownership: OWNERSHIP,
    }
}

pub(crate) fn claim(shape: Shape) -> Claim {
    Claim {
        lock: LOCK,
        window: Nonce([0x71; 16]),
        device: Nonce([0x72; 16]),
        owner: peer(0x21),
        peer1: Some(peer(0x31)),
        peer2: shape.also(peer(0x35)),
        peer3: shape.also(peer(0x37)),
        time_key: shape.also(audit_identity().public()),
        audit_key: audit_identity().public(),
        made_at: shape.number(1_767_225_600),
    }
}

pub(crate) fn receipt(shape: Shape) -> Receipt {
    Receipt {
        lock: LOCK,
        claim: Digest32([0x81; 32]),
        log_head: LOG_HEAD,
        log_seq: shape.number(2),
    }
}

pub(crate) fn session_info(shape: Shape) -> SessionInfo {
    SessionInfo {
        lock: LOCK,
        boot: shape.small(4),
        epoch: EPOCH,
        time_ms: shape.number(65_000),
        policy_epoch: shape.small(0),
        revoked: shape.also(Digest32([0x82; 32])),
        log_seq: Some(shape.number(41)),
        log_head: Some(LOG_HEAD),
        handshakes: Some(shape.small(2)),
        counter: shape.number(4),
        nonce: shape.also(Nonce([0x73; 16])),
        ownership: Some(OWNERSHIP),
    }
}

pub(crate) fn outcome(shape: Shape) -> Outcome {
    let full = shape == Shape::Full;
    Outcome {
        command: CommandId([0xc1; 16]),
        verdict: if full {
            Verdict::NotSeen
        } else {
            Verdict::Done
        },
        reason: if full {
            Reason::Unsupported
        } else {
            Reason::None
        },
        position: if full {
            Position::Unknown
        } else {
            Position::Unlocked
        },
        duplicate: full,
        info: session_info(shape),
    }
}

pub(crate) fn report(shape: Shape) -> Report {
    let full = shape == Shape::Full;
    Report {
        lock: LOCK,
        boot: shape.small(4),
        time_ms: shape.number(66_000),
        position: if full {
            Position::Jammed
        } else {
            Position::Locked
        },
        door: if full { Door::Unknown } else { Door::Closed },
        tamper: full,
        battery: if full { 100 } else { 87 },
        cause: if full { Cause::Command } else { Cause::ByHand },
        command: shape.also(CommandId([0xc1; 16])),
        log_seq: shape.number(42),
        log_head: LOG_HEAD,
        log_used: if full { 100 } else { 3 },
    }
}

pub(crate) fn audit_ack(shape: Shape) -> AuditAck {
    AuditAck {
        lock: LOCK,
        ownership: OWNERSHIP,
        seq: shape.number(41),
        head: LOG_HEAD,
    }
}

pub(crate) fn log_record(shape: Shape, evidence: &[u8]) -> LogRecord<'_> {
    let full = shape == Shape::Full;
    LogRecord {
        seq: shape.number(1),
        previous: if full { LOG_HEAD } else { Digest32::ZERO },
        boot: shape.small(1),
        time_ms: shape.number(12),
        event: if full {
            LogEvent::Freed
        } else {
            LogEvent::Boot
        },
        cause: if full { Cause::Sensor } else { Cause::Boot },
        actor: shape.also(owner_identity().public()),
        grant: shape.also(GRANT_HASH),
        command: shape.also(CommandId([0xc1; 16])),
        reason: shape.also(Reason::Unsupported),
        position: Some(Position::Locked),
        count: shape.also(u64::MAX),
        evidence: shape.also(evidence),
    }
}

/// The bytes that `write` puts at the start of a buffer as large as anything gets.
pub(crate) fn bytes<E: std::fmt::Debug>(
    write: impl FnOnce(&mut [u8]) -> Result<&[u8], E>,
) -> Vec<u8> {
    let mut out = [0; 2 * MAX_STATEMENT];
    write(&mut out).expect("fits").to_vec()
}

pub(crate) fn prologue(lock_hello: &[u8], initiator_hello: &[u8]) -> Prologue {
    assert!(lock_hello.len() <= MAX_HELLO && initiator_hello.len() <= MAX_HELLO);
    Prologue::new(LOCK, lock_hello, initiator_hello).expect("hellos within their bound")
}

/// A handshake from fixed keys, and both ends of its session.
#[derive(Debug)]
pub(crate) struct Shaken {
    pub(crate) lock_hello: Vec<u8>,
    pub(crate) initiator_hello: Vec<u8>,
    pub(crate) message1: [u8; MESSAGE_1],
    pub(crate) message2: [u8; MESSAGE_2],
    pub(crate) hub: Session,
    pub(crate) lock: Session,
}

impl Shaken {
    pub(crate) fn prologue(&self) -> Prologue {
        prologue(&self.lock_hello, &self.initiator_hello)
    }
}

/// Message 1 from fixed keys.
pub(crate) fn start(prologue: &Prologue) -> (Initiator, [u8; MESSAGE_1]) {
    Initiator::start(
        prologue,
        &hub_link(),
        &lock_link().public(),
        &psk(),
        &LinkSecret::from_bytes([0x34; 32]),
    )
    .expect("message 1")
}

/// The lock's end of it.
pub(crate) fn read(
    prologue: &Prologue,
    message1: &[u8],
) -> Result<Responder, drawbridge_protocol::noise::HandshakeError> {
    let ephemeral = LinkSecret::from_bytes([0x14; 32]);
    Responder::read(prologue, &lock_link(), &ephemeral, message1)
}

pub(crate) fn shake() -> Shaken {
    let lock_hello = bytes(|out| lock_hello(Shape::Plain).encode(out));
    let initiator_hello = bytes(|out| initiator_hello(Shape::Plain).encode(out));
    let prologue = prologue(&lock_hello, &initiator_hello);
    let (initiator, message1) = start(&prologue);
    let responder = read(&prologue, &message1).expect("read message 1");
    assert_eq!(responder.peer, hub_link().public());
    assert_eq!(responder.generation, psk().generation);
    let mut message2 = [0; MESSAGE_2];
    let lock = responder
        .finish(&psk().psk, label(1), label(2), &mut message2)
        .expect("message 2");
    let hub = initiator.finish(&message2).expect("a session");
    Shaken {
        lock_hello,
        initiator_hello,
        message1,
        message2,
        hub,
        lock,
    }
}
