//! S01: a capture of pairing, commands and log pull, by somebody who hears more than the air: the links' own encryption is
//! off here, because the capture is taken above it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use drawbridge_bench::capture::{Air, Bearer, By, Message};
use drawbridge_bench::{Clock, Report, Scenario};
use drawbridge_protocol::link_message::RECORD_HEADER;

use super::needles::{Needle, OF_TEXT, chance, found};
use super::{LOCKS, expected, secrets};

/// Commands for each lock; the last of them is asked for again, because its answer is lost with its link.
const COMMANDS: usize = 5;
const REPEATS: usize = 1;
/// Opcode, request, tag and header: what a record is longer than the statement in it, and how much that varies.
const AROUND: usize = 36;
const ABOUT: usize = 8;
/// No two sealed texts have so many bytes in a row in common. By chance: some 50,000 places, so a billion pairs of them, over
/// 256^7: one in 50 million captures.
const RUN: usize = 7;
/// Type of a link message: pairing and session, then records.
const RECORD: u8 = 5;

/// Guards: credentials and opcodes in clear on the air, found in 12 of 16 locks (Rose and Ramsey, DEF CON 24), where the
/// maker trusted the link's own encryption.
#[test]
fn s01_hci_capture_of_pairing_unlocking_and_log_pull_shows_nothing() {
    judge(&captured(false), Bearer::Channel);
}

/// Guards: the same for the bearer of phones and browsers, which has another framing.
#[test]
fn s01_hci_capture_over_gatt_alone_shows_nothing() {
    judge(&captured(true), Bearer::Gatt);
}

fn captured(gatt_only: bool) -> Report {
    // On a busy machine the house alone would take minutes of the real clock.
    let scenario = Scenario::new("captures")
        .with("GATT_ONLY", gatt_only)
        .within(Duration::from_secs(300), Duration::from_secs(2_400))
        .on(Clock::Counted);
    let report = scenario.run().unwrap();
    let mut once = vec!["app_listens".to_owned()];
    once.extend((1..=COMMANDS * LOCKS.len()).map(|number| format!("command_{number}_has_an_end")));
    let once: Vec<&str> = once.iter().map(String::as_str).collect();
    let of_each = [
        "is_powered",
        "is_claimed",
        "log_is_pulled",
        "is_to_lose_an_answer",
        "lost_an_answer",
        "log_is_whole",
    ];
    report.expect_in_house(&expected(&once, &of_each));
    report
}

fn judge(report: &Report, bearer: Bearer) {
    let air = Air::read(report.file("air")).unwrap();
    let heard: Vec<&[u8]> = air.heard().collect();
    let needles = secrets::needles(report);
    let chance = chance(&heard, &needles);
    assert!(
        chance < 1e-5,
        "chance would find something once in {:.0} captures",
        1.0 / chance
    );
    has_everything(&air, report, bearer);
    let hits: Vec<&str> = found(&heard, &needles)
        .iter()
        .map(|needle| needle.name.as_str())
        .collect();
    assert_eq!(hits, [""; 0], "S01");
    each_would_be_found(&air, report.file("air"), &needles);
    equal_commands_are_unrelated(&air, report);
    let bytes = |by| {
        air.packets
            .iter()
            .filter(|packet| packet.by == by)
            .map(|packet| packet.data.len())
            .sum::<usize>()
    };
    println!(
        "EVIDENCE s01 {bearer:?}: {} packets of data, {} bytes from the hub and {} from the locks, {} adverts; {} needles not found; \
         by chance one would be once in {:.0} captures",
        air.packets.len(),
        bytes(By::Hub),
        bytes(By::Lock),
        air.adverts.len(),
        needles.len(),
        1.0 / chance
    );
}

/// The capture has what it is said to have, or nothing is found because nothing is there.
fn has_everything(air: &Air, report: &Report, bearer: Bearer) {
    let of = |by: By, kind: u8| {
        let messages = air.messages.iter();
        messages.filter(move |message| message.by == by && message.bytes[0] == kind)
    };
    assert!(air.messages.iter().all(|message| message.bearer == bearer));
    // Each lock was bonded (channel 6: pairing) and had a handshake: both hellos, both messages of Noise.
    for by in [By::Hub, By::Lock] {
        let bonding: HashSet<usize> = air
            .frames
            .iter()
            .filter(|frame| frame.channel == 6 && frame.by == by)
            .map(|frame| frame.link)
            .collect();
        assert!(
            bonding.len() >= LOCKS.len(),
            "bonding with both locks, by {by:?}"
        );
    }
    for (by, kind) in [(By::Lock, 1), (By::Hub, 2), (By::Hub, 3), (By::Lock, 4)] {
        assert!(
            of(by, kind).count() >= LOCKS.len(),
            "message {kind} by {by:?}"
        );
    }
    // Every command went to a lock sealed, and every record of the log came from one.
    let statements: usize = secrets::statements(report)
        .iter()
        .map(|statement| statement.len())
        .sum();
    let records = secrets::records(report);
    assert!(
        records.len() >= 2 * COMMANDS * LOCKS.len(),
        "{} records",
        records.len()
    );
    let records: usize = records.iter().map(Vec::len).sum();
    for (by, least) in [(By::Hub, statements), (By::Lock, records)] {
        let sealed: usize = of(by, RECORD).map(|message| message.bytes.len()).sum();
        assert!(
            sealed > least,
            "{by:?} sealed {sealed} bytes where {least} were due"
        );
    }
}

/// Controls: a run of each needle, put into the middle of a packet, is found. So is one that the capture's own framing cuts
/// in two.
fn each_would_be_found(air: &Air, capture: &[u8], needles: &[Needle]) {
    let packet = air
        .packets
        .iter()
        .map(|packet| packet.data.as_slice())
        .max_by_key(|data| data.len())
        .unwrap();
    for needle in needles {
        let at = (needle.bytes.len() - needle.run) / 2;
        let planted = [
            &packet[..9],
            &needle.bytes[at..at + needle.run],
            &packet[9..],
        ]
        .concat();
        let hits = found(&[&planted], needles);
        assert!(
            hits.iter().any(|hit| hit.name == needle.name),
            "{}",
            needle.name
        );
    }
    let longest = needles
        .iter()
        .max_by_key(|needle| needle.bytes.len())
        .unwrap();
    let run = &longest.bytes[..OF_TEXT];
    let planted = [capture, &data_records(run, 3)].concat();
    let air = Air::read(&planted).unwrap();
    let heard: Vec<&[u8]> = air.heard().collect();
    assert_eq!(found(&heard, needles).len(), 1, "{}", longest.name);
    // Between the packets alone it would not have been found.
    let packets: Vec<&[u8]> = air
        .packets
        .iter()
        .map(|packet| packet.data.as_slice())
        .collect();
    assert_eq!(found(&packets, needles).len(), 0);
}

/// Records of a capture: an ATT frame with this content from a handle of its own, cut after so many bytes of it.
fn data_records(content: &[u8], cut: usize) -> Vec<u8> {
    let frame = [&[content.len() as u8, 0, 4, 0], content].concat();
    let (first, second) = frame.split_at(4 + cut);
    let mut records = Vec::new();
    for (flags, part) in [(0x2f, first), (0x1f, second)] {
        let packet = [&[0xee, flags, part.len() as u8, 0], part].concat();
        for word in [packet.len() as u32, packet.len() as u32, 5, 0, 0, 0] {
            records.extend(word.to_be_bytes());
        }
        records.extend(packet);
    }
    records
}

/// The share of bits in which two strings of equal length differ.
fn distance(a: &[u8], b: &[u8]) -> f64 {
    let bits: u32 = a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum();
    f64::from(bits) / (a.len() * 8) as f64
}

/// Two of these that have a run in common.
fn related<'s>(sealed: &[&'s [u8]]) -> Option<(&'s [u8], &'s [u8])> {
    let mut seen: HashMap<&[u8], usize> = HashMap::new();
    for (number, bytes) in sealed.iter().enumerate() {
        for window in bytes.windows(RUN) {
            let before = *seen.entry(window).or_insert(number);
            if before != number {
                return Some((sealed[before], bytes));
            }
        }
    }
    None
}

/// What is in clear of a record is its type, the session's id and a number (17 bytes); nothing after that comes again.
fn equal_commands_are_unrelated(air: &Air, report: &Report) {
    const CLEAR: usize = 1 + RECORD_HEADER;
    let records: Vec<&Message> = air
        .messages
        .iter()
        .filter(|message| message.bytes[0] == RECORD)
        .collect();
    let sealed: Vec<&[u8]> = records
        .iter()
        .map(|record| &record.bytes[CLEAR..])
        .collect();
    assert_eq!(related(&sealed), None, "S01");
    // Not even what is in clear comes again on another link.
    let mut links: HashMap<&[u8], HashSet<usize>> = HashMap::new();
    for record in &records {
        links
            .entry(&record.bytes[1..9])
            .or_default()
            .insert(record.link);
    }
    assert!(
        links.values().all(|links| links.len() == 1),
        "S01: an id on two links"
    );

    let statements = secrets::statements(report);
    let is_command = |record: &&&Message| {
        let fits =
            |statement: &&[u8]| record.bytes.len().abs_diff(statement.len() + AROUND) <= ABOUT;
        record.by == By::Hub && statements.iter().any(fits)
    };
    let alike: Vec<&[u8]> = records
        .iter()
        .filter(is_command)
        .map(|record| &record.bytes[1..])
        .collect();
    let least = (COMMANDS + REPEATS) * LOCKS.len();
    assert!(
        alike.len() >= least,
        "{} records of a command's length",
        alike.len()
    );
    let mut pairs = 0;
    for (index, a) in alike.iter().enumerate() {
        for b in alike[index + 1..].iter().filter(|b| b.len() == a.len()) {
            // Beyond the header, which the numbers of one link share.
            let share = distance(&a[RECORD_HEADER..], &b[RECORD_HEADER..]);
            assert!((0.42..0.58).contains(&share), "S01: {share}");
            pairs += 1;
        }
    }
    assert!(pairs >= least, "{pairs}");
    // Controls: the same record with a byte changed is seen as related, and a run in common is seen anywhere.
    let mut changed = alike[0].to_vec();
    changed[40] ^= 0xff;
    assert!(distance(alike[0], &changed) < 0.1);
    let planted = [&sealed[0][..5], &sealed[1][3..3 + RUN]].concat();
    assert!(related(&[sealed.as_slice(), &[&planted]].concat()).is_some());
    println!(
        "EVIDENCE s01: {} records of a command's length, {pairs} pairs of equal length unrelated",
        alike.len()
    );
}
