//! What the lock does when a part of it, or somebody in front of it, does not do as it should.
//!
//! Guards: alarms that are raised at every look or never, a dead flash under a lock that still
//! answers, and peers that make it work for nothing.

use drawbridge_lock::flash::model::Tear;
use drawbridge_lock::{LinkId, Sensors, WINDOW_MS};
use drawbridge_protocol::command::Action;
use drawbridge_protocol::frame::MIN_PACKET;
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::link_message::LinkMessage;
use drawbridge_protocol::log_record::{LogEvent, LogRecord};
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::psk::PskGeneration;
use drawbridge_protocol::report::Position;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub, LogRecords};

use crate::bench::{Home, Owned, PACKET, Peer, outcome};

fn feel(owned: &mut Owned, change: impl FnOnce(&mut Sensors)) {
    let mut sensors = owned.home.sensors();
    change(&mut sensors);
    let now = owned.home.now;
    owned.home.lock().handle_sensors(sensors, now);
    owned.home.settle();
}

/// How often `event` is in the log from `from` on.
fn times(owned: &mut Owned, event: LogEvent, from: u64) -> usize {
    owned.hub.receive(&mut owned.home);
    let said = owned.hub.ask(&mut owned.home, &HubToLock::LogPull { from });
    let Ok(LockToHub::LogBatch { records, .. }) = LockToHub::decode(&said[0]) else {
        panic!("no batch");
    };
    LogRecords::new(records)
        .filter(|record| LogRecord::decode(record.unwrap()).unwrap().event == event)
        .count()
}

#[test]
fn forced_case_and_weak_battery_are_logged_once_each() {
    let mut owned = Owned::new(1);
    let from = owned.home.lock().status().log_newest + 1;
    feel(&mut owned, |_| ());
    assert_eq!(times(&mut owned, LogEvent::Tamper, from), 0);
    for door_moves in 0..3 {
        let door = [
            drawbridge_protocol::report::Door::Open,
            drawbridge_protocol::report::Door::Closed,
        ][door_moves % 2];
        feel(&mut owned, |sensors| {
            (sensors.tamper, sensors.battery, sensors.door) = (true, 2, door);
        });
    }
    assert_eq!(times(&mut owned, LogEvent::Tamper, from), 1);
    assert_eq!(times(&mut owned, LogEvent::BatteryLow, from), 1);
    // Closed and forced again, charged and weak again: again an alarm.
    feel(&mut owned, |_| ());
    feel(&mut owned, |sensors| {
        (sensors.tamper, sensors.battery) = (true, 2);
    });
    assert_eq!(times(&mut owned, LogEvent::Tamper, from), 2);
    assert_eq!(times(&mut owned, LogEvent::BatteryLow, from), 2);
}

#[test]
fn lock_whose_flash_failed_moves_nothing_and_says_nothing() {
    let mut owned = Owned::new(2);
    let statement = owned.sign(Action::Unlock);
    owned.home.cut_after(0, Tear::Before, 1);
    let said = owned.hub.command(&mut owned.home, &statement);
    assert!(said.is_none() && owned.home.lock().is_halted());
    assert_eq!(owned.home.dropped_links, [owned.hub.link]);
    // Power is back for the flash, but what it holds is not known.
    owned.home.chip.0.borrow_mut().restore();
    feel(&mut owned, |sensors| sensors.position = Position::Unlocked);
    let packet = owned.hub.sent.last().unwrap().clone();
    owned.home.packet(owned.hub.link, &packet);
    owned.home.press_button();
    owned.home.pass_time(60_000);
    assert!(!owned.home.link_up(LinkId(3)));
    assert!(owned.home.packets.is_empty());
    assert_eq!(owned.home.bolt.starts, 0);
    assert!(owned.home.lock().is_halted());
}

#[test]
fn link_below_the_smallest_packet_is_not_taken() {
    let mut home = Home::new(3);
    let mut entropy = home.entropy.clone();
    assert!(
        !home
            .lock()
            .link_up(LinkId(1), MIN_PACKET - 1, 0, &mut entropy)
    );
    assert!(home.lock().link_up(LinkId(1), MIN_PACKET, 0, &mut entropy));
}

#[test]
fn peer_that_asks_faster_than_it_is_answered_loses_its_link() {
    // Guards: answers that pile up until the lock has no memory, or that push out those of others.
    let mut owned = Owned::new(4);
    let mut packets = Vec::new();
    for _ in 0..64 {
        let (mut plain, mut record, mut message) = ([0; 64], [0; 128], [0; 160]);
        let request = HubToLock::PairInfoRequest.encode(&mut plain).unwrap();
        let session = owned.hub.session.as_mut().unwrap();
        let sealed = session.seal(request, &mut record).unwrap();
        let message = LinkMessage::Record(sealed).encode(&mut message).unwrap();
        let mut scratch = [0; PACKET];
        let cut = owned
            .hub
            .outgoing
            .cut(message, &mut scratch, PACKET, |packet| {
                packets.push(packet.to_vec());
            });
        cut.unwrap();
    }
    // The radio brings them all before it takes one away.
    let (now, mut entropy) = (owned.home.now, owned.home.entropy.clone());
    for packet in packets {
        let link = owned.hub.link;
        owned
            .home
            .lock()
            .handle_packet(link, &packet, now, &mut entropy);
    }
    owned.home.settle();
    assert_eq!(owned.home.dropped_links, [owned.hub.link]);
    assert!(owned.hub.rejoin(&mut owned.home));
}

#[test]
fn outcome_that_nobody_waits_for_is_there_when_asked() {
    let mut owned = Owned::new(5);
    let statement = owned.sign(Action::Unlock);
    owned.home.stalled = true;
    let request = HubToLock::Command {
        statement: &statement,
    };
    assert!(owned.hub.ask(&mut owned.home, &request).is_empty());
    let (link, now) = (owned.hub.link, owned.home.now);
    owned.home.lock().link_down(link, now);
    owned.home.bolt.position = Position::Unlocked;
    feel(&mut owned, |_| ());
    assert!(owned.hub.resume(&mut owned.home));
    let asked = owned.hub.query(&mut owned.home, &statement).unwrap();
    assert_eq!((asked.verdict, asked.duplicate), (Verdict::Done, true));
}

#[test]
fn reset_under_the_motor_leaves_nothing_of_the_last_owner() {
    // Guards: the outcome of the last owner's command told to the next one's peers.
    let mut owned = Owned::new(6);
    let statement = owned.sign(Action::Unlock);
    owned.home.stalled = true;
    let request = HubToLock::Command {
        statement: &statement,
    };
    owned.hub.ask(&mut owned.home, &request);
    assert!(owned.home.lock().status().moving);
    owned.home.reset();
    let mut next = Owned::of(owned.home);
    assert!(next.home.lock().status().moving);
    next.home.bolt.position = Position::Unlocked;
    feel(&mut next, |_| ());
    let told = next.hub.receive(&mut next.home);
    assert!(outcome(&next.home, &told).is_none());
    assert!(!next.home.lock().status().moving);
}

#[test]
fn window_that_is_over_is_closed_before_the_clock_ticks() {
    let mut home = Home::new(7);
    let mut hub = Peer::new(&mut home, 1);
    home.press_button();
    assert!(hub.connect(&mut home) && hub.shake(&mut home, Purpose::Pair));
    assert!(hub.window(&mut home).is_some());
    // The lock is not told the time; the packet itself brings it.
    home.now += WINDOW_MS;
    assert!(hub.window(&mut home).is_none());
}

#[test]
fn unknown_key_pairs_on_generation_zero_alone() {
    // Guards: a claim to be further along than the code, which nobody without a place can be.
    let mut home = Home::new(8);
    let mut hub = Peer::new(&mut home, 1);
    home.press_button();
    let psk = hub.ring.current.psk.clone();
    for generation in [1, u32::MAX] {
        assert!(hub.connect(&mut home));
        let later = PskGeneration {
            generation,
            psk: psk.clone(),
        };
        assert!(!hub.shake_with(&mut home, Purpose::Pair, &later) && hub.denied);
    }
    assert!(hub.connect(&mut home) && hub.shake(&mut home, Purpose::Pair));
}
