//! I2, I3: what the bolt did is what is said, to those who asked, and it is still said after a reboot.
//!
//! Guards: a jam that reads as "done" once the lock has restarted, and one peer that learns when
//! another one turns the bolt.

use drawbridge_protocol::command::Action;
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::log_record::{LogEvent, LogRecord};
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::psk::PskRing;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::report::Position;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub, LogRecords};

use crate::bench::{Home, Owned, Peer, outcome, refusal, sign};

/// The sensors speak.
fn feel(owned: &mut Owned) {
    let (sensors, now) = (owned.home.sensors(), owned.home.now);
    owned.home.lock().handle_sensors(sensors, now);
    owned.home.settle();
}

fn command(owned: &mut Owned, action: Action) -> Outcome {
    let statement = owned.sign(action);
    owned.hub.command(&mut owned.home, &statement).unwrap()
}

/// The owner's own device, with a session beside the hub's.
fn device(owned: &mut Owned) -> Peer {
    let mut device = Peer::new(&mut owned.home, 2);
    device.secret = LinkSecret::from_bytes([0x31; 32]);
    device.ring = PskRing::pairing(owned.home.factory.qr().keys().pair_psk);
    assert!(device.connect(&mut owned.home) && device.shake(&mut owned.home, Purpose::Session));
    // Its first record proves the session: from now on it is told what it may know.
    device.ask(&mut owned.home, &HubToLock::ReportRequest);
    device
}

fn records(owned: &mut Owned, from: u64) -> Vec<Vec<u8>> {
    // What was announced meanwhile comes first.
    owned.hub.receive(&mut owned.home);
    let said = owned.hub.ask(&mut owned.home, &HubToLock::LogPull { from });
    let Ok(LockToHub::LogBatch { records, .. }) = LockToHub::decode(&said[0]) else {
        panic!("no batch: {:?}", refusal(&said));
    };
    let records = LogRecords::new(records);
    records.map(|record| record.unwrap().to_vec()).collect()
}

#[test]
fn outcome_goes_to_none_but_its_carriers() {
    let mut owned = Owned::new(1);
    let mut device = device(&mut owned);
    let done = command(&mut owned, Action::Unlock);
    assert_eq!(done.verdict, Verdict::Done);
    let overheard = device.receive(&mut owned.home);
    assert!(
        outcome(&owned.home, &overheard).is_none(),
        "told to a peer that did not ask"
    );
    // It does get the outcome of what it carries itself.
    let info = device.session_info(&mut owned.home);
    let mut own = owned.command_on(&info, Action::Lock);
    own.expiry_ms = info.time_ms + 9_000;
    let statement = sign(&own, &owned.owner);
    let told = device.command(&mut owned.home, &statement).unwrap();
    assert_eq!(told.verdict, Verdict::Done);
    let overheard = owned.hub.receive(&mut owned.home);
    assert!(outcome(&owned.home, &overheard).is_none());
}

#[test]
fn motor_starts_at_its_charge_floor_and_not_below() {
    // Percent; `sensors::MOTOR_BATTERY_FLOOR`.
    let floor = 3;
    for (battery, verdict, reason) in [
        (floor, Verdict::Done, Reason::None),
        (floor - 1, Verdict::Refused, Reason::BatteryLow),
        (0, Verdict::Refused, Reason::BatteryLow),
    ] {
        let mut owned = Owned::new(2);
        owned.home.battery = battery;
        feel(&mut owned);
        let said = command(&mut owned, Action::Unlock);
        assert_eq!(
            (said.verdict, said.reason),
            (verdict, reason),
            "{battery} %"
        );
        let turned = u32::from(verdict == Verdict::Done);
        assert_eq!(owned.home.bolt.starts, turned, "{battery} %");
    }
}

#[test]
fn jam_is_still_a_failure_after_a_reboot() {
    let mut owned = Owned::new(3);
    owned.home.bolt.jammed = true;
    let statement = owned.sign(Action::Unlock);
    let jammed = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!(
        (jammed.verdict, jammed.reason),
        (Verdict::Failed, Reason::Jammed)
    );
    owned.reboot();
    for _ in 0..2 {
        let again = owned.hub.command(&mut owned.home, &statement).unwrap();
        assert_eq!(
            (again.verdict, again.reason, again.duplicate),
            (Verdict::Failed, Reason::Jammed, true)
        );
    }
    assert_eq!(owned.home.bolt.starts, 1);
}

#[test]
fn motor_is_told_to_stop_however_a_turn_ends() {
    // Guards: a motor that pushes against its stop or a stuck bolt until the battery is empty.
    let mut owned = Owned::new(9);
    assert_eq!(command(&mut owned, Action::Unlock).verdict, Verdict::Done);
    assert!(!owned.home.bolt.driven, "arrived");
    owned.home.bolt.jammed = true;
    assert_eq!(command(&mut owned, Action::Lock).verdict, Verdict::Failed);
    assert!(!owned.home.bolt.driven, "stuck");
    owned.home.bolt.jammed = false;
    owned.home.stalled = true;
    let statement = owned.sign(Action::Lock);
    let request = HubToLock::Command {
        statement: &statement,
    };
    owned.hub.send(&mut owned.home, &request);
    assert!(owned.home.bolt.driven, "under way");
    owned.home.pass_time(5_000);
    assert!(!owned.home.bolt.driven, "out of time");
    assert_eq!(owned.home.bolt.starts, 3);
}

#[test]
fn bolt_that_is_still_jammed_is_told_as_soon_as_it_is_felt() {
    // Guards: a second try that is answered only when the motor's time is up, power on all the while.
    let mut owned = Owned::new(4);
    owned.home.bolt.jammed = true;
    for starts in 1..=2 {
        let said = command(&mut owned, Action::Unlock);
        assert_eq!(
            (said.verdict, said.reason, said.position),
            (Verdict::Failed, Reason::Jammed, Position::Jammed)
        );
        assert_eq!(owned.home.bolt.starts, starts);
        assert!(!owned.home.lock().status().moving);
    }
}

#[test]
fn commands_of_strangers_are_counted_in_the_log() {
    // S02: somebody who tries signatures is an alarm, and not only a silence.
    let mut owned = Owned::new(5);
    owned.home.pass_time(600_000);
    let newest = owned.home.lock().status().log_newest;
    let info = owned.hub.session_info(&mut owned.home);
    let forged = owned.command_on(&info, Action::Unlock);
    let statement = sign(&forged, &IdentitySecret::from_bytes(&[9; 32]));
    for _ in 0..3 {
        let request = HubToLock::Command {
            statement: &statement,
        };
        let said = owned.hub.ask(&mut owned.home, &request);
        assert_eq!(refusal(&said), Some(Reason::Signature));
    }
    owned.home.pass_time(600_000);
    let noted: Vec<Option<u64>> = records(&mut owned, newest + 1)
        .iter()
        .map(|record| LogRecord::decode(record).unwrap())
        .filter(|record| record.event == LogEvent::Strangers)
        .map(|record| record.count)
        .collect();
    assert_eq!(noted, [Some(3)]);
}

#[test]
fn command_of_an_earlier_epoch_writes_nothing() {
    // I7: whoever kept old commands could fill the log with their refusals, one flash write each.
    let mut owned = Owned::new(6);
    let old = owned.sign(Action::Unlock);
    owned.reboot();
    let before = owned.home.lock().status().log_newest;
    let refused = owned.hub.command(&mut owned.home, &old).unwrap();
    assert_eq!(refused.reason, Reason::WrongEpoch);
    assert_eq!(owned.home.lock().status().log_newest, before);
}

/// An unlocked lock that throws its bolt by itself after a minute.
fn relocking(seed: u64) -> Owned {
    let mut home = Home::new(seed);
    home.settings.auto_relock_ms = Some(60_000);
    home.boot().unwrap();
    let mut owned = Owned::of(home);
    assert_eq!(command(&mut owned, Action::Unlock).verdict, Verdict::Done);
    owned
}

#[test]
fn bolt_is_thrown_by_itself_at_its_time_and_not_before() {
    // Guards: a bolt thrown into an open hand, or never because nobody looked at the very moment.
    for late in [0, 1, 5_000] {
        let mut owned = relocking(7);
        owned.home.pass_time(1);
        owned.home.pass_time(59_998);
        assert_eq!(owned.home.bolt.position, Position::Unlocked, "too early");
        owned.home.pass_time(1 + late);
        assert_eq!(owned.home.bolt.position, Position::Locked, "{late} ms late");
        assert_eq!(owned.home.bolt.starts, 2);
    }
}

#[test]
fn command_waits_for_nobody_while_the_bolt_is_thrown_by_itself() {
    // Guards: a motor turned around under way, and a command whose outcome is that of the relock.
    let mut owned = relocking(8);
    owned.home.stalled = true;
    owned.home.pass_time(60_000);
    assert!(owned.home.lock().status().moving);
    let said = command(&mut owned, Action::Unlock);
    assert_eq!(
        (said.verdict, said.reason),
        (Verdict::Refused, Reason::Busy)
    );
    assert_eq!(owned.home.bolt.starts, 2);
}
