//! S11: a relay that carries hub and lock together over any distance, and takes its time.
//!
//! Guards: a door that opens because somebody near the hub carries its radio to the lock (NCC's relay
//! of 8 ms), and a command that a relay keeps until its sender has gone away.

use std::time::{Duration, Instant};

use drawbridge_protocol::outcome::Verdict;
use drawbridge_support::air_proxy::{AirProxy, Frame, Step, Toward, eventually};
use serde_json::json;

use crate::home::{Home, finals, id_of, proven, wait_final};

/// How long the commands here may live.
const TTL: Duration = Duration::from_secs(4);

fn paired() -> (AirProxy, Home) {
    let (relay, home) = Home::behind_relay("0");
    home.locks[0].press_button().unwrap();
    home.claim("Front", &home.locks[0].code)
        .done("claim")
        .unwrap();
    (relay, home)
}

/// Nothing reaches the lock before `moment`; what was sent meanwhile reaches it then, however many
/// links it was sent on.
fn hold_until(relay: &AirProxy, moment: Instant) {
    relay.set(move |frame: Frame<'_>| {
        let bytes = Step::Send(frame.bytes.to_vec());
        match frame.toward {
            Toward::Lock => vec![Step::Until(moment), bytes],
            Toward::Hub => vec![bytes],
        }
    });
}

fn signed(home: &Home, action: &str) -> Vec<u8> {
    let out = home.folder.path().join("short.cose");
    let (path, ttl) = (out.display().to_string(), TTL.as_secs().to_string());
    home.done(&[
        "owner", "sign", "--lock", "Front", "--action", action, "--ttl", &ttl, "--out", &path,
    ]);
    let command = std::fs::read(&out).unwrap();
    std::fs::remove_file(&out).unwrap();
    command
}

#[test]
fn s11_nothing_unlocks_because_a_relay_brings_hub_and_lock_together() {
    let (relay, home) = paired();
    let lock = &home.locks[0];
    let locked = home.done(&["lock", "Front", "--local"]);
    assert_eq!(locked["proven"], json!(true));
    let links = || relay.asked().len();
    for _ in 0..20 {
        let before = links();
        relay.cut_links();
        assert!(eventually(Duration::from_secs(10), || links() > before));
    }
    // The hub has heard the lock on the last of them, too.
    let state = home.done(&["state", "Front", "--local"]);
    assert!(state.to_string().contains("LOCKED"), "{state}");
    assert_eq!(lock.motor_starts().unwrap(), 1);
    assert_eq!(lock.bolt().unwrap(), "LOCKED");
}

#[test]
fn s11_a_command_held_back_past_its_expiry_is_never_obeyed() {
    let (relay, home) = paired();
    let lock = &home.locks[0];
    let listener = home.listen();
    home.done(&["lock", "Front", "--local"]);
    // Held on a link that stays up; then for so long that the hub has given links up and sent it anew.
    for held in [TTL + Duration::from_secs(2), Duration::from_secs(16)] {
        let command = signed(&home, "unlock");
        hold_until(&relay, Instant::now() + held);
        home.publish(&lock.id, &command, &[]);
        let result = wait_final(&listener, &id_of(&command), 1);
        // It came too late; or it was asked for after it had died unseen.
        let outcome = proven(lock, &result);
        let word = match outcome.verdict {
            Verdict::Expired => "expired",
            Verdict::NotExecuted => "not_executed",
            other => panic!("{held:?}: {other:?} in {result}"),
        };
        assert_eq!(result["status"], json!(word), "{held:?}: {result}");
        println!("EVIDENCE s11 held back for {held:?} of {TTL:?}: {word}");
        relay.clear();
        // All that was held back has arrived since, and a command after it passes.
        let next = home.done(&["lock", "Front", "--local"]);
        assert_eq!(next["proven"], json!(true), "{held:?}: {next}");
        assert_eq!(lock.bolt().unwrap(), "LOCKED", "{held:?}");
    }
    // Three times "lock", never "unlock".
    assert_eq!(lock.motor_starts().unwrap(), 3);
}

#[test]
fn s11_a_command_held_back_for_less_is_obeyed_once() {
    let (relay, home) = paired();
    let lock = &home.locks[0];
    let listener = home.listen();
    for (done, held) in (1..).zip([8, 300, 2_000].map(Duration::from_millis)) {
        let action = if done % 2 == 1 { "lock" } else { "unlock" };
        let command = signed(&home, action);
        hold_until(&relay, Instant::now() + held);
        home.publish(&lock.id, &command, &[]);
        let result = wait_final(&listener, &id_of(&command), 1);
        assert_eq!(result["status"], json!("done"), "{held:?}: {result}");
        relay.clear();
        for result in finals(&listener, &id_of(&command)) {
            assert_eq!(proven(lock, &result).verdict, Verdict::Done);
        }
        assert_eq!(lock.motor_starts().unwrap(), done, "{held:?}");
    }
}
