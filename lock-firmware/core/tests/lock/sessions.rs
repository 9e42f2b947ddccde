//! S14 and the life of a session: it outlives its link, resumes in zero round trips, and whoever
//! proves nothing is gone in seconds.
//!
//! Guards: locks whose two links are held by strangers, and sessions that a second phone keeps open.

use drawbridge_lock::LinkId;
use drawbridge_protocol::command::Action;
use drawbridge_protocol::hello::{InitiatorHello, Prologue, Purpose};
use drawbridge_protocol::keys::LinkSecret;
use drawbridge_protocol::link_message::LinkMessage;
use drawbridge_protocol::log_record::{LogEvent, LogRecord};
use drawbridge_protocol::noise::initiator::Initiator;
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::session::{MAX_AGE_MS, MAX_RECORDS};
use drawbridge_protocol::tunnel::{HubToLock, LockToHub, LogRecords};

use crate::bench::{Home, Owned, Peer};

#[test]
fn session_resumes_on_link_after_link_without_a_handshake() {
    let mut owned = Owned::new(1);
    let handshakes = owned.hub.session_info(&mut owned.home).handshakes;
    let mut ids = Vec::new();
    for link in 0..20 {
        assert!(
            owned.hub.resume(&mut owned.home),
            "link {link}: no label at hand"
        );
        let sent = owned.hub.sent.len();
        let statement = owned.sign(Action::Lock);
        // The first packet on the new link is a record already; its id is bytes 4 to 11.
        let first = owned.hub.sent[sent].clone();
        assert_eq!(first[3], 5);
        ids.push(first[4..12].to_vec());
        let done = owned.hub.command(&mut owned.home, &statement).unwrap();
        assert_eq!(done.verdict, Verdict::Done);
    }
    assert_eq!(
        owned.hub.session_info(&mut owned.home).handshakes,
        handshakes
    );
    ids.sort();
    ids.dedup();
    assert_eq!(
        ids.len(),
        20,
        "an id that comes back follows the lock around"
    );
}

#[test]
fn resumed_session_moves_and_its_old_link_is_closed() {
    let mut owned = Owned::new(2);
    let old = owned.hub.link;
    // The old link is half open: nobody told the lock that it is gone.
    owned.hub.link = LinkId(7);
    assert!(owned.hub.resume(&mut owned.home));
    owned.home.dropped_links.clear();
    owned.hub.session_info(&mut owned.home);
    assert_eq!(owned.home.dropped_links, [old]);
}

#[test]
fn fresh_session_replaces_the_old_one_with_its_first_record_and_closes_its_link() {
    let mut owned = Owned::new(3);
    let mut again = Peer::new(&mut owned.home, 7);
    again.secret = owned.hub.secret.clone();
    again.ring = owned.hub.ring.clone();
    assert!(again.connect(&mut owned.home));
    assert!(again.shake(&mut owned.home, Purpose::Session));
    // Message 1 and 2 alone change nothing.
    owned.hub.session_info(&mut owned.home);
    assert_eq!(owned.home.lock().status().sessions, 1);
    again.session_info(&mut owned.home);
    assert_eq!(owned.home.lock().status().sessions, 1);
    assert!(owned.home.dropped_links.contains(&owned.hub.link));
    assert!(
        owned.hub.resume(&mut owned.home),
        "its label is known, to the peer alone"
    );
    let said = owned.hub.ask(&mut owned.home, &HubToLock::ReportRequest);
    assert!(said.is_empty() && owned.hub.denied);
}

#[test]
fn unknown_session_is_denied_and_the_same_link_can_shake_hands() {
    let mut owned = Owned::new(4);
    owned.home.boot().unwrap();
    assert!(owned.hub.resume(&mut owned.home));
    let said = owned.hub.ask(&mut owned.home, &HubToLock::ReportRequest);
    assert!(said.is_empty() && owned.hub.denied);
    assert!(owned.home.dropped_links.is_empty());
    assert!(owned.hub.shake(&mut owned.home, Purpose::Session));
    owned.present();
}

#[test]
fn session_ends_after_twelve_hours_in_both_directions() {
    let mut owned = Owned::new(5);
    owned.home.pass_time(MAX_AGE_MS - 1);
    owned.hub.session_info(&mut owned.home);
    owned.home.pass_time(1);
    // Something happens at the door, and nothing is sealed for it any more.
    owned.home.bolt.position = drawbridge_protocol::report::Position::Unlocked;
    let (sensors, now) = (owned.home.sensors(), owned.home.now);
    owned.home.lock().handle_sensors(sensors, now);
    owned.home.settle();
    assert!(owned.hub.receive(&mut owned.home).is_empty());
    assert_eq!(owned.home.dropped_links, [owned.hub.link]);
    assert!(owned.hub.resume(&mut owned.home));
    let said = owned.hub.ask(&mut owned.home, &HubToLock::ReportRequest);
    assert!(said.is_empty() && owned.hub.denied);
    assert!(owned.hub.shake(&mut owned.home, Purpose::Session));
    owned.present();
}

#[test]
fn session_ends_after_its_records_and_the_next_handshake_works() {
    let mut owned = Owned::new(6);
    let used = owned.hub.session.as_ref().unwrap().records_sealed();
    for _ in used..MAX_RECORDS {
        owned.hub.send(&mut owned.home, &HubToLock::PairInfoRequest);
        owned.home.packets.clear();
        if !owned.home.dropped_links.is_empty() {
            break;
        }
    }
    assert!(
        !owned.hub.session.as_mut().unwrap().can_resume() || !owned.home.dropped_links.is_empty()
    );
    owned.rejoin();
}

#[test]
fn handshakes_are_limited_and_live_sessions_are_exempt() {
    let mut owned = Owned::new(7);
    owned.home.pass_time(60_000);
    let mut stranger = Peer::new(&mut owned.home, 2);
    for _ in 0..30 {
        let now = owned.home.now;
        owned.home.lock().link_down(stranger.link, now);
        assert!(stranger.connect(&mut owned.home));
        assert!(!stranger.shake(&mut owned.home, Purpose::Session) && stranger.denied);
    }
    // The bucket is empty: even an enrolled key waits, the live session does not.
    let mut again = Peer::new(&mut owned.home, 2);
    again.secret = owned.hub.secret.clone();
    again.ring = owned.hub.ring.clone();
    assert!(again.connect(&mut owned.home));
    assert!(!again.shake(&mut owned.home, Purpose::Session));
    assert!(owned.hub.resume(&mut owned.home));
    owned.hub.session_info(&mut owned.home);
    owned.home.pass_time(1_000);
    assert!(again.connect(&mut owned.home));
    assert!(again.shake(&mut owned.home, Purpose::Session));
}

#[test]
fn s14_peer_without_proof_is_gone_two_seconds_after_its_first_frame_or_ten_after_link_up() {
    let hello = {
        let mut buffer = [0; 48];
        let hello = InitiatorHello {
            version: 1,
            features: 0,
            purpose: Purpose::Session,
        };
        hello.encode(&mut buffer).unwrap().to_vec()
    };
    // (when its first frame comes, whether the window is open, when it must be gone)
    for (frame_at, window, gone_at) in [
        (None, false, 10_000),
        (Some(0), false, 2_000),
        (Some(3_000), false, 5_000),
        (Some(9_000), false, 10_000),
        (None, true, 60_000),
        (Some(1_000), true, 60_000),
    ] {
        let mut home = Home::new(8);
        if window {
            home.press_button();
        }
        let mut stranger = Peer::new(&mut home, 2);
        assert!(stranger.connect(&mut home));
        if let Some(at) = frame_at {
            home.pass_time(at);
            stranger.send_message(&mut home, &LinkMessage::InitiatorHello(&hello));
        }
        // Frames that prove nothing buy no time.
        let rest = gone_at - home.now;
        home.pass_time(rest - 1);
        stranger.send_message(&mut home, &LinkMessage::InitiatorHello(&hello));
        assert_eq!(home.lock().next_deadline().unwrap().min(gone_at), gone_at);
        let still = if frame_at.is_none() && !window {
            gone_at
        } else {
            home.now
        };
        assert!(
            home.dropped_links.is_empty(),
            "{frame_at:?} {window} at {still}"
        );
        home.pass_time(1);
        assert_eq!(home.dropped_links, [stranger.link], "{frame_at:?} {window}");
    }
}

#[test]
fn s14_one_stranger_at_a_time_and_a_proven_link_stays() {
    let mut owned = Owned::new(9);
    assert!(owned.home.link_up(LinkId(2)));
    assert!(!owned.home.link_up(LinkId(3)), "two links at once");
    let now = owned.home.now;
    owned.home.lock().link_down(LinkId(2), now);
    let mut home = Home::new(10);
    assert!(home.link_up(LinkId(2)));
    assert!(!home.link_up(LinkId(3)), "a second one that proved nothing");
    assert!(!home.link_up(LinkId(2)), "a link that is up already");
    owned.home.pass_time(600_000);
    owned.hub.session_info(&mut owned.home);
}

#[test]
fn every_refusal_to_a_stranger_is_the_same_byte() {
    let mut owned = Owned::new(11);
    let mut answers = Vec::new();
    let garbage: [LinkMessage<'_>; 6] = [
        LinkMessage::Handshake1(&[0; 100]),
        LinkMessage::Handshake1(&[1; 99]),
        LinkMessage::Handshake2(&[0; 96]),
        LinkMessage::LockHello(&[0; 20]),
        LinkMessage::Record(&[0; 64]),
        LinkMessage::InitiatorHello(&[0; 49]),
    ];
    for message in garbage {
        let mut stranger = Peer::new(&mut owned.home, 2);
        owned.home.pass_time(2_000);
        assert!(stranger.connect(&mut owned.home));
        stranger.send_message(&mut owned.home, &message);
        answers.extend(stranger.messages(&mut owned.home));
    }
    assert_eq!(answers, vec![vec![15]; 6]);
}

/// Guards: a hub of a later version that loses its link, and is counted as a stranger, for asking
/// something that this lock does not know.
#[test]
fn request_of_a_later_version_is_unsupported_and_keeps_the_link() {
    let mut owned = Owned::new(15);
    let newest = owned.home.lock().status().log_newest;
    owned.home.dropped_links.clear();
    for (number, bytes) in [
        (77, &[0x82, 0x18, 77, 0x82, 0xa1, 1, 2, 0x41, 9][..]),
        (11, &[0x82, 11, 0x80]),
        (0, &[0x82, 0, 0x80]),
    ] {
        owned.hub.send_plain(&mut owned.home, bytes);
        let said = owned.hub.receive(&mut owned.home);
        assert_eq!(said.len(), 1);
        assert_eq!(
            LockToHub::decode(&said[0]),
            Ok(LockToHub::Refused {
                request: number,
                reason: Reason::Unsupported
            })
        );
    }
    let statement = owned.sign(Action::Lock);
    let done = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!(done.verdict, Verdict::Done);
    assert!(owned.home.dropped_links.is_empty());
    let after = owned.home.lock().status().log_newest;
    owned.home.pass_time(600_000);
    assert_eq!(owned.home.lock().status().log_newest, after, "a stranger");
    assert!(after > newest);
    // What is no message at all still ends the link.
    owned.hub.send_plain(&mut owned.home, &[0x82, 0x18, 77]);
    assert_eq!(owned.home.dropped_links, [owned.hub.link]);
}

#[test]
fn hello_of_another_version_or_with_unknown_features_is_denied() {
    // Guards: a downgrade by half: the handshake of this version under the name of another one.
    for (version, features, let_in) in [(1, 0, true), (2, 0, false), (0, 0, false), (1, 1, false)] {
        let mut owned = Owned::new(12);
        let now = owned.home.now;
        owned.home.lock().link_down(owned.hub.link, now);
        let mut again = Peer::new(&mut owned.home, 2);
        assert!(again.connect(&mut owned.home));
        let mut buffer = [0; 48];
        let hello = InitiatorHello {
            version,
            features,
            purpose: Purpose::Session,
        };
        let hello = hello.encode(&mut buffer).unwrap();
        let factory = &owned.home.factory;
        let prologue = Prologue::new(factory.lock, &again.hello, hello).unwrap();
        let ephemeral = LinkSecret::from_bytes([5; 32]);
        let (lock_key, psk) = (factory.link.public(), &owned.hub.ring.current);
        let (_, message) =
            Initiator::start(&prologue, &owned.hub.secret, &lock_key, psk, &ephemeral).unwrap();
        again.send_message(&mut owned.home, &LinkMessage::InitiatorHello(hello));
        again.send_message(&mut owned.home, &LinkMessage::Handshake1(&message));
        let answers = again.messages(&mut owned.home);
        let answer = LinkMessage::decode(&answers[0]).unwrap();
        let what = format!("version {version}, features {features}");
        match answer {
            LinkMessage::Handshake2(_) => assert!(let_in, "{what}"),
            LinkMessage::Denied => assert!(!let_in, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn record_that_does_not_open_ends_a_proven_link() {
    // Guards: a link held open by whoever injects into it, with one answer for each injected record.
    let mut owned = Owned::new(13);
    owned.hub.session_info(&mut owned.home);
    owned.home.dropped_links.clear();
    let garbage = LinkMessage::Record(&[7; 64]);
    owned.hub.send_message(&mut owned.home, &garbage);
    assert_eq!(owned.home.dropped_links, [owned.hub.link]);
}

#[test]
fn records_of_unknown_sessions_are_counted_in_the_log() {
    // S02: replays are an alarm. The record after the first one ends the link, as another failure.
    let mut owned = Owned::new(14);
    owned.home.pass_time(600_000);
    let newest = owned.home.lock().status().log_newest;
    for _ in 0..3 {
        let mut stranger = Peer::new(&mut owned.home, 2);
        assert!(stranger.connect(&mut owned.home));
        stranger.send_message(&mut owned.home, &LinkMessage::Record(&[7; 64]));
        assert_eq!(stranger.messages(&mut owned.home), [vec![15]]);
        let now = owned.home.now;
        owned.home.lock().link_down(stranger.link, now);
    }
    owned.home.pass_time(600_000);
    owned.hub.receive(&mut owned.home);
    let from = newest + 1;
    let said = owned.hub.ask(&mut owned.home, &HubToLock::LogPull { from });
    let Ok(LockToHub::LogBatch { records, .. }) = LockToHub::decode(&said[0]) else {
        panic!("no batch");
    };
    let noted: Vec<Option<u64>> = LogRecords::new(records)
        .map(|record| LogRecord::decode(record.unwrap()).unwrap())
        .filter(|record| record.event == LogEvent::Strangers)
        .map(|record| record.count)
        .collect();
    assert_eq!(noted, [Some(3)]);
}
