//! S23 and S01: secrets show neither in a journal nor on the air.
//!
//! Guards: a `{:?}` in a trace that prints a key, and 12 of 16 locks at DEF CON 24, which sent
//! their passwords in clear.

use drawbridge_protocol::cose::Kind;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret, Psk};
use drawbridge_protocol::psk::{PskGeneration, PskRing};
use drawbridge_protocol::session::Session;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub};

use crate::examples;
use crate::fixture::{self, Shape, bytes};
use crate::lane::{Dice, Rounds};
use drawbridge_protocol::entropy::Entropy;

/// A secret that is easy to recognise however it is printed.
const CANARY: [u8; 32] = [0xd7; 32];

/// Whether `printed` shows a byte of a canary as hexadecimal or decimal digits.
fn shows_the_canary(printed: &str) -> bool {
    [
        "d7d7", "D7D7", "d7, d7", "D7, D7", "0xd7", "0xD7", "215, 215", "215,",
    ]
    .iter()
    .any(|digits| printed.contains(digits))
}

#[test]
fn the_search_for_canaries_finds_one() {
    assert!(shows_the_canary(&format!("{CANARY:?}")));
    assert!(shows_the_canary(&format!("{CANARY:#?}")));
    assert!(shows_the_canary(&format!("{CANARY:02x?}")));
    assert!(shows_the_canary(&format!(
        "{:?}",
        drawbridge_protocol::ids::Digest32(CANARY)
    )));
}

#[test]
fn s23_no_debug_output_shows_a_secret() {
    let mut secret_code = fixture::code();
    secret_code.secret = drawbridge_protocol::secret::SetupSecret::new([0xd7; 16]);
    let generation = || PskGeneration {
        generation: 1,
        psk: Psk::new(CANARY),
    };
    let mut ring = PskRing::pairing(Psk::new(CANARY));
    ring.advance(generation());
    let mut ticket = fixture::code().ticket();
    ticket.pair_psk = Psk::new(CANARY);
    ticket.beacon_key = drawbridge_protocol::secret::BeaconKey::new([0xd7; 16]);
    let session = Session::new(
        drawbridge_protocol::session::Role::Lock,
        Psk::new(CANARY),
        Psk::new(CANARY),
        fixture::label(1),
        fixture::label(2),
    );
    let mut keys = fixture::code().keys();
    keys.pair_psk = Psk::new(CANARY);
    keys.claim_key = Psk::new(CANARY);
    let prologue = fixture::shake().prologue();
    let (initiator, message1) = fixture::start(&prologue);
    let responder = fixture::read(&prologue, &message1).unwrap();
    let printed = [
        format!(
            "{:?} {:#?}",
            IdentitySecret::from_bytes(&CANARY),
            IdentitySecret::from_bytes(&CANARY)
        ),
        format!(
            "{:?} {:#?}",
            LinkSecret::from_bytes(CANARY),
            LinkSecret::from_bytes(CANARY)
        ),
        format!("{:?} {:#?}", Psk::new(CANARY), Psk::new(CANARY)),
        format!("{secret_code:?} {secret_code:#?}"),
        format!("{ring:?} {ring:#?}"),
        format!("{ticket:?} {ticket:#?}"),
        format!("{session:?} {session:#?}"),
        format!("{keys:?} {keys:#?}"),
        format!("{initiator:?} {responder:?}"),
        format!("{:?}", LockToHub::PskOffer { next: generation() }),
    ];
    for text in printed {
        assert!(!shows_the_canary(&text), "{text}");
    }
}

#[test]
fn s23_no_debug_output_shows_the_passkey() {
    let keys = fixture::code().keys();
    let ticket = fixture::code().ticket();
    assert_eq!(keys.passkey, ticket.passkey);
    assert!(keys.passkey > 9_999, "long enough to be recognised");
    for text in [
        format!("{keys:?}"),
        format!("{ticket:?}"),
        format!("{ticket:#?}"),
    ] {
        assert!(!text.contains(&keys.passkey.to_string()), "{text}");
    }
}

/// The share of bits in which two equally long byte strings differ, in percent.
fn distance(one: &[u8], other: &[u8]) -> u32 {
    assert_eq!(one.len(), other.len());
    let bits: u32 = one
        .iter()
        .zip(other)
        .map(|(a, b)| (a ^ b).count_ones())
        .sum();
    bits * 100 / (one.len() as u32 * 8)
}

#[test]
fn s01_two_equal_commands_give_unrelated_bytes() {
    // Equal plaintexts in one session, across links and across sessions; a relay learns the length.
    let rounds = Rounds::of("s01 equal commands", 200, 5_000);
    let command = examples::statement(Kind::Command, Shape::Plain);
    let text = bytes(|out| {
        HubToLock::Command {
            statement: &command,
        }
        .encode(out)
    });
    let mut hub = fixture::shake().hub;
    let mut lock = fixture::shake().lock;
    let mut dice = Dice::new("s01");
    let mut before = bytes(|out| hub.seal(&text, out));
    let mut same_header = 0;
    for round in 0..rounds.run {
        let moves = round % 7 == 6;
        if moves {
            let label = drawbridge_protocol::session::Label::generate(&mut dice);
            lock.offer_next(label);
            hub.store_next(label);
            assert!(hub.resume());
        }
        let record = bytes(|out| hub.seal(&text, out));
        let apart = distance(&record[16..], &before[16..]);
        assert!((40..=60).contains(&apart), "{apart} % of the bits differ");
        same_header += u64::from(record[..8] == before[..8]);
        if moves {
            assert_ne!(record[..8], before[..8], "the id follows the lock");
        }
        before = record;
    }
    assert!(same_header < rounds.run);
}

#[test]
fn s01_two_sessions_with_the_same_peer_share_no_bytes() {
    let shaken = fixture::shake();
    let prologue = shaken.prologue();
    let (initiator, other1) = drawbridge_protocol::noise::initiator::Initiator::start(
        &prologue,
        &fixture::hub_link(),
        &fixture::lock_link().public(),
        &fixture::psk(),
        &LinkSecret::from_bytes([0x35; 32]),
    )
    .unwrap();
    let responder = drawbridge_protocol::noise::responder::Responder::read(
        &prologue,
        &fixture::lock_link(),
        &LinkSecret::from_bytes([0x15; 32]),
        &other1,
    )
    .unwrap();
    let mut other2 = [0; 96];
    responder
        .finish(
            &fixture::psk().psk,
            fixture::label(1),
            fixture::label(2),
            &mut other2,
        )
        .unwrap();
    let mut hub = shaken.hub;
    let mut other_hub = initiator.finish(&other2).unwrap();
    let record = bytes(|out| hub.seal(&[0; 200], out));
    let other = bytes(|out| other_hub.seal(&[0; 200], out));
    assert_eq!(
        record[..8],
        other[..8],
        "the labels are the same in this test"
    );
    for (one, other) in [
        (&shaken.message1[..], &other1[..]),
        (&shaken.message2[..], &other2[..]),
        (&record[16..], &other[16..]),
    ] {
        let apart = distance(one, other);
        assert!((38..=62).contains(&apart), "{apart} % of the bits differ");
    }
}

#[test]
fn s01_a_captured_session_shows_no_credential_action_id_or_key() {
    let shaken = fixture::shake();
    let (mut hub, mut lock) = (shaken.hub, shaken.lock);
    let mut captured = Vec::new();
    let mut capture = |name: &str, bytes: &[u8]| captured.push((name.to_owned(), bytes.to_vec()));
    capture("lock hello", &shaken.lock_hello);
    capture("initiator hello", &shaken.initiator_hello);
    capture("message 1", &shaken.message1);
    capture("message 2", &shaken.message2);
    let mut secrets: Vec<(String, Vec<u8>)> = vec![
        ("psk".into(), fixture::psk().psk.danger_as_bytes().to_vec()),
        (
            "hub's link key".into(),
            fixture::hub_link().public().0.to_vec(),
        ),
        (
            "lock's link key".into(),
            fixture::lock_link().public().0.to_vec(),
        ),
        (
            "hub's identity".into(),
            fixture::hub_identity().public().0.to_vec(),
        ),
        (
            "lock's identity".into(),
            fixture::lock_identity().public().0.to_vec(),
        ),
        ("lock id".into(), fixture::LOCK.0.to_vec()),
        ("epoch".into(), fixture::EPOCH.0.to_vec()),
        ("next label".into(), fixture::label(2).id.to_vec()),
    ];
    for example in examples::hub_to_lock(Shape::Plain) {
        capture(example.name, &bytes(|out| hub.seal(&example.bytes, out)));
        secrets.push((example.name.into(), example.bytes));
    }
    for example in examples::lock_to_hub(Shape::Plain) {
        capture(example.name, &bytes(|out| lock.seal(&example.bytes, out)));
        secrets.push((example.name.into(), example.bytes));
    }
    for (name, secret) in &secrets {
        let window = secret.len().min(8);
        if window < 4 {
            continue; // three bytes occur by chance
        }
        for (message, bytes) in &captured {
            for part in secret.chunks_exact(window) {
                if part.iter().all(|byte| *byte == 0) {
                    continue; // a record's number may be zero, and a hash before the first is
                }
                assert!(
                    !bytes.windows(window).any(|seen| seen == part),
                    "{name} shows in {message}"
                );
            }
        }
    }
    assert!(captured.len() > 20 && secrets.len() > 25);
}

#[test]
fn s03_a_hundred_locks_share_no_derived_key() {
    // Guards: KeyWe, TTLock and Chirp, whose keys followed from the address or were the same.
    let mut dice = Dice::new("s03");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let secret = drawbridge_protocol::secret::SetupSecret::generate(&mut dice);
        let lock = drawbridge_protocol::ids::LockId(dice.bytes());
        let keys = drawbridge_protocol::secret::SetupKeys::derive(lock, &secret);
        assert!(keys.passkey < 1_000_000);
        assert!(seen.insert(keys.pair_psk.danger_as_bytes().to_vec()));
        assert!(seen.insert(keys.claim_key.danger_as_bytes().to_vec()));
        assert!(seen.insert(keys.beacon_key.danger_as_bytes().to_vec()));
        // The same secret in another lock gives other keys: the id is salt, not key.
        let other = drawbridge_protocol::ids::LockId(dice.bytes());
        let twin = drawbridge_protocol::secret::SetupKeys::derive(other, &secret);
        assert!(seen.insert(twin.pair_psk.danger_as_bytes().to_vec()));
    }
    assert_eq!(seen.len(), 400);
}

#[test]
fn a_ticket_holds_neither_the_setup_secret_nor_the_claim_key() {
    let code = fixture::code();
    let ticket = bytes(|out| code.ticket().encode(out));
    for secret in [
        &code.secret.danger_as_bytes()[..],
        &code.keys().claim_key.danger_as_bytes()[..],
    ] {
        assert!(!ticket.windows(secret.len()).any(|window| window == secret));
    }
}
