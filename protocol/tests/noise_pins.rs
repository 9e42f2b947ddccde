//! What we rely on in clatter and snow, pinned: an upgrade that changes one of these must be seen.
//!
//! Guards: a library whose next version takes the psk earlier, retries after an error, accepts
//! points of small order, draws its own randomness, or lets a long message reach its panic.

use clatter::bytearray::SensitiveByteArray;
use clatter::error::{DhError, HandshakeError as ClatterError};
use clatter::handshakepattern::noise_ik_psk2;
use clatter::traits::{Dh, Handshaker, Rng};
use clatter::{KeyPair, NqHandshakeCore};
use drawbridge_protocol::hello::Prologue;
use drawbridge_protocol::keys::{LinkKey, LinkSecret, Psk};
use drawbridge_protocol::noise::HandshakeError;
use drawbridge_protocol::noise::initiator::Initiator;
use drawbridge_protocol::noise::suite::{ChaChaPoly, NeverDrawn, Sha256, X25519};
use drawbridge_protocol::noise::{MESSAGE_1, MESSAGE_2};
use rand_core::RngCore;

use crate::fixture;

type Pair = KeyPair<[u8; 32], SensitiveByteArray<[u8; 32]>>;
type Core<R> = NqHandshakeCore<X25519, ChaChaPoly, Sha256, R>;

/// Every u-coordinate of small order (RFC 7748; the list of Cremers and Jackson, "Prime, Order
/// Please!", 2019), the non-canonical ones included.
const SMALL_ORDER: [[u8; 32]; 7] = {
    let mut zero = [0; 32];
    zero[31] = 0;
    let mut one = [0; 32];
    one[0] = 1;
    let order8a = [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ];
    let order8b = [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef,
        0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f,
        0x11, 0x57,
    ];
    let mut p_minus_1 = [0xff; 32];
    p_minus_1[0] = 0xec;
    p_minus_1[31] = 0x7f;
    let mut p = p_minus_1;
    p[0] = 0xed;
    let mut p_plus_1 = p_minus_1;
    p_plus_1[0] = 0xee;
    [zero, one, order8a, order8b, p_minus_1, p, p_plus_1]
};

fn prologue() -> Prologue {
    fixture::shake().prologue()
}

fn pair(secret: &LinkSecret) -> Pair {
    KeyPair {
        public: secret.public().0,
        secret: SensitiveByteArray::new(*secret.danger_as_bytes()),
    }
}

fn responder<R: Rng>(ephemeral: Option<Pair>) -> Core<R> {
    Core::new(
        noise_ik_psk2(),
        prologue().as_bytes(),
        false,
        Some(pair(&fixture::lock_link())),
        ephemeral,
        None,
        None,
    )
    .unwrap()
}

fn ephemeral() -> Pair {
    pair(&LinkSecret::from_bytes([0x14; 32]))
}

#[test]
fn the_lock_takes_the_psk_after_message_1_named_the_peer() {
    let message1 = fixture::shake().message1;
    let mut core = responder::<NeverDrawn>(Some(ephemeral()));
    let mut payload = [0; 4];
    assert_eq!(core.read_message(&message1, &mut payload).unwrap(), 4);
    assert_eq!(payload, fixture::psk().generation.to_le_bytes());
    assert_eq!(
        core.get_remote_static(),
        Some(fixture::hub_link().public().0)
    );
    core.push_psk(fixture::psk().psk.danger_as_bytes());
    let labels = [fixture::label(1).to_bytes(), fixture::label(2).to_bytes()].concat();
    let mut message2 = [0; MESSAGE_2];
    core.write_message(&labels, &mut message2).unwrap();
    assert_eq!(message2, fixture::shake().message2);
}

#[test]
fn without_a_psk_the_handshake_ends_for_good() {
    let message1 = fixture::shake().message1;
    let mut core = responder::<NeverDrawn>(Some(ephemeral()));
    core.read_message(&message1, &mut [0; 4]).unwrap();
    let mut message2 = [0; 256];
    assert!(matches!(
        core.write_message(&[], &mut message2),
        Err(ClatterError::PskMissing)
    ));
    core.push_psk(fixture::psk().psk.danger_as_bytes());
    assert!(matches!(
        core.write_message(&[], &mut message2),
        Err(ClatterError::ErrorState)
    ));
}

#[test]
fn after_an_error_the_right_message_comes_too_late() {
    let message1 = fixture::shake().message1;
    let mut changed = message1;
    changed[MESSAGE_1 - 1] ^= 1;
    let mut core = responder::<NeverDrawn>(Some(ephemeral()));
    assert!(core.read_message(&changed, &mut [0; 4]).is_err());
    assert!(matches!(
        core.read_message(&message1, &mut [0; 4]),
        Err(ClatterError::ErrorState)
    ));
    assert!(core.finalize().is_err(), "a dead handshake has no keys");
}

#[test]
fn a_wrong_psk_shows_to_the_initiator_and_only_at_message_2() {
    let prologue = prologue();
    let (initiator, message1) = fixture::start(&prologue);
    let responder = fixture::read(&prologue, &message1).expect("message 1 holds no psk");
    let mut message2 = [0; MESSAGE_2];
    let lock = responder.finish(
        &Psk::new([0xff; 32]),
        fixture::label(1),
        fixture::label(2),
        &mut message2,
    );
    assert!(
        lock.is_ok(),
        "the lock learns it from the first record, which never comes"
    );
    assert_eq!(
        initiator.finish(&message2).unwrap_err(),
        HandshakeError::NotAuthentic
    );
}

#[test]
fn a_message_over_the_bound_of_noise_never_reaches_clatter() {
    for len in [MESSAGE_1 + 1, 65_535, 65_536, 200_000] {
        let long = vec![0; len];
        assert_eq!(
            fixture::read(&prologue(), &long).unwrap_err(),
            HandshakeError::Length
        );
        let (initiator, _) = fixture::start(&prologue());
        assert_eq!(initiator.finish(&long).unwrap_err(), HandshakeError::Length);
    }
    // The reason for the bound, as long as it is true of clatter.
    let panics = std::panic::catch_unwind(|| {
        let mut core = responder::<NeverDrawn>(Some(ephemeral()));
        core.read_message(&vec![0; 65_536], &mut vec![0; 65_536])
            .is_ok()
    });
    assert!(
        panics.is_err(),
        "clatter has learned to refuse: relax the comment in responder.rs"
    );
}

/// Fails the test when it is asked for anything.
#[derive(Debug, Clone, Default)]
struct Forbidden;

impl RngCore for Forbidden {
    fn next_u32(&mut self) -> u32 {
        panic!("randomness was drawn")
    }

    fn next_u64(&mut self) -> u64 {
        panic!("randomness was drawn")
    }

    fn fill_bytes(&mut self, _: &mut [u8]) {
        panic!("randomness was drawn")
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), rand_core::Error> {
        panic!("randomness was drawn")
    }
}

impl rand_core::CryptoRng for Forbidden {}

#[test]
fn no_handshake_draws_from_clatters_generator() {
    let message1 = fixture::shake().message1;
    let mut core = responder::<Forbidden>(Some(ephemeral()));
    core.read_message(&message1, &mut [0; 4]).unwrap();
    core.push_psk(&[0; 32]);
    core.write_message(&[], &mut [0; 256]).unwrap();
    assert!(core.is_finished());

    // Nor when the ephemeral key was forgotten: then there is no handshake at all.
    let mut core = responder::<Forbidden>(None);
    core.read_message(&message1, &mut [0; 4]).unwrap();
    core.push_psk(&[0; 32]);
    assert!(matches!(
        core.write_message(&[], &mut [0; 256]),
        Err(ClatterError::Dh(DhError::KeyGeneration))
    ));
    assert!(X25519::genkey_rng(&mut Forbidden).is_err());
    assert!(NeverDrawn.try_fill_bytes(&mut [0; 32]).is_err());
}

#[test]
fn no_key_of_small_order_is_enrolled_or_shakes_hands() {
    for point in SMALL_ORDER {
        assert!(LinkKey(point).check().is_err(), "{point:02x?}");
        let secret = SensitiveByteArray::new(*fixture::lock_link().danger_as_bytes());
        assert!(X25519::dh(&secret, &point).is_err(), "{point:02x?}");

        // The hub, given such a key for its lock.
        let started = Initiator::start(
            &prologue(),
            &fixture::hub_link(),
            &LinkKey(point),
            &fixture::psk(),
            &LinkSecret::from_bytes([0x34; 32]),
        );
        assert_eq!(started.unwrap_err(), HandshakeError::WeakKey);

        // The lock, sent such an ephemeral key.
        let mut message1 = [0x55; MESSAGE_1];
        message1[..32].copy_from_slice(&point);
        assert_eq!(
            fixture::read(&prologue(), &message1).unwrap_err(),
            HandshakeError::WeakKey
        );

        // The hub, answered with one.
        let (initiator, _) = fixture::start(&prologue());
        let mut message2 = [0x55; MESSAGE_2];
        message2[..32].copy_from_slice(&point);
        assert_eq!(
            initiator.finish(&message2).unwrap_err(),
            HandshakeError::WeakKey
        );
    }
}

#[test]
fn a_static_key_of_small_order_inside_message_1_is_refused() {
    for point in SMALL_ORDER {
        let lock = fixture::lock_link();
        let named = KeyPair {
            public: point,
            secret: SensitiveByteArray::new([0x32; 32]),
        };
        let mut core = Core::<NeverDrawn>::new(
            noise_ik_psk2(),
            prologue().as_bytes(),
            true,
            Some(named),
            Some(pair(&LinkSecret::from_bytes([0x34; 32]))),
            Some(lock.public().0),
            None,
        )
        .unwrap();
        let mut message1 = [0; MESSAGE_1];
        core.write_message(&[0; 4], &mut message1).unwrap();
        assert_eq!(
            fixture::read(&prologue(), &message1).unwrap_err(),
            HandshakeError::WeakKey
        );
    }
}

#[test]
fn an_ephemeral_key_serves_one_handshake_state_only() {
    // The same inputs make the same message 1: freshness is the caller's promise, and the prologue
    // (with the lock's nonce) is what makes a recorded one worthless on another link.
    let (_, once) = fixture::start(&prologue());
    let (_, again) = fixture::start(&prologue());
    assert_eq!(once, again);
    let other_link = fixture::prologue(
        &fixture::bytes(|out| fixture::lock_hello(fixture::Shape::Full).encode(out)),
        &fixture::shake().initiator_hello,
    );
    assert_eq!(
        fixture::read(&other_link, &once).unwrap_err(),
        HandshakeError::NotAuthentic
    );
}
