//! Every structure on the wire as bytes from fixed values, each with the way back.

use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::claim::Claim;
use drawbridge_protocol::command::Command;
use drawbridge_protocol::cose::Kind;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::frame::{Fragmenter, MIN_PACKET, Reassembler};
use drawbridge_protocol::grant::Grant;
use drawbridge_protocol::hello::{InitiatorHello, LockHello};
use drawbridge_protocol::ids::{CommandId, Digest32, Nonce};
use drawbridge_protocol::link_message::LinkMessage;
use drawbridge_protocol::log_record::LogRecord;
use drawbridge_protocol::outcome::Outcome;
use drawbridge_protocol::psk::{PskGeneration, PskRing};
use drawbridge_protocol::qr::QrCode;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::receipt::Receipt;
use drawbridge_protocol::report::Report;
use drawbridge_protocol::session::Label;
use drawbridge_protocol::session_info::SessionInfo;
use drawbridge_protocol::ticket::PairingTicket;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub};

use crate::fixture::{self, Shape, bytes};

/// Whether bytes read back as the value that they were made from.
type Reads = Box<dyn Fn(&[u8]) -> bool>;

/// One structure.
pub(crate) struct Example {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    reads: Reads,
}

impl Example {
    fn new(name: &'static str, bytes: Vec<u8>, reads: impl Fn(&[u8]) -> bool + 'static) -> Self {
        Self {
            name,
            bytes,
            reads: Box::new(reads),
        }
    }

    /// Whether `bytes` read back as the value that this example was made from.
    pub(crate) fn is_read_from(&self, bytes: &[u8]) -> bool {
        (self.reads)(bytes)
    }
}

/// All examples of one shape.
pub(crate) fn all(shape: Shape) -> Vec<Example> {
    let mut all = statements(shape);
    all.extend(hub_to_lock(shape));
    all.extend(lock_to_hub(shape));
    all.extend(link(shape));
    all.extend(on_paper());
    all.extend(log(shape));
    all
}

/// The signed statement of each kind.
pub(crate) fn statement(kind: Kind, shape: Shape) -> Vec<u8> {
    let lock = fixture::lock_identity();
    match kind {
        Kind::Command => bytes(|out| fixture::command(shape).sign(&fixture::owner_identity(), out)),
        Kind::Grant => bytes(|out| fixture::grant(shape).sign(&fixture::owner_identity(), out)),
        Kind::Claim => bytes(|out| fixture::claim(shape).seal(&fixture::claim_key(), out)),
        Kind::Receipt => bytes(|out| fixture::receipt(shape).sign(&lock, out)),
        Kind::SessionInfo => bytes(|out| fixture::session_info(shape).sign(&lock, out)),
        Kind::Outcome => bytes(|out| fixture::outcome(shape).sign(&lock, out)),
        Kind::Report => bytes(|out| fixture::report(shape).sign(&lock, out)),
        Kind::AuditAck => {
            bytes(|out| fixture::audit_ack(shape).sign(&fixture::audit_identity(), out))
        }
        other => panic!("{other:?} has no example: add one here and to PROTOCOL.md"),
    }
}

/// Whether `bytes` are an authentic statement of `kind` that says what the fixture says.
pub(crate) fn verifies(kind: Kind, shape: Shape, bytes: &[u8]) -> bool {
    let lock = fixture::lock_identity().public();
    let owner = fixture::owner_identity().public();
    match kind {
        Kind::Command => Command::read(bytes).is_ok_and(|read| {
            read.verify(&owner).is_ok() && read.command == fixture::command(shape)
        }),
        Kind::Grant => Grant::verify(bytes).is_ok_and(|verified| {
            verified.grant == fixture::grant(shape) && verified.hash == Digest32::of(bytes)
        }),
        Kind::Claim => Claim::verify(bytes, &fixture::claim_key()) == Ok(fixture::claim(shape)),
        Kind::Receipt => Receipt::verify(bytes, &lock) == Ok(fixture::receipt(shape)),
        Kind::SessionInfo => SessionInfo::verify(bytes, &lock) == Ok(fixture::session_info(shape)),
        Kind::Outcome => Outcome::verify(bytes, &lock) == Ok(fixture::outcome(shape)),
        Kind::Report => Report::verify(bytes, &lock) == Ok(fixture::report(shape)),
        Kind::AuditAck => {
            AuditAck::verify(bytes, &fixture::audit_identity().public())
                == Ok(fixture::audit_ack(shape))
        }
        other => panic!("{other:?} has no verifier here"),
    }
}

/// The name of the example of a kind; the same in `PROTOCOL.md`.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Command => "statement.command",
        Kind::Grant => "statement.grant",
        Kind::Claim => "statement.claim",
        Kind::Receipt => "statement.receipt",
        Kind::SessionInfo => "statement.session_info",
        Kind::Outcome => "statement.outcome",
        Kind::Report => "statement.report",
        Kind::AuditAck => "statement.audit_ack",
        other => panic!("{other:?} has no example: add one here and to PROTOCOL.md"),
    }
}

fn statements(shape: Shape) -> Vec<Example> {
    Kind::ALL
        .into_iter()
        .map(|kind| {
            Example::new(kind_name(kind), statement(kind, shape), move |bytes| {
                verifies(kind, shape, bytes)
            })
        })
        .collect()
}

/// Bytes that live as long as the test: messages borrow them.
fn kept(kind: Kind, shape: Shape) -> &'static [u8] {
    Box::leak(statement(kind, shape).into_boxed_slice())
}

/// Every message from a peer to the lock.
pub(crate) fn hub_to_lock(shape: Shape) -> Vec<Example> {
    let full = shape == Shape::Full;
    let messages = [
        (
            "hub_to_lock.session_info_request",
            HubToLock::SessionInfoRequest {
                nonce: Nonce([0x73; 16]),
                holder: full.then(|| fixture::hub_identity().public()),
            },
        ),
        (
            "hub_to_lock.command",
            HubToLock::Command {
                statement: kept(Kind::Command, shape),
            },
        ),
        (
            "hub_to_lock.query",
            HubToLock::Query {
                statement: kept(Kind::Command, shape),
            },
        ),
        (
            "hub_to_lock.present_grant",
            HubToLock::PresentGrant {
                statement: kept(Kind::Grant, shape),
            },
        ),
        (
            "hub_to_lock.log_pull",
            HubToLock::LogPull {
                from: if full { u64::MAX } else { 42 },
            },
        ),
        (
            "hub_to_lock.audit_ack",
            HubToLock::AuditAck {
                statement: kept(Kind::AuditAck, shape),
            },
        ),
        ("hub_to_lock.pair_info_request", HubToLock::PairInfoRequest),
        (
            "hub_to_lock.claim",
            HubToLock::Claim {
                statement: kept(Kind::Claim, shape),
            },
        ),
        (
            "hub_to_lock.psk_stored",
            HubToLock::PskStored {
                generation: if full { u32::MAX } else { 4 },
            },
        ),
        ("hub_to_lock.report_request", HubToLock::ReportRequest),
    ];
    messages
        .into_iter()
        .map(|(name, message)| {
            let encoded = bytes(|out| message.encode(out));
            Example::new(name, encoded, move |bytes| {
                HubToLock::decode(bytes).as_ref() == Ok(&message)
            })
        })
        .collect()
}

/// Every message from the lock to a peer.
pub(crate) fn lock_to_hub(shape: Shape) -> Vec<Example> {
    let full = shape == Shape::Full;
    let records: &'static [u8] = if full { &[] } else { batch() };
    let messages = [
        (
            "lock_to_hub.session_info",
            LockToHub::SessionInfo {
                statement: kept(Kind::SessionInfo, shape),
            },
        ),
        (
            "lock_to_hub.outcome",
            LockToHub::Outcome {
                command: CommandId([0xc1; 16]),
                statement: kept(Kind::Outcome, shape),
            },
        ),
        (
            "lock_to_hub.grant_accepted",
            LockToHub::GrantAccepted {
                hash: fixture::GRANT_HASH,
            },
        ),
        (
            "lock_to_hub.log_batch",
            LockToHub::LogBatch {
                first: 1,
                newest: if full { u64::MAX } else { 2 },
                records,
            },
        ),
        (
            "lock_to_hub.pair_info",
            LockToHub::PairInfo {
                window: Nonce([0x71; 16]),
                owned: full,
                policy_epoch: if full { u32::MAX } else { 0 },
            },
        ),
        (
            "lock_to_hub.receipt",
            LockToHub::Receipt {
                statement: kept(Kind::Receipt, shape),
            },
        ),
        (
            "lock_to_hub.psk_offer",
            LockToHub::PskOffer {
                next: PskGeneration {
                    generation: if full { u32::MAX } else { 4 },
                    psk: fixture::psk().psk,
                },
            },
        ),
        (
            "lock_to_hub.next_label",
            LockToHub::NextLabel {
                label: Box::leak(Box::new(fixture::label(2).to_bytes())),
            },
        ),
        (
            "lock_to_hub.report",
            LockToHub::Report {
                statement: kept(Kind::Report, shape),
            },
        ),
        (
            "lock_to_hub.refused",
            LockToHub::Refused {
                request: if full { 8 } else { 4 },
                reason: if full {
                    Reason::Unsupported
                } else {
                    Reason::Revoked
                },
            },
        ),
        (
            "lock_to_hub.freed",
            LockToHub::Freed {
                up_to: if full { u64::MAX } else { 41 },
            },
        ),
    ];
    messages
        .into_iter()
        .map(|(name, message)| {
            let encoded = bytes(|out| message.encode(out));
            Example::new(name, encoded, move |bytes| {
                LockToHub::decode(bytes).as_ref() == Ok(&message)
            })
        })
        .collect()
}

/// Two records, each after its length.
fn batch() -> &'static [u8] {
    let mut all = Vec::new();
    for record in chain() {
        all.extend((record.len() as u16).to_be_bytes());
        all.extend(record);
    }
    Box::leak(all.into_boxed_slice())
}

/// The first two records of a lock's life.
pub(crate) fn chain() -> [Vec<u8>; 2] {
    let first = fixture::log_record(Shape::Plain, &[]);
    let first_bytes = bytes(|out| first.encode(out));
    let second = LogRecord {
        seq: 2,
        previous: Digest32::of(&first_bytes),
        time_ms: 9_000,
        ..first
    };
    let second_bytes = bytes(|out| second.encode(out));
    [first_bytes, second_bytes]
}

fn log(shape: Shape) -> Vec<Example> {
    let evidence: &'static [u8] = kept(Kind::Command, Shape::Full);
    let record = fixture::log_record(shape, evidence);
    let mut all = vec![Example::new(
        "log_record",
        bytes(|out| record.encode(out)),
        move |bytes| LogRecord::decode(bytes).as_ref() == Ok(&record),
    )];
    if shape == Shape::Plain {
        let [first, second] = chain();
        let head = Digest32::of(&first);
        all.push(Example::new("log_record.second", second, move |bytes| {
            LogRecord::decode(bytes).is_ok_and(|record| record.seq == 2 && record.previous == head)
        }));
    }
    all
}

fn link_message(name: &'static str, message: &LinkMessage<'static>) -> Example {
    let message = *message;
    Example::new(name, bytes(|out| message.encode(out)), move |bytes| {
        LinkMessage::decode(bytes) == Ok(message)
    })
}

fn leak(bytes: &[u8]) -> &'static [u8] {
    Box::leak(bytes.to_vec().into_boxed_slice())
}

/// Hellos, handshake, records, fragments, labels and keys in rings.
fn link(shape: Shape) -> Vec<Example> {
    let shaken = fixture::shake();
    let (mut hub, mut lock) = (shaken.hub, shaken.lock);
    let request = bytes(|out| HubToLock::ReportRequest.encode(out));
    let freed = bytes(|out| LockToHub::Freed { up_to: 41 }.encode(out));
    if shape == Shape::Full {
        assert!(hub.resume(), "the second link of the same session");
    }
    let to_lock = bytes(|out| hub.seal(&request, out));
    let mut plain = [0; 64];
    assert_eq!(lock.open(&to_lock, &mut plain).unwrap().plaintext, request);
    let to_peer = bytes(|out| lock.seal(&freed, out));
    let second = bytes(|out| hub.seal(&request, out));

    let lock_hello = fixture::lock_hello(shape);
    let initiator_hello = fixture::initiator_hello(shape);
    let lock_hello_bytes = bytes(|out| lock_hello.encode(out));
    let initiator_hello_bytes = bytes(|out| initiator_hello.encode(out));
    let prologue = fixture::prologue(&lock_hello_bytes, &initiator_hello_bytes);
    let label = fixture::label(if shape == Shape::Full { 2 } else { 1 });
    let ring = ring(shape);
    let record = LinkMessage::Record(leak(&to_lock));
    let mut all = vec![
        Example::new("hello.lock", lock_hello_bytes, move |bytes| {
            LockHello::decode(bytes) == Ok(lock_hello)
        }),
        Example::new("hello.initiator", initiator_hello_bytes, move |bytes| {
            InitiatorHello::decode(bytes) == Ok(initiator_hello)
        }),
        Example::new("prologue", prologue.as_bytes().to_vec(), move |bytes| {
            bytes == prologue.as_bytes()
        }),
        Example::new("label", label.to_bytes().to_vec(), move |bytes| {
            Label::from_bytes(bytes) == Some(label)
        }),
        Example::new("psk_ring", encoded(&ring), move |bytes| {
            drawbridge_protocol::codec::decode_exact::<PskRing>(bytes).as_ref() == Ok(&ring)
        }),
        link_message(
            "link.lock_hello",
            &LinkMessage::LockHello(leak(&shaken.lock_hello)),
        ),
        link_message(
            "link.initiator_hello",
            &LinkMessage::InitiatorHello(leak(&shaken.initiator_hello)),
        ),
        link_message(
            "link.handshake_1",
            &LinkMessage::Handshake1(leak(&shaken.message1)),
        ),
        link_message(
            "link.handshake_2",
            &LinkMessage::Handshake2(leak(&shaken.message2)),
        ),
        link_message("link.record", &record),
        link_message("link.denied", &LinkMessage::Denied),
        record_example("record.to_lock", to_lock, shape, request.clone()),
        record_example("record.to_lock.second", second, shape, request),
        Example::new("record.to_peer", to_peer, move |bytes| {
            let mut hub = fixture::shake().hub;
            if shape == Shape::Full {
                hub.resume();
            }
            let mut plain = [0; 64];
            hub.open(bytes, &mut plain)
                .is_ok_and(|opened| opened.plaintext == freed)
        }),
    ];
    all.extend(fragments(&fixture::shake().lock_hello));
    all
}

fn record_example(name: &'static str, record: Vec<u8>, shape: Shape, says: Vec<u8>) -> Example {
    Example::new(name, record, move |bytes| {
        let mut plain = [0; 64];
        fixture::shake()
            .lock
            .open(bytes, &mut plain)
            .is_ok_and(|opened| opened.plaintext == says && opened.moved == (shape == Shape::Full))
    })
}

fn ring(shape: Shape) -> PskRing {
    let mut ring = PskRing::pairing(fixture::code().keys().pair_psk);
    if shape == Shape::Full {
        let next = PskGeneration {
            generation: 1,
            psk: fixture::psk().psk,
        };
        assert!(ring.advance(next));
    }
    ring
}

fn encoded(ring: &PskRing) -> Vec<u8> {
    bytes(|out| drawbridge_protocol::codec::encode(ring, out))
}

/// The lock's hello as a link message in packets of the smallest size.
fn fragments(lock_hello: &[u8]) -> Vec<Example> {
    let message = bytes(|out| LinkMessage::LockHello(lock_hello).encode(out));
    let mut pieces = Vec::new();
    Fragmenter::new()
        .cut(&message, &mut [0; MIN_PACKET], MIN_PACKET, |piece| {
            pieces.push(piece.to_vec());
        })
        .unwrap();
    let [first, second] = pieces.try_into().expect("two fragments");
    let before = first.clone();
    vec![
        Example::new("fragment.first", first, |bytes| {
            Reassembler::new().push(bytes) == Ok(None)
        }),
        Example::new("fragment.last", second, move |bytes| {
            let mut reassembler = Reassembler::new();
            reassembler.push(&before).unwrap();
            reassembler.push(bytes) == Ok(Some(&message))
        }),
    ]
}

/// The nonce of a beacon, always the same.
struct Fixed;

impl Entropy for Fixed {
    fn fill(&mut self, into: &mut [u8]) {
        into.fill(0xbe);
    }
}

/// What is printed on the lock, and what follows from it.
fn on_paper() -> Vec<Example> {
    let code = fixture::code();
    let keys = code.keys();
    let text = bytes(|out| code.to_text(out).map(str::as_bytes));
    let ticket = code.ticket();
    let beacon = Beacon::generate(&keys.beacon_key, &mut Fixed);
    let same = |expected: Vec<u8>| move |bytes: &[u8]| bytes == expected;
    let derived = [
        ("secret.pair_psk", keys.pair_psk.danger_as_bytes().to_vec()),
        ("secret.passkey", keys.passkey.to_be_bytes().to_vec()),
        (
            "secret.claim_key",
            keys.claim_key.danger_as_bytes().to_vec(),
        ),
        (
            "secret.beacon_key",
            keys.beacon_key.danger_as_bytes().to_vec(),
        ),
    ];
    let mut all: Vec<_> = derived
        .into_iter()
        .map(|(name, bytes)| Example::new(name, bytes.clone(), same(bytes)))
        .collect();
    all.push(Example::new("qr", text, move |bytes| {
        let text = std::str::from_utf8(bytes).expect("text");
        QrCode::from_text(text).as_ref() == Ok(&code)
    }));
    all.push(Example::new(
        "ticket",
        bytes(|out| ticket.encode(out)),
        move |bytes| PairingTicket::decode(bytes).as_ref() == Ok(&ticket),
    ));
    all.push(Example::new("beacon", beacon.0.to_vec(), move |bytes| {
        bytes
            .try_into()
            .map(Beacon)
            .is_ok_and(|read| read == beacon && read.is_from(&keys.beacon_key))
    }));
    all
}
