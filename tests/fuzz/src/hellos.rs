//! The small fixed forms: hellos, prologue, pairing ticket, psk ring, label, beacon.
//!
//! The first byte chooses the decoder.

use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::codec::{decode_exact, encode};
use drawbridge_protocol::hello::{InitiatorHello, LockHello, MAX_HELLO, Prologue};
use drawbridge_protocol::psk::PskRing;
use drawbridge_protocol::session::Label;
use drawbridge_protocol::ticket::PairingTicket;
use drawbridge_protocol::version;

use crate::input::Input;
use crate::parties;

/// Each form is read in its one encoding only.
///
/// # Panics
/// When that does not hold.
pub fn hellos(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let mut out = vec![0; bytes.len()];
    match choice % 8 {
        0 => {
            if let Ok(hello) = LockHello::decode(bytes) {
                assert!(bytes.len() <= MAX_HELLO);
                assert_eq!(hello.encode(&mut out), Ok(bytes));
                if let Some(agreed) = version::agree(hello.min_version, hello.max_version) {
                    assert!((hello.min_version..=hello.max_version).contains(&agreed));
                }
            }
        }
        1 => {
            if let Ok(hello) = InitiatorHello::decode(bytes) {
                assert!(bytes.len() <= MAX_HELLO);
                assert_eq!(hello.encode(&mut out), Ok(bytes));
            }
        }
        2 => prologue(bytes),
        3 => {
            if let Ok(ticket) = PairingTicket::decode(bytes) {
                assert_eq!(ticket.encode(&mut out), Ok(bytes));
            }
        }
        4 => ring(bytes, &mut out),
        5 => {
            if let Some(label) = Label::from_bytes(bytes) {
                assert_eq!(label.to_bytes(), bytes);
            } else {
                assert_ne!(bytes.len(), Label::LEN);
            }
        }
        6 => {
            // Eight bytes of MAC: found by nobody, and certainly not for two keys.
            let beacon = Beacon(Input::new(bytes).array());
            let ours = parties::code().keys().beacon_key;
            let other = drawbridge_protocol::keys::SharedSecret::new([0x5a; 16]);
            assert!(!(beacon.is_from(&ours) && beacon.is_from(&other)));
        }
        _ => {
            let mut input = Input::new(bytes);
            let (low, high) = (input.byte(), input.byte());
            if let Some(agreed) = version::agree(low, high) {
                assert!((low..=high).contains(&agreed));
                assert!((version::MIN..=version::CURRENT).contains(&agreed));
            }
        }
    }
}

/// No two pairs of hellos make the same prologue.
fn prologue(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (first, second) = (input.chunk(), input.chunk());
    let made = Prologue::new(parties::LOCK, first, second);
    let fits = first.len() <= MAX_HELLO && second.len() <= MAX_HELLO;
    assert_eq!(made.is_ok(), fits);
    let Ok(made) = made else { return };
    let (third, fourth) = (input.chunk(), input.chunk());
    if let Ok(other) = Prologue::new(parties::LOCK, third, fourth) {
        let same = (first, second) == (third, fourth);
        assert_eq!(made.as_bytes() == other.as_bytes(), same);
    }
}

/// A ring that advances never loses the generation that it stands on.
fn ring(bytes: &[u8], out: &mut [u8]) {
    let Ok(mut ring) = decode_exact::<PskRing>(bytes) else {
        return;
    };
    assert_eq!(encode(&ring, out), Ok(bytes));
    let before = ring.current.clone();
    let mut next = parties::psk();
    next.generation = before.generation.wrapping_add(1);
    if ring.advance(next) {
        let kept = ring.find(before.generation);
        assert!(kept == Some(&before.psk) || ring.current.generation == before.generation);
    } else {
        assert_eq!(ring.current, before);
    }
}
