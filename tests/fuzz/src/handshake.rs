//! Handshake messages, in both roles.
//!
//! The first byte chooses: message 1 as it comes, message 1 damaged, message 2 damaged, or two ends
//! that may disagree about keys, generation and hellos.

use drawbridge_protocol::hello::{InitiatorHello, LockHello, Purpose};
use drawbridge_protocol::hello::{MAX_HELLO, Prologue};
use drawbridge_protocol::ids::Nonce;
use drawbridge_protocol::keys::{LinkSecret, Psk};
use drawbridge_protocol::noise::initiator::Initiator;
use drawbridge_protocol::noise::responder::Responder;
use drawbridge_protocol::noise::{HandshakeError, MESSAGE_1, MESSAGE_2};
use drawbridge_protocol::psk::PskGeneration;
use drawbridge_protocol::session::{Label, Session};

use crate::input::{Input, damage};
use crate::parties;

/// No message but the one that the other end made is ever taken, and two ends make a session exactly
/// when they agree about everything.
///
/// # Panics
/// When that does not hold.
pub fn handshake(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => {
            let prologue = hellos();
            let read = respond(&prologue, input.rest());
            assert!(read.is_err() || data[1..] == start(&prologue).1);
        }
        1 => {
            let prologue = hellos();
            let mut message = start(&prologue).1.to_vec();
            let changed = damage(&mut message, &mut input);
            let read = respond(&prologue, &message);
            assert_eq!(read.is_err(), changed);
            let length = matches!(read, Err(HandshakeError::Length));
            assert_eq!(length, message.len() != MESSAGE_1);
        }
        2 => {
            let prologue = hellos();
            let (initiator, message) = start(&prologue);
            let responder = respond(&prologue, &message).expect("ours");
            let mut answer = finish(responder, &parties::psk()).1.to_vec();
            let changed = damage(&mut answer, &mut input);
            assert_eq!(initiator.finish(&answer).is_err(), changed);
        }
        _ => two_ends(input),
    }
}

fn two_ends(mut input: Input<'_>) {
    let mut hello = input.chunk().to_vec();
    hello.truncate(MAX_HELLO);
    let mut other_hello = hello.clone();
    let same_hello = input.flag() || !damage(&mut other_hello, &mut input);
    other_hello.truncate(MAX_HELLO);
    let same_hello = same_hello || hello == other_hello;
    let mut psk = parties::psk();
    let same_psk = input.flag();
    if !same_psk {
        psk.psk = Psk::new(input.array());
    }
    psk.generation = u32::from_le_bytes(input.array());
    let ephemeral = LinkSecret::from_bytes(input.array());
    let local = LinkSecret::from_bytes(input.array());
    let here = Prologue::new(parties::LOCK, &hello, &[]).expect("within its bound");
    let there = Prologue::new(parties::LOCK, &other_hello, &[]).expect("within its bound");
    let lock = parties::lock_link().public();
    let (initiator, message) =
        Initiator::start(&here, &local, &lock, &psk, &ephemeral).expect("any scalar is a key");
    let responder = respond(&there, &message);
    assert_eq!(responder.is_ok(), same_hello);
    let Ok(responder) = responder else { return };
    assert_eq!(responder.peer, local.public());
    assert_eq!(responder.generation, psk.generation);
    let (lock, answer) = finish(responder, &parties::psk());
    let same_psk = same_psk || psk.psk == parties::psk().psk;
    let hub = initiator.finish(&answer);
    assert_eq!(hub.is_ok(), same_psk);
    if let Ok(hub) = hub {
        talk(hub, lock, input.rest());
    }
}

/// What one end seals the other opens, once.
fn talk(mut hub: Session, mut lock: Session, said: &[u8]) {
    let said = &said[..said.len().min(512)];
    let (mut out, mut plain) = ([0; 1_100], [0; 1_100]);
    let record = hub.seal(said, &mut out).expect("short enough").to_vec();
    assert_eq!(
        lock.open(&record, &mut plain).expect("ours").plaintext,
        said
    );
    assert!(lock.open(&record, &mut plain).is_err());
    let record = lock.seal(said, &mut out).expect("short enough").to_vec();
    assert_eq!(hub.open(&record, &mut plain).expect("ours").plaintext, said);
    assert!(lock.open(&record, &mut plain).is_err());
}

/// The hellos of the examples.
fn hellos() -> Prologue {
    let (mut first, mut second) = ([0; MAX_HELLO], [0; MAX_HELLO]);
    let lock = LockHello::new(0x80, Nonce([0x99; 16]));
    let hub = InitiatorHello {
        version: 1,
        features: 0,
        purpose: Purpose::Session,
    };
    let lock = lock.encode(&mut first).expect("hellos fit");
    let hub = hub.encode(&mut second).expect("hellos fit");
    Prologue::new(parties::LOCK, lock, hub).expect("within its bound")
}

fn start(prologue: &Prologue) -> (Initiator, [u8; MESSAGE_1]) {
    let ephemeral = LinkSecret::from_bytes([0x34; 32]);
    let lock = parties::lock_link().public();
    Initiator::start(
        prologue,
        &parties::hub_link(),
        &lock,
        &parties::psk(),
        &ephemeral,
    )
    .expect("good keys")
}

fn respond(prologue: &Prologue, message: &[u8]) -> Result<Responder, HandshakeError> {
    let ephemeral = LinkSecret::from_bytes([0x14; 32]);
    Responder::read(prologue, &parties::lock_link(), &ephemeral, message)
}

fn finish(responder: Responder, psk: &PskGeneration) -> (Session, [u8; MESSAGE_2]) {
    let label = |number| Label {
        id: [number; 8],
        to_lock: u64::MAX - 1,
        to_peer: 0x1000 * u64::from(number),
    };
    let mut message = [0; MESSAGE_2];
    let session = responder
        .finish(&psk.psk, label(1), label(2), &mut message)
        .expect("good keys");
    (session, message)
}
