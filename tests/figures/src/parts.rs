//! The hub's own work on one command, each step timed alone on the bytes that were really sent.

use std::hint::black_box;
use std::time::Instant;

use drawbridge_protocol::command::Command;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::frame::Fragmenter;
use drawbridge_protocol::keys::{IdentityKey, SharedSecret};
use drawbridge_protocol::link_message::{LinkMessage, MAX_LINK_MESSAGE, MAX_PLAINTEXT, MAX_RECORD};
use drawbridge_protocol::session::{Label, Role, Session};
use drawbridge_protocol::tunnel::HubToLock;

use crate::Failure;
use crate::samples::Samples;

/// Times of each step, in microseconds.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) parse: Samples,
    pub(crate) verify: Samples,
    pub(crate) seal: Samples,
}

/// A counter is random enough for keys that guard nothing.
struct Counter(u8);

impl Entropy for Counter {
    fn fill(&mut self, into: &mut [u8]) {
        for byte in into {
            self.0 = self.0.wrapping_mul(5).wrapping_add(1);
            *byte = self.0;
        }
    }
}

/// Runs each step once per command, in the same order as the hub.
pub(crate) fn time(commands: &[Vec<u8>], owner: &IdentityKey) -> Result<Parts, Failure> {
    let mut entropy = Counter(7);
    let mut session = Session::new(
        Role::Peer,
        SharedSecret::new(entropy.bytes()),
        SharedSecret::new(entropy.bytes()),
        Label::generate(&mut entropy),
        Label::generate(&mut entropy),
    );
    let mut fragments = Fragmenter::new();
    let (mut parse, mut verify, mut seal) = (Vec::new(), Vec::new(), Vec::new());
    for bytes in commands {
        let began = Instant::now();
        let read = Command::read(black_box(bytes))?;
        parse.push(micros(began));

        let began = Instant::now();
        black_box(&read).verify(owner)?;
        verify.push(micros(began));

        let (mut plain, mut record) = ([0; MAX_PLAINTEXT], [0; MAX_RECORD]);
        let (mut whole, mut scratch) = ([0; MAX_LINK_MESSAGE], [0; 512]);
        let began = Instant::now();
        let plain = HubToLock::Command { statement: bytes }.encode(&mut plain)?;
        let record = session
            .seal(plain, &mut record)
            .map_err(|error| format!("{error:?}"))?;
        let whole = LinkMessage::Record(record)
            .encode(&mut whole)
            .map_err(|error| format!("{error:?}"))?;
        fragments
            .cut(whole, &mut scratch, 244, |packet| {
                black_box(packet.to_vec());
            })
            .map_err(|error| format!("{error:?}"))?;
        seal.push(micros(began));
    }
    Ok(Parts {
        parse: Samples::new(parse).ok_or("no command")?,
        verify: Samples::new(verify).ok_or("no command")?,
        seal: Samples::new(seal).ok_or("no command")?,
    })
}

fn micros(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}
