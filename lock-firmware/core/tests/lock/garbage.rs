//! S05, S15: nothing but a valid command moves the bolt, and hostile bytes get one kind of answer.
//!
//! Guards: TTLock's parser, which trusted a length from the air, and locks that open on garbage.

use std::path::Path;

use drawbridge_lock::LinkId;
use drawbridge_protocol::command::Action;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::link_message::LinkMessage;
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::tunnel::HubToLock;

use crate::bench::{Home, Owned, PACKET, Peer, Seeded, renumbered};
use crate::lane::{print_count, rounds};

const STRANGER: LinkId = LinkId(9);

/// A fresh link, one packet on it, and what the lock said after its hello.
fn poke(home: &mut Home, packets: &[&[u8]]) -> Vec<Vec<u8>> {
    let now = home.now;
    home.lock().link_down(STRANGER, now);
    assert!(home.link_up(STRANGER));
    home.packets.clear();
    for packet in packets {
        home.packet(STRANGER, packet);
    }
    home.packets.drain(..).map(|(_, bytes)| bytes).collect()
}

/// The one answer that a stranger may get: a fragment with the one byte that says no.
fn is_denial(answer: &[u8]) -> bool {
    matches!(answer, [_, 1, 0, 15])
}

#[test]
fn s05_every_length_of_packet_is_denied_or_waited_for() {
    let mut owned = Owned::new(1);
    let before = owned.home.lock().status();
    let mut dice = Seeded::new(1);
    for len in 0..=PACKET + 1 {
        for kind in 0..4 {
            let mut packet = vec![0; len];
            dice.fill(&mut packet);
            // Random, then with a first fragment's head and a declared length: too short, right, huge.
            if let (1.., [head, low, high, ..]) = (kind, packet.as_mut_slice()) {
                let declared = [0, len.saturating_sub(3) as u16, u16::MAX][kind - 1];
                (*head, [*low, *high]) = (0x80, declared.to_le_bytes());
            }
            for answer in poke(&mut owned.home, &[&packet]) {
                assert!(
                    is_denial(&answer),
                    "{len} bytes, kind {kind}: {answer:02x?}"
                );
            }
        }
    }
    let after = owned.home.lock().status();
    assert_eq!(after, before);
    owned.hub.session_info(&mut owned.home);
}

/// The packets of one message that `send` makes, caught before the lock sees them.
fn caught(owned: &mut Owned, send: impl FnOnce(&mut Peer, &mut Home)) -> Vec<Vec<u8>> {
    let mut nowhere = Home::new(98);
    let before = owned.hub.sent.len();
    send(&mut owned.hub, &mut nowhere);
    owned.hub.sent.split_off(before)
}

#[test]
fn s05_every_flipped_bit_of_a_record_is_denied_and_changes_nothing() {
    let mut owned = Owned::new(2);
    let statement = owned.sign(Action::Unlock);
    let request = HubToLock::Command {
        statement: &statement,
    };
    let sent = caught(&mut owned, |hub, home| hub.send(home, &request));
    // On a link of its own the flipper numbers the fragments itself.
    let packets = renumbered(&sent);
    let before = owned.home.lock().status();
    for index in 0..packets.len() {
        for bit in 0..packets[index].len() * 8 {
            let mut flipped = packets.clone();
            flipped[index][bit / 8] ^= 1 << (bit % 8);
            let both: Vec<&[u8]> = flipped.iter().map(Vec::as_slice).collect();
            let answers = poke(&mut owned.home, &both);
            assert!(
                answers.iter().all(|answer| is_denial(answer)),
                "packet {index} bit {bit}"
            );
            assert!(
                bit < 24 || answers.len() == 1,
                "packet {index} bit {bit}: {answers:02x?}"
            );
        }
    }
    assert_eq!(owned.home.lock().status(), before);
    assert_eq!(owned.home.bolt.starts, 0);
    // Untouched, the same packets are good: the flips were what failed.
    for packet in &sent {
        owned.home.packet(owned.hub.link, packet);
    }
    assert_eq!(owned.home.bolt.starts, 1);
}

#[test]
fn s05_s06_every_flipped_bit_of_hello_and_handshake_is_denied() {
    // The initiator's hello is 4 to 8 bytes: version, features and purpose are all in here.
    let mut owned = Owned::new(3);
    let mut flips = 0;
    let mut whole = false;
    for bit in 0.. {
        owned.home.pass_time(1_000);
        // Every ten minutes the lock reports these failures to the hub, whose link stays whole.
        owned.hub.receive(&mut owned.home);
        let mut thief = Peer::new(&mut owned.home, STRANGER.0);
        thief.secret = owned.hub.secret.clone();
        thief.ring = owned.hub.ring.clone();
        assert!(thief.connect(&mut owned.home));
        // Message 1 for this very link, with the right keys, caught.
        let mut nowhere = Home::new(98);
        nowhere.factory = owned.home.factory.clone();
        thief.shake(&mut nowhere, Purpose::Session);
        let sent = thief.sent.clone();
        let Some((index, bit)) = locate(&sent, bit) else {
            // Untouched, the same packets are answered: the flips were what failed.
            owned.home.packets.clear();
            for packet in &sent {
                owned.home.packet(STRANGER, packet);
            }
            whole = thief.messages(&mut owned.home).iter().any(|message| {
                matches!(LinkMessage::decode(message), Ok(LinkMessage::Handshake2(_)))
            });
            break;
        };
        let mut flipped = sent.clone();
        flipped[index][bit / 8] ^= 1 << (bit % 8);
        owned.home.packets.clear();
        for packet in &flipped {
            owned.home.packet(STRANGER, packet);
        }
        let answers: Vec<_> = owned
            .home
            .packets
            .drain(..)
            .map(|(_, bytes)| bytes)
            .collect();
        assert!(
            answers.iter().all(|answer| is_denial(answer)),
            "packet {index} bit {bit}: {answers:02x?}"
        );
        let now = owned.home.now;
        owned.home.lock().link_down(STRANGER, now);
        flips += 1;
    }
    assert!(flips > 800, "{flips}");
    assert!(whole, "message 2 came for the unflipped packets");
    owned.hub.session_info(&mut owned.home);
}

fn locate(packets: &[Vec<u8>], mut bit: usize) -> Option<(usize, usize)> {
    for (index, packet) in packets.iter().enumerate() {
        if bit < packet.len() * 8 {
            return Some((index, bit));
        }
        bit -= packet.len() * 8;
    }
    None
}

#[test]
fn s05_every_flipped_bit_and_length_inside_an_authentic_session_moves_nothing() {
    let mut owned = Owned::new(4);
    let statement = owned.sign(Action::Unlock);
    let mut buffer = [0; 1_024];
    let plain = HubToLock::Command {
        statement: &statement,
    }
    .encode(&mut buffer)
    .unwrap()
    .to_vec();
    let mut hostile: Vec<Vec<u8>> = (0..plain.len()).map(|len| plain[..len].to_vec()).collect();
    for bit in 0..plain.len() * 8 {
        let mut flipped = plain.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        hostile.push(flipped);
    }
    for (index, bytes) in hostile.iter().enumerate() {
        if !owned.home.dropped_links.is_empty() {
            owned.home.dropped_links.clear();
            assert!(owned.hub.resume(&mut owned.home));
        }
        // A flip can turn the request into a query for the same command: that one is answered.
        owned.hub.send_plain(&mut owned.home, bytes);
        owned.hub.receive(&mut owned.home);
        assert_eq!(owned.home.bolt.starts, 0, "input {index}");
    }
    owned.home.dropped_links.clear();
    assert!(owned.hub.resume(&mut owned.home));
    let done = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!(done.verdict, Verdict::Done);
}

#[test]
fn s15_no_garbage_reaches_the_motor() {
    let (full, seed) = (100_000, 15);
    let ran = rounds(full, 20);
    let mut dice = Seeded::new(seed);
    let mut owned = Owned::new(seed);
    let mut corpus = corpus_of(&mut owned);
    let (mut boots, mut with_session) = (0, 0);
    for round in 0..ran {
        let link = LinkId(dice.below(4) as u8 + 2);
        match dice.below(12) {
            0 => {
                let now = owned.home.now;
                owned.home.lock().link_down(link, now);
            }
            1 | 2 => {
                owned.home.link_up(link);
            }
            3 => owned.home.pass_time(dice.below(1_500)),
            4 if dice.below(50) == 0 => owned.home.press_button(),
            5 if dice.below(100) == 0 => {
                owned.hub.sent.clear();
                owned.reboot();
                corpus = corpus_of(&mut owned);
                boots += 1;
            }
            _ => {
                let packet = hostile_packet(&mut dice, &corpus);
                owned.home.packet(link, &packet);
            }
        }
        owned.home.packets.clear();
        owned.home.dropped_links.clear();
        assert_eq!(owned.home.bolt.starts, 0, "round {round} seed {seed}");
        with_session += u64::from(owned.home.lock().status().sessions == 1);
    }
    assert!(boots > 0, "no boot in {ran} rounds");
    assert!(
        with_session >= ran - ran / 20,
        "a session to be tried in {with_session} of {ran} rounds"
    );
    assert!(owned.home.lock().status().owned && !owned.home.lock().is_halted());
    for link in 2..6 {
        let now = owned.home.now;
        owned.home.lock().link_down(LinkId(link), now);
    }
    owned.home.pass_time(20_000);
    owned.rejoin();
    let statement = owned.sign(Action::Unlock);
    assert_eq!(
        owned
            .hub
            .command(&mut owned.home, &statement)
            .unwrap()
            .verdict,
        Verdict::Done
    );
    print_count("garbage_packets", ran, full, seed);
}

/// Everything that the hub has sent in this run of the lock, and a command that it has not sent.
fn corpus_of(owned: &mut Owned) -> Vec<Vec<u8>> {
    let unsent = owned.sign(Action::Unlock);
    let request = HubToLock::Command { statement: &unsent };
    let mut corpus = owned.hub.sent.clone();
    corpus.extend(caught(owned, |hub, home| hub.send(home, &request)));
    // The caught record itself is a valid command: it must never appear whole, so it loses a byte.
    corpus.last_mut().unwrap().pop();
    let single: Vec<_> = corpus
        .iter()
        .flat_map(|packet| renumbered(std::slice::from_ref(packet)))
        .collect();
    corpus.extend(single);
    corpus
}

fn hostile_packet(dice: &mut Seeded, corpus: &[Vec<u8>]) -> Vec<u8> {
    if dice.below(3) == 0 {
        let mut bytes = vec![0; dice.below(PACKET as u64 + 2) as usize];
        dice.fill(&mut bytes);
        return bytes;
    }
    let mut bytes = corpus[dice.below(corpus.len() as u64) as usize].clone();
    for _ in 0..dice.below(4) {
        let at = dice.below(bytes.len() as u64) as usize;
        match dice.below(3) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes.truncate(at.max(1)),
            _ => bytes[at] = dice.below(256) as u8,
        }
    }
    bytes
}

/// Every source file of the core, and its code without comments.
fn sources(folder: &Path, into: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.lines().map(|line| line.split("//").next().unwrap());
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            into.push((name, code.collect::<Vec<_>>().join("\n")));
        }
    }
}

#[test]
fn s15_motor_has_one_caller() {
    // What is told to the motor sits in a type whose field and whose `start` nobody outside of
    // actuation.rs can reach: the compiler sees to that. There it has one caller, behind the intent.
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut files = Vec::new();
    sources(Path::new(folder), &mut files);
    assert!(files.len() > 30 && files.iter().any(|(name, _)| name == "scan.rs"));
    let count = |what: &str| -> Vec<(&str, usize)> {
        let found = files
            .iter()
            .map(|(name, code)| (&**name, code.matches(what).count()));
        found.filter(|(_, count)| *count > 0).collect()
    };
    for (what, times) in [
        ("Motor::Throw", 1),
        ("Motor::Draw", 1),
        ("motor.start(", 1),
        // The declaration: no other value is made than the empty one, and none is put in place.
        ("MotorOrder(", 1),
        ("const fn start(&mut self, order: Motor)", 1),
        ("self.0 = Some(order)", 1),
    ] {
        assert_eq!(count(what), [("actuation.rs", times)], "{what}");
    }
    for what in [
        "pub(crate) const fn start(",
        "pub(crate) fn start(",
        "motor = ",
        "Output::Motor(",
    ] {
        let allowed: &[_] = if what == "Output::Motor(" {
            &[("output.rs", 1)]
        } else {
            &[]
        };
        assert_eq!(count(what), allowed, "{what}");
    }
    assert_eq!(count("MotorOrder::default()"), [("lock.rs", 1)]);
    let (_, source) = files
        .iter()
        .find(|(name, _)| name == "actuation.rs")
        .unwrap();
    let intent = source.find("Entry::new(LogEvent::Intent").unwrap();
    let write = source.find("history.write(&intent").unwrap();
    assert!(intent < write && write < source.find("self.motor.start(order);").unwrap());
}
