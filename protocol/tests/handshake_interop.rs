//! snow on the hub and clatter on the lock agree, and fail where they must.
//!
//! Guards: two implementations of Noise that each pass their own tests and still differ (psk
//! placement, prologue hashing, nonce layout).
#![cfg(all(feature = "initiator", feature = "responder"))]

use drawbridge_protocol::hello::{InitiatorHello, LockHello, Prologue, Purpose};
use drawbridge_protocol::ids::{LockId, Nonce};
use drawbridge_protocol::keys::{LinkKey, LinkSecret, Psk};
use drawbridge_protocol::noise::HandshakeError;
use drawbridge_protocol::noise::initiator::Initiator;
use drawbridge_protocol::noise::responder::Responder;
use drawbridge_protocol::psk::PskGeneration;
use drawbridge_protocol::session::{Label, Session, SessionError};

const LOCK: LockId = LockId(*b"lock-one");

fn label(id: u8) -> Label {
    Label {
        id: [id; 8],
        to_lock: u64::MAX - 1,
        to_peer: 7,
    }
}

fn prologue(features: u32) -> Prologue {
    let mut hello = [0; 48];
    let mut initiator = [0; 48];
    let hello = LockHello::new(0x80, Nonce([9; 16]))
        .encode(&mut hello)
        .unwrap();
    let initiator = InitiatorHello {
        version: 1,
        features,
        purpose: Purpose::Session,
    }
    .encode(&mut initiator)
    .unwrap();
    Prologue::new(LOCK, hello, initiator).unwrap()
}

fn psk(byte: u8) -> PskGeneration {
    PskGeneration {
        generation: 3,
        psk: Psk::new([byte; 32]),
    }
}

/// Runs a handshake in which the two sides may disagree.
fn shake(
    hub: &Prologue,
    lock: &Prologue,
    hub_psk: u8,
) -> Result<(Session, Session), HandshakeError> {
    let lock_secret = LinkSecret::from_bytes([1; 32]);
    let hub_secret = LinkSecret::from_bytes([2; 32]);
    let (initiator, message1) = Initiator::start(
        hub,
        &hub_secret,
        &lock_secret.public(),
        &psk(hub_psk),
        &LinkSecret::from_bytes([3; 32]),
    )?;
    let responder = Responder::read(
        lock,
        &lock_secret,
        &LinkSecret::from_bytes([4; 32]),
        &message1,
    )?;
    assert_eq!(responder.peer, hub_secret.public());
    assert_eq!(responder.generation, 3);
    let mut message2 = [0; 96];
    let lock_side = responder.finish(&Psk::new([5; 32]), label(1), label(2), &mut message2)?;
    Ok((initiator.finish(&message2)?, lock_side))
}

#[test]
fn snow_and_clatter_make_the_same_session() {
    let (mut hub, mut lock) = shake(&prologue(0), &prologue(0), 5).unwrap();
    let (mut record, mut plain) = ([0; 200], [0; 200]);
    for round in 0..3_u8 {
        let sealed = hub.seal(&[round; 40], &mut record).unwrap();
        assert_eq!(
            lock.open(sealed, &mut plain).unwrap().plaintext,
            [round; 40]
        );
        let sealed = lock.seal(&[round; 9], &mut record).unwrap();
        assert_eq!(hub.open(sealed, &mut plain).unwrap().plaintext, [round; 9]);
    }
}

#[test]
fn another_prologue_fails_at_the_first_tag() {
    assert_eq!(
        shake(&prologue(0), &prologue(1), 5).unwrap_err(),
        HandshakeError::NotAuthentic
    );
}

#[test]
fn the_initiator_notices_another_psk() {
    assert_eq!(
        shake(&prologue(0), &prologue(0), 6).unwrap_err(),
        HandshakeError::NotAuthentic
    );
}

#[test]
fn a_low_order_lock_key_is_refused_by_both_sides() {
    let secret = LinkSecret::from_bytes([2; 32]);
    let refused = Initiator::start(
        &prologue(0),
        &secret,
        &LinkKey([0; 32]),
        &psk(5),
        &LinkSecret::from_bytes([3; 32]),
    );
    assert_eq!(refused.unwrap_err(), HandshakeError::WeakKey);
    assert!(LinkKey([0; 32]).check().is_err());
    let mut message1 = [0; 100];
    message1[0] = 1;
    let refused = Responder::read(
        &prologue(0),
        &secret,
        &LinkSecret::from_bytes([4; 32]),
        &message1,
    );
    assert_eq!(refused.unwrap_err(), HandshakeError::WeakKey);
}

#[test]
fn a_session_moves_to_its_next_label_and_replays_are_refused() {
    let (mut hub, mut lock) = shake(&prologue(0), &prologue(0), 5).unwrap();
    let (mut record, mut plain) = ([0; 200], [0; 200]);
    let old = hub.seal(b"before", &mut record).unwrap().to_vec();
    assert!(!lock.open(&old, &mut plain).unwrap().moved);
    assert_eq!(
        lock.open(&old, &mut plain).unwrap_err(),
        SessionError::Replayed
    );

    assert!(hub.resume());
    let first = hub.seal(b"after", &mut record).unwrap().to_vec();
    assert_eq!(first[..8], [2; 8]);
    let opened = lock.open(&first, &mut plain).unwrap();
    assert!(opened.moved && opened.plaintext == b"after");
    assert_eq!(
        lock.open(&old, &mut plain).unwrap_err(),
        SessionError::NotMine
    );
    assert!(!hub.resume(), "a label serves one link only");

    let handed = lock.offer_next(label(3));
    hub.store_next(Label::from_bytes(&handed).unwrap());
    assert!(hub.resume());
}
