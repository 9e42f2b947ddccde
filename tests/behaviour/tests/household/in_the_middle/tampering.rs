//! S09: a proxy between hub and lock that reads, changes, drops, doubles, swaps and replays.
//!
//! Guards: a tampered message that is obeyed or believed, a command that a proxy makes the lock do
//! twice, a pairing that goes through somebody who has not seen the code (GATTacker).

use std::time::Duration;

use drawbridge_protocol::entropy::Entropy as _;
use drawbridge_support::air_proxy::{AirProxy, Frame, Step, Toward, eventually, packet_frame};
use serde_json::json;

use super::meddler::{Deed, Heard, listen, meddle, messages};
use crate::home::{Home, id_of, wait_final};

/// Which packets of a link are meddled with: its hello or first record, and what comes then.
const PACKETS: usize = 4;

/// A paired home behind a relay that has listened to one command, told in clear to nobody.
fn overheard() -> (AirProxy, Home, Heard) {
    let (relay, home) = Home::behind_relay("0");
    let lock = &home.locks[0];
    lock.press_button().unwrap();
    home.claim("Front", &lock.code).done("claim").unwrap();
    let heard = listen(&relay);
    relay.cut_links();
    let listener = home.listen();
    let command = home.signed("Front", "lock");
    home.publish(&lock.id, &command, &[]);
    assert_eq!(
        wait_final(&listener, &id_of(&command), 1)["status"],
        json!("done")
    );
    assert_eq!(lock.motor_starts().unwrap(), 1);
    let packets: Vec<u8> = heard
        .lock()
        .unwrap()
        .iter()
        .flat_map(|(.., p)| p.clone())
        .collect();
    assert!(packets.len() > command.len(), "nothing was overheard");
    for secret in command.windows(16).chain([lock.id.as_bytes()]) {
        assert!(
            !packets.windows(secret.len()).any(|window| window == secret),
            "read by the man in the middle"
        );
    }
    (relay, home, heard)
}

/// One command that a man in the middle meddles with; answers whether it cost him the link.
fn meddled(
    relay: &AirProxy,
    home: &Home,
    heard: &Heard,
    deed: Deed,
    toward: Toward,
    at: usize,
) -> bool {
    let what = format!("{deed:?} of packet {at} toward the {toward:?}");
    let lock = &home.locks[0];
    let done = meddle(relay, deed, toward, at, heard);
    // Every other time the lock has forgotten the session, so that the handshake is meddled with: it
    // ends the link itself then, since a link made before it starts anew would be the one meddled with.
    if at % 2 == 1 {
        lock.ask(&json!({"do": "reboot"})).unwrap();
    } else {
        relay.cut_links();
    }
    for round in 0..2 {
        let before = lock.motor_starts().unwrap();
        let (action, end) = match lock.bolt().unwrap().as_str() {
            "LOCKED" => ("unlock", "UNLOCKED"),
            _ => ("lock", "LOCKED"),
        };
        let words = [action, "Front", "--local", "--ttl", "60", "--wait", "60"];
        let said = home.owner.run(&words).unwrap();
        assert_eq!(
            said.code,
            0,
            "{what}, {round}: {said:?} {}",
            home.hub.log_tail()
        );
        assert_eq!(
            said.json()["proven"],
            json!(true),
            "{what}, {round}: {said:?}"
        );
        assert_eq!(lock.motor_starts().unwrap(), before + 1, "{what}, {round}");
        assert_eq!(lock.bolt().unwrap(), end, "{what}, {round}");
    }
    let link = done
        .lock()
        .unwrap()
        .unwrap_or_else(|| panic!("{what}: not done"));
    !relay.is_open(link)
}

fn every_packet(toward: Toward, deeds: &[Deed]) {
    let (relay, home, heard) = overheard();
    let (mut ended, mut all) = (0, 0);
    for deed in deeds {
        for at in 0..PACKETS {
            let cost_him_the_link = meddled(&relay, &home, &heard, *deed, toward, at);
            // What is missing is always noticed; a message refused, of itself, ends nothing.
            assert!(
                cost_him_the_link || *deed != Deed::Drop,
                "{deed:?} of packet {at} toward the {toward:?} went unnoticed"
            );
            all += 1;
            ended += u32::from(cost_him_the_link);
        }
    }
    relay.clear();
    let said = home
        .owner
        .run(&["lock", "log", "Front", "--all", "--local"])
        .unwrap();
    assert_eq!(said.code, 0, "the log is whole: {said:?}");
    println!("EVIDENCE s09 toward the {toward:?} {deeds:?}: {all} deeds, {ended} ended the link");
}

/// Both ways, each in a household of its own: most of the time somebody waits for an answer.
fn both_ways(deeds: &[Deed]) {
    std::thread::scope(|scope| {
        for toward in [Toward::Lock, Toward::Hub] {
            scope.spawn(move || every_packet(toward, deeds));
        }
    });
}

#[test]
fn s09_what_is_changed_is_neither_obeyed_nor_believed() {
    both_ways(&[Deed::Flip(3), Deed::Flip(1_001)]);
}

#[test]
fn s09_what_is_dropped_doubled_swapped_or_replayed_is_noticed_and_moves_nothing_twice() {
    both_ways(&[Deed::Drop, Deed::Twice, Deed::Swap, Deed::Replay]);
}

#[test]
fn s09_pairing_through_a_proxy_that_has_not_seen_the_code_fails() {
    let (relay, home) = Home::behind_relay("0");
    let lock = &home.locks[0];
    let owned = || lock.ask(&json!({"do": "status"})).unwrap()["core"]["owned"].clone();
    // He answers the hub's handshake himself: with bytes of his own, or with those of the lock, one
    // bit changed. Without the code's secret nothing else is to be had.
    for own in [true, false] {
        relay.set(move |frame: Frame<'_>| {
            let mut bytes = frame.bytes.to_vec();
            if frame.toward == Toward::Hub
                && let Some(packet) = frame.packet()
                && packet.get(3) == Some(&4)
            {
                let mut packet = packet.to_vec();
                if own {
                    drawbridge_daemon::owner::keys::Kernel.fill(&mut packet[4..]);
                } else {
                    let last = packet.len() - 1;
                    packet[last] ^= 1;
                }
                bytes = packet_frame(&packet);
            }
            vec![Step::Send(bytes)]
        });
        lock.press_button().unwrap();
        let said = home.claim("Front", &lock.code);
        assert_eq!(said.code, 1, "own {own}: {said:?}");
        assert!(
            format!("{said:?}").contains("wrong_secret"),
            "own {own}: {said:?}"
        );
        assert_eq!(owned(), json!(false), "own {own}");
        let known = home.done(&["lock", "list", "--local"]).to_string();
        assert!(!known.contains(&lock.id), "own {own}: {known}");
    }
    // With him gone, or merely listening, it works.
    let heard = listen(&relay);
    lock.press_button().unwrap();
    home.claim("Front", &lock.code).done("claim").unwrap();
    assert_eq!(owned(), json!(true));
    let command = home.done(&["lock", "Front", "--local"]);
    assert_eq!(command["proven"], json!(true));
    assert!(eventually(Duration::from_secs(5), || !heard
        .lock()
        .unwrap()
        .is_empty()));
    let heard = heard.lock().unwrap();
    // Hellos and handshakes apart, he heard records only.
    let kinds: Vec<u8> = heard
        .iter()
        .flat_map(|(link, way, _)| messages(&heard, *link, *way))
        .filter_map(|message| message.first().copied())
        .collect();
    assert!(
        kinds.iter().all(|kind| [1, 2, 3, 4, 5, 15].contains(kind)),
        "{kinds:?}"
    );
}
