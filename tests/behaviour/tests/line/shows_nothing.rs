//! S01 (without updates): what a recorder of the air learns.
//!
//! Guards: credentials and opcodes in clear on the air, found in 12 of 16 locks (Rose and Ramsey,
//! DEF CON 24), and commands that look alike because they are.

use std::collections::HashSet;

use base64ct::{Base64, Encoding};
use drawbridge_protocol::command::Action;

use super::capture::{By, Heard, joined, messages};
use super::faults::{Faults, Hop};
use super::line::Line;
use super::sender::id_of;

/// One seed for all runs: a chance match of four random bytes, once in a few hundred seeds, is no
/// finding.
const SEED: u64 = 1;
/// Bytes in a row that are a finding, of a secret and of a plaintext.
const OF_SECRET: usize = 4;
const OF_TEXT: usize = 6;

/// Everything heard, as it was on the air and without the framing.
fn air(heard: &[Heard]) -> Vec<Vec<u8>> {
    let packets = |by| -> Vec<Vec<u8>> {
        let of = heard.iter().filter(move |heard| heard.by == by);
        of.map(|heard| heard.packet.clone()).collect()
    };
    let mut air = [packets(By::Hub), packets(By::Lock)].concat();
    for by in [By::Hub, By::Lock] {
        air.extend(messages(&packets(by)).iter().map(|message| joined(message)));
    }
    air
}

/// The names of those needles of which `len` bytes in a row are on the air.
fn found<'n>(air: &[Vec<u8>], needles: &'n [(String, Vec<u8>)], len: usize) -> Vec<&'n str> {
    let windows: HashSet<&[u8]> = air.iter().flat_map(|bytes| bytes.windows(len)).collect();
    let shows = |needle: &Vec<u8>| needle.windows(len).any(|window| windows.contains(window));
    let hits = needles.iter().filter(|(_, needle)| shows(needle));
    hits.map(|(name, _)| name.as_str()).collect()
}

fn secrets(line: &Line) -> Vec<(String, Vec<u8>)> {
    let factory = &line.door.factory;
    let derived = factory.qr().keys();
    let hub = Line::hub_keys();
    let mut secrets = vec![
        ("setup secret", factory.setup.danger_as_bytes().to_vec()),
        ("pairing psk", derived.pair_psk.danger_as_bytes().to_vec()),
        ("claim key", derived.claim_key.danger_as_bytes().to_vec()),
        ("beacon key", derived.beacon_key.danger_as_bytes().to_vec()),
        ("lock link key", factory.link.danger_as_bytes().to_vec()),
        ("lock identity", factory.identity.danger_to_bytes().to_vec()),
        ("hub link key", hub.link.danger_as_bytes().to_vec()),
        ("hub identity", hub.identity.danger_to_bytes().to_vec()),
        ("owner", line.owner.identity.danger_to_bytes().to_vec()),
        ("owner device", line.owner.device.danger_as_bytes().to_vec()),
        ("audit key", line.owner.audit.danger_to_bytes().to_vec()),
    ];
    for binding in line.disk.bindings() {
        for psk in [Some(binding.psks.current), binding.psks.previous]
            .into_iter()
            .flatten()
        {
            secrets.push(("psk", psk.psk.danger_as_bytes().to_vec()));
        }
    }
    secrets
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .collect()
}

fn texts(line: &Line, statements: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
    let factory = &line.door.factory;
    let hub = Line::hub_keys();
    let mut texts = vec![
        ("lock id".to_owned(), factory.lock.as_bytes().to_vec()),
        ("name".into(), b"Front door".to_vec()),
        ("lock's public key".into(), factory.link.public().0.to_vec()),
        (
            "lock's identity".into(),
            factory.identity.public().0.to_vec(),
        ),
        ("hub's public key".into(), hub.link.public().0.to_vec()),
        ("hub's identity".into(), hub.identity.public().0.to_vec()),
        (
            "owner's identity".into(),
            line.owner.identity.public().0.to_vec(),
        ),
        ("ownership".into(), line.owner.ownership.as_bytes().to_vec()),
    ];
    for binding in line.disk.bindings() {
        texts.push(("grant".into(), binding.grant().unwrap().to_vec()));
    }
    for statement in statements {
        let id = id_of(statement);
        texts.push(("command".into(), statement.clone()));
        texts.push(("command id".into(), id.as_bytes().to_vec()));
        let report = Base64::decode_vec(&line.the_final(&id, "S01").report).unwrap();
        texts.push(("outcome".into(), report));
    }
    let records = line.auditor.records.iter();
    texts.extend(records.map(|record| ("log record".to_owned(), record.clone())));
    texts
}

/// The share of bits in which two strings of equal length differ.
fn distance(a: &[u8], b: &[u8]) -> f64 {
    let bits: u32 = a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum();
    f64::from(bits) / (a.len() * 8) as f64
}

#[test]
fn s01_capture_shows_nothing() {
    let mut line = Line::paired(SEED);
    let mut statements = Vec::new();
    for action in [Action::Unlock, Action::Lock, Action::Unlock] {
        statements.push(line.operate(action).1);
    }
    line.cut_link();
    line.quiet();
    statements.push(line.operate(Action::Lock).1);
    line.quiet();
    assert!(
        line.auditor.records.len() >= 10,
        "the log went over the air"
    );

    let (secrets, texts) = (secrets(&line), texts(&line, &statements));
    let mut air = air(&line.heard);
    assert_eq!(found(&air, &secrets, OF_SECRET), [""; 0], "S01");
    assert_eq!(found(&air, &texts, OF_TEXT), [""; 0], "S01");

    // Controls: each needle is found when just that many bytes of it are in the middle of a packet.
    for (needles, len) in [(&secrets, OF_SECRET), (&texts, OF_TEXT)] {
        for (name, needle) in needles {
            let at = needle.len() / 2 - len / 2;
            let (whole, end) = (air[0].clone(), air.len());
            let planted = [&whole[..9], &needle[at..at + len], &whole[9..]].concat();
            air.push(planted);
            assert!(found(&air, needles, len).contains(&name.as_str()), "{name}");
            air.truncate(end);
        }
    }
    println!(
        "EVIDENCE packets {}, secrets {}, texts {}",
        line.heard.len(),
        secrets.len(),
        texts.len()
    );
}

/// Guards: a nonce or a label used twice, or a length of plaintext that leaves a pattern: the same
/// command, sealed again, must look like any other.
#[test]
fn s01_two_equal_commands_give_unrelated_bytes() {
    let mut line = Line::paired(SEED);
    line.quiet();
    let older = line.disk.clone();
    let mark = line.heard.len();
    // Within one session: the outcome is lost three times, and the hub asks with the same bytes.
    line.faults = Faults::at(Hop::LockOutcome, 3);
    let (id, statement) = line.operate(Action::Unlock);
    assert_eq!(line.faults.left(), 0);
    line.quiet();
    let within = line.links;
    // In another session: a hub that has forgotten it delivers it again.
    line.crash_hub();
    line.disk = older;
    line.pass(5_000);
    line.send(&statement);
    line.quiet();
    assert!(line.links > within, "there was a new session");
    assert_eq!(line.said(&id, "done"), 2);

    let packets: Vec<_> = line.heard[mark..]
        .iter()
        .filter(|heard| heard.by == By::Hub)
        .map(|heard| heard.packet.clone())
        .collect();
    let records: Vec<_> = messages(&packets)
        .iter()
        .map(|message| joined(message))
        .collect();
    // A record's length tells that of its plaintext: opcode and statement.
    let of_command = |record: &&Vec<u8>| record.len().abs_diff(statement.len() + 36) <= 8;
    let alike: Vec<_> = records.iter().filter(of_command).collect();
    assert!(
        alike.len() >= 5,
        "command, three queries, command: {}",
        alike.len()
    );
    let mut pairs = 0;
    for (index, a) in alike.iter().enumerate() {
        for b in &alike[index + 1..] {
            if a.len() == b.len() {
                // The first byte says "record"; nothing after it may repeat.
                let share = distance(&a[1..], &b[1..]);
                assert!((0.42..0.58).contains(&share), "S01: {share}");
                pairs += 1;
            }
        }
    }
    assert!(pairs >= 10, "{pairs}");
    // Control: one record against itself with a byte changed is seen as related.
    let mut changed = alike[0].clone();
    changed[40] ^= 0xff;
    assert!(distance(&alike[0][1..], &changed[1..]) < 0.1);
    println!("EVIDENCE pairs of equal length {pairs}");
}
