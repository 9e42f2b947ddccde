//! S10: somebody at the lock's address, with the lock's own beacon.
//!
//! Guards: a hub that speaks before the other side has proved itself, shows an id by which it or the
//! lock is known again, or stays with the impostor when the lock is back (BLESA).

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use drawbridge_support::air_proxy::{AirProxy, Toward, eventually, packet_frame};
use serde_json::json;

use super::meddler::{Heard, listen, messages};
use crate::home::{FAR, Home, NEAR, RELAY, finals, id_of, proven, wait_final};

/// The frame that grants a link with packets of 244 bytes.
const GRANTED: &[u8] = b"\x03\x00O\xf4\x00";
/// Kinds of messages: a lock's hello, both handshakes, a record, a lock's no.
const HELLO: u8 = 1;
const HANDSHAKE_1: u8 = 3;
const HANDSHAKE_2: u8 = 4;
const RECORD: u8 = 5;
const DENIED: u8 = 15;

/// What a stranger can record: the advert, and everything that passed on earlier links.
#[derive(Clone)]
struct Recorded {
    advert: Vec<u8>,
    hello: Vec<u8>,
    handshake: Vec<u8>,
    record: Vec<u8>,
}

fn frame(from: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    from.read_exact(&mut length).ok()?;
    let mut body = vec![0; usize::from(u16::from_le_bytes(length))];
    from.read_exact(&mut body).ok()?;
    Some([length.as_slice(), &body].concat())
}

/// One packet of so and so many of this link, with a message in it.
fn packet(number: u8, message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap().to_le_bytes();
    packet_frame(&[&[0x80 | number], length.as_slice(), message].concat())
}

/// Serves one link with what was recorded: hello, an old record, `no` to a session that goes on,
/// and an old answer to a handshake. Everything that the hub says is kept.
fn pose(mut hub: UnixStream, link: u64, recorded: &Recorded, heard: &Heard) -> Option<()> {
    hub.write_all(&recorded.advert).ok()?;
    let asked = frame(&mut hub)?;
    assert_eq!(asked.get(2), Some(&b'C'));
    hub.write_all(GRANTED).ok()?;
    hub.write_all(&packet(0, &recorded.hello)).ok()?;
    let mut number = 0;
    let mut next = || {
        number += 1;
        number
    };
    loop {
        let got = frame(&mut hub)?;
        let got = got.get(3..)?.to_vec();
        let kind = got.get(3).copied();
        heard.lock().unwrap().push((link, Toward::Lock, got));
        let answers = match kind {
            Some(RECORD) => vec![packet(next(), &recorded.record), packet(next(), &[DENIED])],
            Some(HANDSHAKE_1) => vec![packet(next(), &recorded.handshake)],
            _ => Vec::new(),
        };
        for answer in answers {
            hub.write_all(&answer).ok()?;
        }
    }
}

fn impostor(near: &Path, recorded: Recorded) -> Heard {
    let place = near.join(format!("{RELAY}.air"));
    let listener = UnixListener::bind(place).unwrap();
    let heard = Heard::default();
    let mine = Arc::clone(&heard);
    // Ends with the process: nobody has to be told.
    std::thread::spawn(move || {
        for (link, stream) in (1..).zip(listener.incoming()) {
            let (recorded, heard) = (recorded.clone(), Arc::clone(&mine));
            std::thread::spawn(move || pose(stream.unwrap(), link, &recorded, &heard));
        }
    });
    heard
}

/// Ids of the records in these packets, and the keys that begin handshakes.
fn ids(heard: &[(u64, Toward, Vec<u8>)], way: Toward) -> Vec<(u64, Vec<u8>)> {
    let links: BTreeSet<u64> = heard.iter().map(|(link, ..)| *link).collect();
    let mut all = Vec::new();
    for link in links {
        for message in messages(heard, link, way) {
            let id = match message.first() {
                Some(&RECORD) => message.get(1..9),
                Some(&HANDSHAKE_1) => message.get(1..33),
                _ => None,
            };
            all.extend(id.map(|id| (link, id.to_vec())));
        }
    }
    all
}

#[test]
fn s10_an_impostor_hears_nothing_it_can_use_and_the_hub_goes_on_to_the_lock() {
    let (relay, home) = Home::behind_relay("0");
    let lock = &home.locks[0];
    lock.press_button().unwrap();
    // Whoever stands by records everything, pairing and all.
    let before = listen(&relay);
    home.claim("Front", &lock.code).done("claim").unwrap();
    let locked = home.done(&["lock", "Front", "--local"]);
    assert_eq!(locked["proven"], json!(true));
    let near = home.folder.path().join(NEAR);
    let mut scanner = UnixStream::connect(near.join(format!("{RELAY}.air"))).unwrap();
    let advert = frame(&mut scanner).unwrap();
    drop(scanner);
    let of = |kind: u8| {
        let heard = before.lock().unwrap();
        let links: BTreeSet<u64> = heard.iter().map(|(link, ..)| *link).collect();
        let mut said = links
            .iter()
            .flat_map(|link| messages(&heard, *link, Toward::Hub));
        said.find(|message| message.first() == Some(&kind)).unwrap()
    };
    let recorded = Recorded {
        advert,
        hello: of(HELLO),
        handshake: of(HANDSHAKE_2),
        record: of(RECORD),
    };
    let listener = home.listen();
    let command = home.signed("Front", "unlock");
    let from = home.hub.log_size();
    drop(relay);
    let heard = impostor(&near, recorded);

    // A command comes: the impostor is all that can be reached.
    home.publish(&lock.id, &command, &[]);
    home.hub.wait_for_log("reason=impostor", from, 20).unwrap();
    assert!(eventually(Duration::from_secs(20), || {
        let links = heard.lock().unwrap();
        links
            .iter()
            .map(|(link, ..)| *link)
            .collect::<BTreeSet<_>>()
            .len()
            >= 3
    }));
    assert_eq!(
        finals(&listener, &id_of(&command)),
        Vec::<serde_json::Value>::new()
    );
    let shown = home.done(&["lock", "show", "Front", "--local"]).to_string();
    assert!(shown.contains("impostor"), "{shown}");
    assert_eq!(lock.motor_starts().unwrap(), 1);

    // The lock is heard again, at another address; the impostor stays.
    let relay = AirProxy::start(&near, "00000000000000bb", &home.folder.path().join(FAR)).unwrap();
    let after = listen(&relay);
    let result = wait_final(&listener, &id_of(&command), 1);
    assert_eq!(result["status"], json!("done"), "{result}");
    proven(lock, &result);
    assert_eq!(lock.motor_starts().unwrap(), 2);

    // What the impostor heard: no word of the command, and nothing that was said before or after.
    let (before, heard, after) = (
        before.lock().unwrap(),
        heard.lock().unwrap(),
        after.lock().unwrap(),
    );
    let all: Vec<u8> = heard
        .iter()
        .flat_map(|(.., packet)| packet.clone())
        .collect();
    let id = u64::from_str_radix(&lock.id, 16).unwrap().to_be_bytes();
    for secret in command.windows(16).chain([id.as_slice(), b"Front", b"h1"]) {
        assert!(
            !all.windows(secret.len()).any(|window| window == secret),
            "{secret:?}"
        );
    }
    let shown = ids(&heard, Toward::Lock);
    let handshakes = shown.iter().filter(|(_, id)| id.len() == 32).count();
    assert!(handshakes >= 2, "{shown:?}");
    for (link, id) in &shown {
        let elsewhere = shown
            .iter()
            .any(|(other, seen)| other != link && seen == id);
        assert!(!elsewhere, "an id that tells the hub again");
        for (_, seen) in [&before, &after]
            .into_iter()
            .flat_map(|heard| ids(heard, Toward::Lock))
        {
            assert_ne!(&seen, id, "an id that is used with the lock");
        }
    }
    println!(
        "EVIDENCE s10 {} messages of {} kinds of ids to the impostor, none seen twice",
        heard.len(),
        shown.len()
    );
}
