//! The lock's Bluetooth host, from the controller's packets on: guard, trouble-host, attributes, pairing and channels
//! (S13). A step is over when the host has nothing to do; time passes when the input says so (`clock`).

mod clock;
mod controller;
mod peer;

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use drawbridge_lock_ble::{Identity, RadioError, Setup, run};
use embassy_time::{Duration, Instant};

use self::controller::{Air, Script};
use self::peer::{Deaf, disconnected, frame};
use crate::input::Input;

/// Steps of one life.
const MOST_STEPS: usize = 48;
/// Looks at the host in one step; it needs fewer than ten for any packet.
const MOST_LOOKS: usize = 100;
/// How long the host may take to advertise again after the last stranger has gone: its own pauses are 250 ms at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// Links that a controller may tell of: those that the host takes, and one too many.
const HANDLES: u16 = 3;
/// The well-behaved peer's.
const GOOD: u16 = 9;
const ATT: u16 = 4;
const SIGNALS: u16 = 5;
const SECURITY: u16 = 6;

/// Whatever a controller tells and a peer sends, in whatever order: the host panics nowhere, and a peer that comes
/// afterwards and behaves is answered.
///
/// # Panics
/// When it does, or is not.
pub fn radio(data: &[u8]) {
    clock::begin();
    let mut input = Input::new(data);
    let setup = setup();
    let air = Air::default();
    let mut host = pin!(run(Script::new(&air), &setup, &Deaf));
    let mut ended = settle(host.as_mut(), &air);
    for _ in 0..MOST_STEPS {
        if input.is_empty() || ended.is_some() {
            break;
        }
        step(&mut input, &air);
        ended = settle(host.as_mut(), &air);
    }
    match ended {
        None => {
            for handle in 0..HANDLES {
                air.tell(disconnected(handle));
            }
            serves(host, &air);
        }
        // Whoever runs the radio starts it again with a reset controller.
        Some(RadioError::Worn | RadioError::Mute | RadioError::Gone | RadioError::Refused) => {
            clock::begin();
            let air = Air::default();
            let host = pin!(run(Script::new(&air), &setup, &Deaf));
            serves(host, &air);
        }
        Some(other) => panic!("the radio ended with {other:?}"),
    }
}

fn setup() -> Setup {
    let mut next = 0_u8;
    Setup {
        identity: Identity::generate(|into| {
            for byte in into {
                next = next.wrapping_add(41);
                *byte = next;
            }
        }),
        passkey: 123_456,
        bonds: heapless::Vec::new(),
        address_every_s: 900,
        advert_every_ms: 100,
        probe: false,
    }
}

/// Lets the host do what there is to do.
fn settle(mut host: Pin<&mut impl Future<Output = RadioError>>, air: &Air) -> Option<RadioError> {
    let mut context = Context::from_waker(Waker::noop());
    let mut idle = 0;
    for _ in 0..MOST_LOOKS {
        let before = air.moves();
        if let Poll::Ready(error) = host.as_mut().poll(&mut context) {
            return Some(error);
        }
        idle = if air.moves() == before { idle + 1 } else { 0 };
        // Twice, for what one part of the host hands to another.
        if idle == 3 {
            break;
        }
    }
    None
}

fn step(input: &mut Input<'_>, air: &Air) {
    let kind = input.below(13);
    let handle = u16::from(input.byte()) % HANDLES;
    match kind {
        0 => air.connect(handle, input.array()),
        1 => air.tell(disconnected(handle)),
        // Frames with a length that is right, and whole.
        2 => air.tell_all(frame(handle, ATT, input.chunk(), 0)),
        3 => air.tell_all(frame(handle, SECURITY, input.chunk(), 0)),
        4 => {
            // A signal: code, identifier, length, data.
            let (code, id, data) = (input.byte(), input.byte(), input.chunk());
            let length = u16::try_from(data.len()).unwrap_or_default().to_le_bytes();
            let signal = [&[code, id], &length[..], data].concat();
            air.tell_all(frame(handle, SIGNALS, &signal, 0));
        }
        5 => {
            // A unit on a channel of the host's.
            let channel = 0x40 + u16::from(input.byte() % 8);
            let data = input.chunk();
            let length = u16::try_from(data.len()).unwrap_or_default().to_le_bytes();
            air.tell_all(frame(handle, channel, &[&length[..], data].concat(), 0));
        }
        // The same in pieces.
        6 => {
            let (channel, at) = (input.short() % 0x60, input.byte());
            air.tell_all(frame(handle, channel, input.chunk(), at));
        }
        // Anything at all, as data and as an event.
        7 => air.tell([&[2], input.chunk()].concat()),
        8 => air.tell([&[4], input.chunk()].concat()),
        9 => {
            let (code, data) = (input.byte(), input.chunk());
            let length = u8::try_from(data.len()).unwrap_or_default();
            air.tell([&[4, code, length], data].concat());
        }
        // Encryption is on, or a key is asked for.
        10 => air.tell([&[4, 0x08, 4, 0], &handle.to_le_bytes()[..], &[1]].concat()),
        11 => {
            let wanted = input.array::<10>();
            air.tell([&[4, 0x3e, 13, 5], &handle.to_le_bytes()[..], &wanted].concat());
        }
        // A while in which nothing comes, in steps of 50 ms.
        _ => clock::leap(Duration::from_millis(u64::from(input.byte()) * 50)),
    }
}

/// A peer that comes now and asks for the size of attributes is answered.
fn serves(mut host: Pin<&mut impl Future<Output = RadioError>>, air: &Air) {
    let asks = [0x02, 0x00, 0x02];
    let began = Instant::now();
    loop {
        assert_eq!(
            settle(host.as_mut(), air),
            None,
            "it ended with nobody there"
        );
        if air.is_advertising() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "nobody can connect any more");
        clock::wait(Duration::from_millis(1));
    }
    air.connect(GOOD, [0xc6; 6]);
    assert_eq!(settle(host.as_mut(), air), None, "it ended with a new link");
    air.forget_sent();
    air.tell_all(frame(GOOD, ATT, &asks, 0));
    let answered = || air.has_sent(GOOD, ATT, 0x03);
    loop {
        assert_eq!(settle(host.as_mut(), air), None, "it ended with a question");
        if answered() {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "a good peer gets no answer");
        clock::wait(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards: a target in which nothing happens.
    #[test]
    fn seeds_reach_attributes_pairing_and_channels() {
        for (seed, channel, code) in [
            ("attributes", ATT, 0x03),
            ("pairing", SECURITY, 0x02),
            ("channel", SIGNALS, 0x15),
        ] {
            let seeds = crate::seeds::of("radio");
            let (_, bytes) = seeds.iter().find(|(name, _)| *name == seed).unwrap();
            let (setup, air) = (setup(), Air::default());
            let mut host = pin!(run(Script::new(&air), &setup, &Deaf));
            assert_eq!(settle(host.as_mut(), &air), None);
            let mut input = Input::new(bytes);
            while !input.is_empty() {
                step(&mut input, &air);
                assert_eq!(settle(host.as_mut(), &air), None, "{seed}");
            }
            assert!(
                air.has_sent(0, channel, code),
                "{seed}: {:02x?}",
                air.sent()
            );
        }
    }

    // Guards: a check for a good peer that any host passes.
    #[test]
    #[should_panic(expected = "gets no answer")]
    fn a_host_that_hears_nothing_is_found() {
        let (setup, air) = (setup(), Air::default());
        let mut host = pin!(run(Script::new(&air), &setup, &Deaf));
        assert_eq!(settle(host.as_mut(), &air), None);
        air.fall_deaf();
        serves(host, &air);
    }
}
