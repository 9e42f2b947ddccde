//! S03: keys from public data, and keys that locks share.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use drawbridge_lock_sim::entropy::Randomness;
use drawbridge_lock_sim::options::Options;
use drawbridge_lock_sim::simulator::Running;
use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::frame::{Fragmenter, Reassembler};
use drawbridge_protocol::hello::{InitiatorHello, Prologue, Purpose};
use drawbridge_protocol::ids::{Digest32, LockId};
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret, Psk, SharedSecret};
use drawbridge_protocol::link_message::{LinkMessage, MAX_LINK_MESSAGE};
use drawbridge_protocol::noise::initiator::Initiator;
use drawbridge_protocol::psk::PskGeneration;
use drawbridge_protocol::qr::QrCode;
use drawbridge_protocol::secret::SetupKeys;

const LOCKS: usize = 100;
/// Locks whose secrets are tried on each of the last two.
const TRIED: usize = LOCKS - 1;

/// S03 (KeyWe, TTLock, Chirp). Guards: secrets that two locks share, or that follow from what
/// anybody can read on the air or in a topic; and secrets of one lock that open another.
#[test]
fn s03_keys_differ_and_derive_from_nothing_public() {
    let folder = tempfile::Builder::new().prefix("db").tempdir().unwrap();
    let air = folder.path().join("air");
    let flash = |index: usize| folder.path().join(format!("{index}"));
    let mut codes = Vec::new();
    for index in 0..LOCKS {
        // No seed: the kernel's randomness, as in a factory.
        let lock = Running::start(Options::new(&air, &flash(index))).unwrap();
        codes.push(QrCode::from_text(lock.qr_text()).unwrap());
        lock.stop().unwrap();
    }
    all_differ(&codes);
    for code in &codes {
        follows_from_nothing_public(code);
    }
    let as_made = folder.path().join("as made");
    for (index, own) in codes.iter().enumerate().skip(LOCKS - 2) {
        std::fs::copy(flash(index), &as_made).unwrap();
        let others = codes.iter().filter(|other| other.lock != own.lock);
        let mut tried = 0;
        for other in others.take(TRIED) {
            // A lock makes wrong secrets wait (S04): each attempt finds it as it left the factory.
            std::fs::copy(&as_made, flash(index)).unwrap();
            let lock = Running::start(Options::new(&air, &flash(index))).unwrap();
            turn(&lock, r#"{"do":"button","held_ms":200}"#);
            let address = turn(&lock, r#"{"do":"hello"}"#)["address"].clone();
            let path = air.join(format!("{}.air", address.as_str().unwrap()));
            let beacon = Link::up(&path).beacon;
            assert!(!beacon.is_from(&other.keys().beacon_key), "{}", own.lock);
            assert!(beacon.is_from(&own.keys().beacon_key), "{}", own.lock);
            let name = format!("the secrets of {} on {}", other.lock, own.lock);
            assert!(!opens(&path, own, other), "{name}");
            // The same window, its own secrets: the lock was not deaf.
            assert!(opens(&path, own, own), "{}", own.lock);
            lock.stop().unwrap();
            tried += 1;
        }
        assert_eq!(tried, TRIED);
    }
    let lane = std::env::var("DRAWBRIDGE_LANE").is_ok_and(|lane| lane == "full");
    let lane = if lane { "full" } else { "quick" };
    println!("COUNT s03_locks {lane} {LOCKS} of {LOCKS} seed 0");
}

fn turn(lock: &Running, knob: &str) -> serde_json::Value {
    let answer = lock.control(knob).unwrap();
    assert_eq!(answer["ok"], true, "{knob}: {answer}");
    answer
}

/// Every value of every lock, whole and by halves, is there once.
fn all_differ(codes: &[QrCode]) {
    let mut seen: HashMap<Vec<u8>, String> = HashMap::new();
    for code in codes {
        let keys = code.keys();
        let values: [(&str, &[u8]); 7] = [
            ("id", code.lock.as_bytes()),
            ("link key", code.link.as_bytes()),
            ("identity key", code.identity.as_bytes()),
            ("setup secret", code.secret.danger_as_bytes()),
            ("pair psk", keys.pair_psk.danger_as_bytes()),
            ("claim key", keys.claim_key.danger_as_bytes()),
            ("beacon key", keys.beacon_key.danger_as_bytes()),
        ];
        for (what, value) in values {
            // 8 bytes in a row that two of 100 locks have by chance: 1 in 10^15.
            for part in value.chunks_exact(8) {
                let owner = format!("{what} of {}", code.lock);
                let earlier = seen.insert(part.to_vec(), owner.clone());
                assert_eq!(earlier, None, "{owner}");
            }
        }
    }
}

/// No key of the lock comes out when something public stands in for its secret.
fn follows_from_nothing_public(code: &QrCode) {
    let keys = code.keys();
    let public: [&[u8]; 6] = [
        code.lock.as_bytes(),
        code.link.as_bytes(),
        code.identity.as_bytes(),
        &code.model.to_be_bytes(),
        &[0; 8],
        &[0xff; 8],
    ];
    let text = code.lock.to_string();
    let guesses = public
        .into_iter()
        .chain([text.as_bytes()])
        .flat_map(|value| {
            let mut repeated = value.iter().copied().cycle();
            let cycle: [u8; 32] = std::array::from_fn(|_| repeated.next().unwrap_or(0));
            let mut front = [0; 32];
            let length = value.len().min(32);
            front[..length].copy_from_slice(&value[..length]);
            let mut back = [0; 32];
            back[32 - length..].copy_from_slice(&value[..length]);
            [cycle, front, back, Digest32::of(value).0]
        });
    for guess in guesses {
        for half in [&guess[..16], &guess[16..]] {
            let secret = SharedSecret::new(half.try_into().unwrap());
            assert_ne!(secret, code.secret, "{}", code.lock);
            for salt in [code.lock, LockId([0; 8])] {
                let derived = SetupKeys::derive(salt, &secret);
                assert_ne!(derived.pair_psk, keys.pair_psk);
                assert_ne!(derived.claim_key, keys.claim_key);
                assert_ne!(derived.beacon_key, keys.beacon_key);
            }
        }
        let as_key = Psk::new(guess);
        assert_ne!(as_key, keys.pair_psk);
        assert_ne!(as_key, keys.claim_key);
        assert_ne!(LinkSecret::from_bytes(guess).public(), code.link);
        assert_ne!(IdentitySecret::from_bytes(&guess).public(), code.identity);
    }
    // And none of what the hub is given is what it is not given.
    assert_ne!(keys.pair_psk, keys.claim_key);
    assert_ne!(
        SetupKeys::derive(code.lock, &keys.beacon_key).claim_key,
        keys.claim_key
    );
}

struct Link {
    stream: UnixStream,
    beacon: Beacon,
    packet: usize,
    incoming: Reassembler,
    outgoing: Fragmenter,
}

impl Link {
    fn up(path: &Path) -> Self {
        let mut stream = UnixStream::connect(path).unwrap();
        let patience = Some(Duration::from_secs(10));
        stream.set_read_timeout(patience).unwrap();
        let advert = read(&mut stream).unwrap();
        assert_eq!(advert[0], b'A');
        Self {
            stream,
            beacon: Beacon(advert[1..].try_into().unwrap()),
            packet: 0,
            incoming: Reassembler::new(),
            outgoing: Fragmenter::new(),
        }
    }

    fn connect(&mut self) {
        write(&mut self.stream, b"C\xf4\x00");
        let granted = read(&mut self.stream).unwrap();
        assert_eq!(granted[0], b'O', "busy");
        self.packet = usize::from(u16::from_le_bytes([granted[1], granted[2]]));
    }

    fn send(&mut self, message: &LinkMessage<'_>) {
        let mut bytes = [0; MAX_LINK_MESSAGE];
        let mut scratch = vec![0; self.packet];
        let (stream, message) = (&mut self.stream, message.encode(&mut bytes).unwrap());
        self.outgoing
            .cut(message, &mut scratch, self.packet, |packet| {
                write(stream, &[b"D", packet].concat());
            })
            .unwrap();
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let body = read(&mut self.stream)?;
            if let Some(message) = self.incoming.push(&body[1..]).unwrap() {
                return Some(message.to_vec());
            }
        }
    }
}

fn write(stream: &mut UnixStream, body: &[u8]) {
    let length = u16::try_from(body.len()).unwrap().to_le_bytes();
    stream.write_all(&[&length, body].concat()).unwrap();
}

fn read(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut body = vec![0; usize::from(u16::from_le_bytes(length))];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

/// Whether a handshake with the lock at `path` succeeds for whoever has all secrets of `held`.
fn opens(path: &Path, lock: &QrCode, held: &QrCode) -> bool {
    let mut entropy = Randomness::Kernel;
    let mut link = Link::up(path);
    link.connect();
    let greeting = link.next().expect("the lock greets");
    let LinkMessage::LockHello(lock_hello) = LinkMessage::decode(&greeting).unwrap() else {
        panic!("no hello");
    };
    let hello = InitiatorHello {
        version: 1,
        features: 0,
        purpose: Purpose::Pair,
    };
    let mut buffer = [0; 48];
    let hello = hello.encode(&mut buffer).unwrap();
    // What is public of the lock is used as it is; only the secrets are another lock's.
    let prologue = Prologue::new(lock.lock, lock_hello, hello).unwrap();
    let psk = PskGeneration {
        generation: 0,
        psk: held.keys().pair_psk,
    };
    let (own, ephemeral) = (
        LinkSecret::generate(&mut entropy),
        LinkSecret::generate(&mut entropy),
    );
    let (initiator, first) =
        Initiator::start(&prologue, &own, &lock.link, &psk, &ephemeral).unwrap();
    link.send(&LinkMessage::InitiatorHello(hello));
    link.send(&LinkMessage::Handshake1(&first));
    let answer = link
        .next()
        .expect("the lock answers a handshake in its window");
    match LinkMessage::decode(&answer) {
        Ok(LinkMessage::Handshake2(second)) => initiator.finish(second).is_ok(),
        _ => false,
    }
}
