//! S05, S15: bytes of any length and content, at any layer, before any proof.
//!
//! Guards: locks that trust a declared length (TTLock) or open on garbage (12 of 16 locks, DEF CON 24).

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use drawbridge_lock_sim::entropy::Randomness;
use drawbridge_lock_sim::options::Options;
use drawbridge_lock_sim::simulator::Running;
use drawbridge_protocol::command::Action;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::qr::QrCode;
use drawbridge_protocol::tunnel::HubToLock;

use crate::air_peer::{connect, find, frame, read_frame};
use crate::lock_process::place;
use crate::owner::Owner;

/// The packet size that the lock grants.
const MTU: usize = 244;

struct Bench {
    lock: Running,
    air: PathBuf,
    owner: Owner,
    noise: Randomness,
    seed: u64,
    _place: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let place = place();
        let air = place.path().join("air");
        let mut options = Options::new(&air, &place.path().join("flash"));
        options.motor_ms = 0;
        let lock = Running::start(options).unwrap();
        lock.control(r#"{"do":"button","held_ms":200}"#).unwrap();
        let owner = Owner::claim(&air, lock.qr_text());
        let seed = u64::from_le_bytes(Randomness::Kernel.bytes());
        Self {
            lock,
            air,
            owner,
            noise: Randomness::new(Some(seed)),
            seed,
            _place: place,
        }
    }

    fn garbage(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.noise.fill(&mut bytes);
        bytes
    }

    fn stranger(&self) -> UnixStream {
        find(&self.air, &QrCode::from_text(self.lock.qr_text()).unwrap())
    }

    /// A stranger's link after the hello, once the lock has a place for it.
    fn linked_stranger(&self) -> UnixStream {
        for _ in 0..1_000 {
            let mut stream = self.stranger();
            if connect(&mut stream).is_ok() {
                return stream;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("no link for a stranger");
    }

    fn assert_unmoved(&self, what: &str) {
        let status = self.lock.control(r#"{"do":"status"}"#).unwrap();
        let seed = self.seed;
        assert_eq!(status["motor_actuations"], 0, "{what}, seed {seed}");
        assert_eq!(status["power"], "on", "{what}, seed {seed}");
    }

    /// After everything: the owner's command still turns the bolt, once.
    fn assert_serving(mut self) {
        self.owner.rejoin().unwrap();
        let statement = self.owner.sign(Action::Lock);
        let request = HubToLock::Command {
            statement: &statement,
        };
        let outcome = self.owner.hub.outcome(&request).unwrap();
        assert_eq!(outcome.verdict, Verdict::Done);
        let status = self.lock.control(r#"{"do":"status"}"#).unwrap();
        assert_eq!(status["motor_actuations"], 1);
        self.lock.stop().unwrap();
    }
}

/// All that the other side still says.
fn rest(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A connection reset ends it as well as an end of file.
    let _ended = stream.read_to_end(&mut bytes);
    bytes
}

#[test]
fn s05_s15_packets_of_every_length_never_move_the_bolt_and_tell_nothing() {
    let mut bench = Bench::new();
    let denied = frame(b"D\x81\x01\x00\x0f");
    for length in 0..=MTU + 1 {
        let garbage = bench.garbage(length);
        let mut stream = bench.linked_stranger();
        let hello = read_frame(&mut stream).unwrap();
        assert_eq!(hello[..4], [b'D', 0x80, hello[2], 0]);
        // Writing may fail when the lock has had enough; that is an answer too.
        let _written = stream.write_all(&frame(&[b"D", &garbage[..]].concat()));
        let _shut = stream.shutdown(Shutdown::Write);
        let said = rest(&mut stream);
        assert!(
            said.is_empty() || said == denied,
            "length {length}, seed {}: {said:?}",
            bench.seed
        );
        bench.assert_unmoved(&format!("packet of {length} bytes"));
    }
    bench.assert_serving();
}

/// A well-formed link message of every type and length: past the framing, into the parsers.
#[test]
fn s05_s15_messages_of_every_type_never_move_the_bolt() {
    let mut bench = Bench::new();
    for kind in 0..=16_u8 {
        for length in [0, 1, 15, 16, 17, 31, 32, 47, 48, 49, 95, 96, 97, 160, 239] {
            let body = bench.garbage(length);
            let [low, high] = (length as u16 + 1).to_le_bytes();
            let packet = [&[b'D', 0x80, low, high, kind], &body[..]].concat();
            let mut stream = bench.linked_stranger();
            let _written = stream.write_all(&frame(&packet));
            let _shut = stream.shutdown(Shutdown::Write);
            rest(&mut stream);
            bench.assert_unmoved(&format!("message {kind} of {length} bytes"));
        }
    }
    bench.assert_serving();
}

#[test]
fn s05_s15_raw_bytes_on_the_air_end_their_connection_only() {
    let mut bench = Bench::new();
    for length in (0..=700).step_by(7) {
        let garbage = bench.garbage(length);
        let mut before = bench.stranger();
        let _written = before.write_all(&garbage);
        let _shut = before.shutdown(Shutdown::Write);
        rest(&mut before);

        let mut after = bench.linked_stranger();
        let _written = after.write_all(&garbage);
        let _shut = after.shutdown(Shutdown::Write);
        rest(&mut after);
        bench.assert_unmoved(&format!("{length} raw bytes"));
    }
    bench.assert_serving();
}
