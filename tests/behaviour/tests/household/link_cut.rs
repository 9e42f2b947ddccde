//! F03: the link is cut at each byte of a pairing, and of a command with its log pull.
//!
//! Guards: a command done twice or told wrongly after a lost link, a hole in the log, a pairing that
//! stands on one side only and needs somebody to clean up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use drawbridge_support::air_proxy::{AirProxy, Frame, Step, eventually};
use drawbridge_support::household::{LockSim, Programs};
use serde_json::json;

use crate::home::{FAR, Home};

/// In the quick lane one byte boundary in so many is tried: 5 % of a command's, 2.5 % of a pairing's,
/// where the lock makes a hub wait that shakes hands too often.
const ONE_COMMAND_IN: u64 = 20;
const ONE_PAIRING_IN: u64 = 40;
/// A lock that is reset so often is replaced: each reset raises its policy epoch, and the owner
/// believes only in small ones.
const PAIRINGS_A_LOCK: u64 = 40;
/// The log is freed after so many commands, long before it is full.
const COMMANDS_A_FREEING: u64 = 20;
/// From the link's return to the proven end of the command.
const RESOLVED: Duration = Duration::from_secs(1);
/// The lock lets a peer shake hands once a second, and ten times in a row: a house whose links are cut
/// more often than that waits for its lock.
const HANDSHAKE_EVERY: Duration = Duration::from_secs(1);
/// Kind of the message that begins one.
const HANDSHAKE_1: u8 = 3;
/// After so long without a byte, what was begun has ended.
const QUIET: Duration = Duration::from_millis(500);

/// One cut, after so many bytes of the next link and those that follow it, both ways together: a lock
/// that had many handshakes lately refuses one or two.
#[derive(Clone)]
struct Cut {
    at: Arc<Mutex<Option<Instant>>>,
    passed: Arc<AtomicU64>,
    /// Handshakes that the hub began.
    shaken: Arc<AtomicU64>,
}

impl Cut {
    /// Counts from the frame with which the hub asks for its next link.
    fn after(relay: &AirProxy, bytes: u64) -> Self {
        let cut = Self {
            at: Arc::default(),
            passed: Arc::default(),
            shaken: Arc::default(),
        };
        let (mine, mut first) = (cut.clone(), None);
        relay.set(move |frame: Frame<'_>| {
            if first.is_none() && frame.asks_for_link() {
                first = Some(frame.link);
            }
            if frame.packet().and_then(|packet| packet.get(3)) == Some(&HANDSHAKE_1) {
                mine.shaken.fetch_add(1, Ordering::AcqRel);
            }
            if first.is_none_or(|first| frame.link < first) || mine.when().is_some() {
                return vec![Step::Send(frame.bytes.to_vec())];
            }
            let left = bytes - mine.passed.load(Ordering::Acquire);
            let whole = frame.bytes.len() as u64;
            mine.passed.fetch_add(whole.min(left), Ordering::AcqRel);
            if whole <= left {
                return vec![Step::Send(frame.bytes.to_vec())];
            }
            *mine.at.lock().unwrap() = Some(Instant::now());
            let before = frame.bytes.iter().take(left as usize);
            vec![Step::Send(before.copied().collect()), Step::Cut]
        });
        cut
    }

    fn when(&self) -> Option<Instant> {
        *self.at.lock().unwrap()
    }

    /// Waits until nothing passes any more; how many bytes did.
    fn quiet(&self) -> u64 {
        loop {
            let before = self.passed.load(Ordering::Acquire);
            if !eventually(QUIET, || self.passed.load(Ordering::Acquire) != before) {
                return before;
            }
        }
    }
}

/// Which boundaries to cut at: all of them, or one of each `one_in`, chosen by the seed.
fn boundaries(name: &str, bytes: u64, one_in: u64) -> Vec<u64> {
    let full = std::env::var("DRAWBRIDGE_LANE").is_ok_and(|lane| lane == "full");
    let seed = std::env::var("DRAWBRIDGE_SEED").ok();
    let seed: u64 = seed.and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut dice = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = |limit: u64| {
        dice ^= dice >> 12;
        dice ^= dice << 25;
        dice ^= dice >> 27;
        (dice.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    };
    let (lane, step) = if full { ("full", 1) } else { ("quick", one_in) };
    let chosen: Vec<u64> = (0..bytes)
        .step_by(step as usize)
        .map(|from| from + below(step.min(bytes - from)))
        .collect();
    println!(
        "COUNT {name} {lane} {} of {bytes} seed {seed}",
        chosen.len()
    );
    chosen
}

/// One command, whatever happens to the link: done once, told so, and the bolt is where it says.
fn command(home: &Home, what: &str) {
    let lock = &home.locks[0];
    let before = lock.motor_starts().unwrap();
    let (action, end) = match lock.bolt().unwrap().as_str() {
        "LOCKED" => ("unlock", "UNLOCKED"),
        _ => ("lock", "LOCKED"),
    };
    let said = home.owner.run(&[action, &lock.name, "--local"]).unwrap();
    assert_eq!(said.code, 0, "{what}: {said:?}; {}", home.hub.log_tail());
    let answer = said.json();
    assert_eq!(
        (&answer["status"], &answer["proven"]),
        (&json!("done"), &json!(true)),
        "{what}: {answer}"
    );
    assert_eq!(lock.motor_starts().unwrap(), before + 1, "{what}");
    assert_eq!(lock.bolt().unwrap(), end, "{what}");
}

/// The lock's log from the owner's mark to the head that the lock signs, whole; freed if `free`.
fn log_pull(home: &Home, free: bool, what: &str) {
    let name = &home.locks[0].name;
    let mut words = vec!["lock", "log", name, "--local"];
    words.extend(free.then_some("--free"));
    let said = home.owner.run(&words).unwrap();
    assert_eq!(said.code, 0, "{what}: {said:?}; {}", home.hub.log_tail());
}

/// Goes on with commands until the cut has come, should the bytes have been fewer than usual.
fn until_cut(home: &Home, cut: &Cut, what: &str) {
    for _ in 0..20 {
        if cut.when().is_some() {
            return;
        }
        command(home, what);
    }
    panic!("{what}: never cut");
}

#[test]
fn f03_link_cut_at_each_byte_of_a_command_and_a_log_pull_ends_in_the_truth() {
    let (relay, home) = Home::behind_relay("0");
    home.locks[0].press_button().unwrap();
    let name = home.locks[0].name.clone();
    home.claim(&name, &home.locks[0].code)
        .done("claim")
        .unwrap();
    // What the same takes with nothing cut, on a new link of a session that goes on.
    let length = (0..3).map(|_| {
        let all = Cut::after(&relay, u64::MAX);
        relay.cut_links();
        command(&home, "uncut");
        log_pull(&home, false, "uncut");
        all.quiet()
    });
    let length = length.min().unwrap();
    let mut slowest = Duration::ZERO;
    for (round, bytes) in (1..).zip(boundaries("f03_command_cuts", length, ONE_COMMAND_IN)) {
        let what = format!("cut after {bytes} of {length} bytes");
        let cut = Cut::after(&relay, bytes);
        relay.cut_links();
        command(&home, &what);
        let told = Instant::now();
        log_pull(&home, u64::is_multiple_of(round, COMMANDS_A_FREEING), &what);
        if let Some(at) = cut.when().filter(|at| *at < told) {
            let asked = relay.asked();
            let back = asked.iter().find(|(_, when)| *when > at);
            // Resolved before the link was back: the answer had passed before the cut.
            let took = back.map_or(Duration::ZERO, |(_, back)| {
                told.saturating_duration_since(*back)
            });
            slowest = slowest.max(took);
        }
        until_cut(&home, &cut, &what);
        // Each cut is one by itself, not the last of many.
        let shaken = cut.shaken.load(Ordering::Acquire);
        std::thread::sleep(HANDSHAKE_EVERY * u32::try_from(shaken).unwrap());
    }
    relay.clear();
    log_pull(&home, true, "at the end");
    println!("EVIDENCE f03 slowest from the link's return to the proven end: {slowest:?}");
    assert!(slowest <= RESOLVED, "{slowest:?}");
}

/// Resets the lock and has the hub forget it; a new lock in its place where one was reset enough.
fn as_from_the_factory(home: &mut Home, round: u64) {
    let lock = &home.locks[0];
    // A hub that does not know it has nothing to remove.
    let words = ["lock", "remove", &lock.name, "--yes", "--local"];
    home.owner.run(&words).unwrap();
    if round.is_multiple_of(PAIRINGS_A_LOCK) {
        let files = home.folder.path().join("locks");
        let air = home.folder.path().join(FAR);
        home.locks.clear();
        let name = format!("Front {round}");
        let programs = Programs::shared();
        let lock = LockSim::start(programs, &files, &air, &name, &["--motor-ms", "0"]).unwrap();
        home.locks.push(lock);
    } else {
        lock.ask(&json!({"do": "button", "held_ms": 10_000}))
            .unwrap();
    }
}

/// Presses the button and claims; answers whether the first try did it.
fn pair(home: &Home, what: &str) -> bool {
    let lock = &home.locks[0];
    lock.press_button().unwrap();
    let said = home.claim(&lock.name, &lock.code);
    let is_done = said.code == 0;
    if !is_done {
        // The same again, as the command line says: nothing is cleaned up in between.
        assert_eq!(
            said.json()["proven"],
            json!(null),
            "{what}: no proof of anything: {said:?}"
        );
        lock.press_button().unwrap();
        home.claim(&lock.name, &lock.code)
            .done(&format!("{what}: second try after {said:?}"))
            .unwrap();
    }
    let owned = lock.ask(&json!({"do": "status"})).unwrap()["core"]["owned"].clone();
    assert_eq!(owned, json!(true), "{what}");
    is_done
}

#[test]
fn f03_link_cut_at_each_byte_of_a_pairing_ends_in_the_truth() {
    let (relay, mut home) = Home::behind_relay("0");
    let length = (1..=3).map(|round| {
        as_from_the_factory(&mut home, round);
        let all = Cut::after(&relay, u64::MAX);
        assert!(pair(&home, "uncut"));
        all.quiet()
    });
    let length = length.min().unwrap();
    let mut at_once = 0;
    for (round, bytes) in (4..).zip(boundaries("f03_pairing_cuts", length, ONE_PAIRING_IN)) {
        let what = format!("cut after {bytes} of {length} bytes");
        as_from_the_factory(&mut home, round);
        let cut = Cut::after(&relay, bytes);
        at_once += u64::from(pair(&home, &what));
        // It stands on both sides: the owner's word moves the bolt, the hub's grant reads the log.
        command(&home, &what);
        log_pull(&home, false, &what);
        until_cut(&home, &cut, &what);
    }
    println!("EVIDENCE f03 pairings that needed no second try: {at_once}");
}
