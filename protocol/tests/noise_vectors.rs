//! Published Noise test vectors, through both implementations that we stand on.
//!
//! Guards: our own suite (X25519, ChaCha20-Poly1305 and SHA-256 behind clatter's traits) or snow
//! with our options being self-consistent and still not Noise. Source of the vectors: cacophony
//! (`vectors/cacophony.txt`, the Unlicense), the IK patterns with and without psk.

use clatter::bytearray::SensitiveByteArray;
use clatter::handshakepattern::{HandshakePattern, noise_ik, noise_ik_psk1, noise_ik_psk2};
use clatter::traits::Handshaker;
use clatter::transportstate::TransportState;
use clatter::{KeyPair, NqHandshakeCore};
use drawbridge_protocol::keys::LinkSecret;
use drawbridge_protocol::noise::suite::{ChaChaPoly, NeverDrawn, Sha256, X25519};
use serde_json::Value;
use snow::resolvers::{CryptoResolver, DefaultResolver};

use crate::spec_examples::unhex;

type Core = NqHandshakeCore<X25519, ChaChaPoly, Sha256, NeverDrawn>;

const VECTORS: &str = include_str!("vectors/cacophony_ik.json");
const OURS: &str = "Noise_IKpsk2_25519_ChaChaPoly_SHA256";

/// One published vector.
struct Vector {
    name: String,
    prologue: Vec<u8>,
    psk: Option<[u8; 32]>,
    initiator: [[u8; 32]; 2],
    responder: [[u8; 32]; 2],
    remote: [u8; 32],
    hash: Vec<u8>,
    messages: Vec<(Vec<u8>, Vec<u8>)>,
}

fn vectors() -> Vec<Vector> {
    let all: Value = serde_json::from_str(VECTORS).unwrap();
    all["vectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(read)
        .collect()
}

fn read(vector: &Value) -> Vector {
    let bytes = |value: &Value| unhex(value.as_str().unwrap()).unwrap();
    let key = |name: &str| -> [u8; 32] { bytes(&vector[name]).try_into().unwrap() };
    assert_eq!(vector["init_prologue"], vector["resp_prologue"]);
    assert_eq!(vector["init_psks"], vector["resp_psks"]);
    Vector {
        name: vector["protocol_name"].as_str().unwrap().to_owned(),
        prologue: bytes(&vector["init_prologue"]),
        psk: vector["init_psks"]
            .get(0)
            .map(|psk| bytes(psk).try_into().unwrap()),
        initiator: [key("init_static"), key("init_ephemeral")],
        responder: [key("resp_static"), key("resp_ephemeral")],
        remote: key("init_remote_static"),
        hash: bytes(&vector["handshake_hash"]),
        messages: vector["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| (bytes(&message["payload"]), bytes(&message["ciphertext"])))
            .collect(),
    }
}

fn pair(secret: [u8; 32]) -> KeyPair<[u8; 32], SensitiveByteArray<[u8; 32]>> {
    KeyPair {
        public: LinkSecret::from_bytes(secret).public().0,
        secret: SensitiveByteArray::new(secret),
    }
}

fn pattern(name: &str) -> HandshakePattern {
    match name {
        OURS => noise_ik_psk2(),
        "Noise_IKpsk1_25519_ChaChaPoly_SHA256" => noise_ik_psk1(),
        "Noise_IK_25519_ChaChaPoly_SHA256" => noise_ik(),
        other => panic!("no pattern for {other}"),
    }
}

fn core(vector: &Vector, initiator: bool) -> Core {
    let [own, ephemeral] = if initiator {
        vector.initiator
    } else {
        vector.responder
    };
    let mut core = Core::new(
        pattern(&vector.name),
        &vector.prologue,
        initiator,
        Some(pair(own)),
        Some(pair(ephemeral)),
        initiator.then_some(vector.remote),
        None,
    )
    .unwrap();
    if let Some(psk) = vector.psk {
        core.push_psk(&psk);
    }
    core
}

/// Runs a vector through clatter with our suite; returns how many messages it compared.
fn through_clatter(vector: &Vector) -> usize {
    let (mut alice, mut bob) = (core(vector, true), core(vector, false));
    let (handshake, transport) = vector.messages.split_at(2);
    for (turn, (payload, expected)) in handshake.iter().enumerate() {
        let (from, to) = if turn == 0 {
            (&mut alice, &mut bob)
        } else {
            (&mut bob, &mut alice)
        };
        let (mut message, mut read) = ([0; 256], [0; 256]);
        let len = from.write_message(payload, &mut message).unwrap();
        assert_eq!(message[..len], expected[..], "{} {turn}", vector.name);
        let len = to.read_message(expected, &mut read).unwrap();
        assert_eq!(read[..len], payload[..], "{} {turn}", vector.name);
    }
    let mut ends = [
        TransportState::new(alice).unwrap(),
        TransportState::new(bob).unwrap(),
    ];
    for end in &ends {
        assert_eq!(
            end.get_handshake_hash()[..],
            vector.hash[..],
            "{}",
            vector.name
        );
    }
    for (turn, (payload, expected)) in transport.iter().enumerate() {
        let (mut message, mut read) = ([0; 256], [0; 256]);
        let len = ends[turn % 2].send(payload, &mut message).unwrap();
        assert_eq!(message[..len], expected[..], "{} {turn}", vector.name);
        let len = ends[1 - turn % 2].receive(expected, &mut read).unwrap();
        assert_eq!(read[..len], payload[..], "{} {turn}", vector.name);
    }
    vector.messages.len()
}

/// snow's own primitives, and a generator that has nothing to give: the vectors fix the keys.
struct NoRandomness;

impl CryptoResolver for NoRandomness {
    fn resolve_rng(&self) -> Option<Box<dyn snow::types::Random>> {
        Some(Box::new(NoRandomness))
    }

    fn resolve_dh(&self, choice: &snow::params::DHChoice) -> Option<Box<dyn snow::types::Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(
        &self,
        choice: &snow::params::HashChoice,
    ) -> Option<Box<dyn snow::types::Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(
        &self,
        choice: &snow::params::CipherChoice,
    ) -> Option<Box<dyn snow::types::Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

impl snow::types::Random for NoRandomness {
    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), snow::Error> {
        Err(snow::Error::Rng)
    }
}

fn snow(vector: &Vector, initiator: bool) -> snow::HandshakeState {
    let [own, ephemeral] = if initiator {
        vector.initiator
    } else {
        vector.responder
    };
    let suite = Box::new(NoRandomness);
    let mut builder = snow::Builder::with_resolver(vector.name.parse().unwrap(), suite)
        .prologue(&vector.prologue)
        .and_then(|builder| builder.local_private_key(&own))
        .unwrap()
        .fixed_ephemeral_key_for_testing_only(&ephemeral);
    if let Some(psk) = &vector.psk {
        let place = if vector.name == OURS { 2 } else { 1 };
        builder = builder.psk(place, psk).unwrap();
    }
    if initiator {
        builder
            .remote_public_key(&vector.remote)
            .unwrap()
            .build_initiator()
            .unwrap()
    } else {
        builder.build_responder().unwrap()
    }
}

/// The same through snow.
fn through_snow(vector: &Vector) -> usize {
    let (mut alice, mut bob) = (snow(vector, true), snow(vector, false));
    let (handshake, transport) = vector.messages.split_at(2);
    for (turn, (payload, expected)) in handshake.iter().enumerate() {
        let (from, to) = if turn == 0 {
            (&mut alice, &mut bob)
        } else {
            (&mut bob, &mut alice)
        };
        let (mut message, mut read) = ([0; 256], [0; 256]);
        let len = from.write_message(payload, &mut message).unwrap();
        assert_eq!(message[..len], expected[..], "{} {turn}", vector.name);
        let len = to.read_message(expected, &mut read).unwrap();
        assert_eq!(read[..len], payload[..], "{} {turn}", vector.name);
    }
    for end in [&alice, &bob] {
        assert_eq!(end.get_handshake_hash(), vector.hash, "{}", vector.name);
    }
    let mut ends = [
        alice.into_transport_mode().unwrap(),
        bob.into_transport_mode().unwrap(),
    ];
    for (turn, (payload, expected)) in transport.iter().enumerate() {
        let (mut message, mut read) = ([0; 256], [0; 256]);
        let len = ends[turn % 2].write_message(payload, &mut message).unwrap();
        assert_eq!(message[..len], expected[..], "{} {turn}", vector.name);
        let len = ends[1 - turn % 2]
            .read_message(expected, &mut read)
            .unwrap();
        assert_eq!(read[..len], payload[..], "{} {turn}", vector.name);
    }
    vector.messages.len()
}

#[test]
fn published_vectors_hold_on_the_locks_side() {
    let compared: usize = vectors().iter().map(through_clatter).sum();
    assert_eq!(compared, 18);
}

#[test]
fn published_vectors_hold_on_the_hubs_side() {
    let compared: usize = vectors().iter().map(through_snow).sum();
    assert_eq!(compared, 18);
}

#[test]
fn our_pattern_is_among_the_vectors_with_a_psk() {
    let ours: Vec<_> = vectors()
        .into_iter()
        .filter(|vector| vector.name == OURS)
        .collect();
    assert!(matches!(ours.as_slice(), [Vector { psk: Some(_), .. }]));
}
