//! S02: replay of every captured packet and of whole sessions.
//!
//! Guards: Ultraloq, KeyWe and others that obey a recorded unlock; a recorder needs no key at all.

use drawbridge_lock::LinkId;
use drawbridge_protocol::command::Action;
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::log_record::{LogEvent, LogRecord};
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub, LogRecords};

use crate::bench::{Home, Owned, Peer, messages_in, renumbered};

/// A session in which everything happens: handshake, grant, two commands, a resume, a third one.
fn captured(seed: u64) -> (Owned, Vec<Vec<u8>>) {
    let mut owned = Owned::new(seed);
    owned.hub.sent.clear();
    owned.rejoin();
    for action in [Action::Unlock, Action::Lock] {
        let statement = owned.sign(action);
        owned.hub.command(&mut owned.home, &statement).unwrap();
    }
    assert!(owned.hub.resume(&mut owned.home));
    let statement = owned.sign(Action::Unlock);
    owned.hub.command(&mut owned.home, &statement).unwrap();
    let sent = owned.hub.sent.clone();
    assert!(sent.len() > 8);
    (owned, sent)
}

/// Strangers that the log names, once ten minutes have passed.
fn strangers(owned: &mut Owned) -> u64 {
    owned.home.pass_time(600_000);
    owned.rejoin();
    let newest = owned.home.lock().status().log_newest;
    let mut count = 0;
    for from in 1..=newest {
        let said = owned.hub.ask(&mut owned.home, &HubToLock::LogPull { from });
        let Ok(LockToHub::LogBatch { records, .. }) = LockToHub::decode(&said[0]) else {
            panic!("no batch");
        };
        let first = LogRecords::new(records).next().unwrap().unwrap();
        let record = LogRecord::decode(first).unwrap();
        if record.event == LogEvent::Strangers {
            count += record.count.unwrap();
        }
    }
    count
}

fn replay_each(home: &mut Home, packets: &[Vec<u8>], link: LinkId) {
    for packet in packets {
        let now = home.now;
        home.lock().link_down(link, now);
        assert!(home.link_up(link));
        // As it was, and as the first fragment of a new link.
        home.packet(link, packet);
        home.lock().link_down(link, now);
        assert!(home.link_up(link));
        home.packet(link, &renumbered(std::slice::from_ref(packet))[0]);
        home.packets.clear();
        home.lock().link_down(link, now);
    }
    // The bucket of handshakes is full again.
    home.pass_time(11_000);
}

fn replay_whole(home: &mut Home, packets: &[Vec<u8>], link: LinkId) {
    let now = home.now;
    home.lock().link_down(link, now);
    assert!(home.link_up(link));
    for packet in renumbered(packets) {
        home.packet(link, &packet);
    }
    home.packets.clear();
    home.lock().link_down(link, now);
    // Each message on a link of its own, whole.
    for message in messages_in(packets) {
        let mut thief = Peer::new(home, link.0);
        assert!(thief.connect(home));
        thief.send_bytes(home, &message);
        home.packets.clear();
        home.lock().link_down(link, now);
    }
}

#[test]
fn s02_captured_packets_and_sessions_move_nothing_and_are_counted() {
    let (mut owned, sent) = captured(1);
    let (starts, position) = (owned.home.bolt.starts, owned.home.bolt.position);
    let recorder = LinkId(9);
    // On links of the recorder's own, beside the live session.
    replay_each(&mut owned.home, &sent, recorder);
    replay_whole(&mut owned.home, &sent, recorder);
    // The victim is still there: no replay moved its session away.
    owned.hub.session_info(&mut owned.home);
    // On the victim's own link, in order: that costs the link, and nothing else.
    for message in messages_in(&sent) {
        assert!(owned.hub.resume(&mut owned.home) || owned.hub.rejoin(&mut owned.home));
        owned.hub.session_info(&mut owned.home);
        owned.hub.send_bytes(&mut owned.home, &message);
        owned.hub.receive(&mut owned.home);
    }
    // After the victim came back with a resume, and with a handshake.
    assert!(owned.hub.resume(&mut owned.home));
    owned.hub.session_info(&mut owned.home);
    replay_each(&mut owned.home, &sent, recorder);
    owned.rejoin();
    replay_each(&mut owned.home, &sent, recorder);
    replay_whole(&mut owned.home, &sent, recorder);
    assert_eq!(
        (owned.home.bolt.starts, owned.home.bolt.position),
        (starts, position)
    );
    let now = owned.home.now;
    owned.home.lock().link_down(recorder, now);
    assert!(
        strangers(&mut owned) >= sent.len() as u64,
        "the alarm did not rise"
    );
    assert_eq!(owned.home.bolt.starts, starts);
}

#[test]
fn s02_captured_session_is_dead_after_the_lock_reboots() {
    let (mut owned, sent) = captured(2);
    let starts = owned.home.bolt.starts;
    owned.home.boot().unwrap();
    replay_each(&mut owned.home, &sent, LinkId(9));
    replay_whole(&mut owned.home, &sent, LinkId(9));
    owned.rejoin();
    replay_whole(&mut owned.home, &sent, LinkId(9));
    assert_eq!(owned.home.bolt.starts, starts);
    assert!(strangers(&mut owned) >= sent.len() as u64);
}

#[test]
fn s02_record_that_was_held_back_acts_once_and_not_after_its_window() {
    // A relay may delay a record; what it carries dies at its expiry, and never acts twice.
    for delay in [0, 29_999, 30_000] {
        let mut owned = Owned::new(3);
        let statement = owned.sign(Action::Unlock);
        let before = owned.hub.sent.len();
        // Sealed, and caught on the way.
        owned.home.dropped_links.clear();
        let mut nowhere = Home::new(99);
        owned.hub.send(
            &mut nowhere,
            &HubToLock::Command {
                statement: &statement,
            },
        );
        assert_eq!(owned.home.bolt.starts, 0);
        let caught = owned.hub.sent[before..].to_vec();
        owned.home.pass_time(delay);
        for packet in &caught {
            owned.home.packet(owned.hub.link, packet);
        }
        let expected = u32::from(delay < 30_000);
        assert_eq!(owned.home.bolt.starts, expected, "after {delay} ms");
        replay_each(&mut owned.home, &caught, LinkId(9));
        assert_eq!(owned.home.bolt.starts, expected);
    }
}

#[test]
fn s02_message_one_of_another_link_fails_at_its_first_tag() {
    let mut owned = Owned::new(4);
    owned.hub.sent.clear();
    assert!(owned.hub.connect(&mut owned.home));
    assert!(owned.hub.shake(&mut owned.home, Purpose::Session));
    let sent = owned.hub.sent.clone();
    owned.home.packets.clear();
    let thief = LinkId(9);
    owned.hub.session_info(&mut owned.home);
    assert!(owned.home.link_up(thief));
    owned.home.packets.clear();
    for packet in &renumbered(&sent) {
        owned.home.packet(thief, packet);
    }
    let answers: Vec<_> = owned
        .home
        .packets
        .drain(..)
        .map(|(_, bytes)| bytes)
        .collect();
    assert_eq!(answers.len(), 1, "one denial and no message 2");
    assert_eq!(answers[0].last(), Some(&15));
    let statement = owned.sign(Action::Lock);
    let done = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!(done.verdict, Verdict::Done);
}
