//! The lock's log on its way out.

use drawbridge_daemon::core::record::StoreLoss;
use drawbridge_daemon::core::{Tree, record};
use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::ids::{Digest32, OwnershipId};
use drawbridge_protocol::keys::IdentitySecret;
use drawbridge_protocol::log_record::LogEvent;
use serde_json::json;

use super::lock_double::Pulls;
use super::world::{World, base64};

/// Numbers of all records published, in order.
fn published(world: &World) -> Vec<u64> {
    let batches = world
        .published
        .iter()
        .filter(|published| published.topic.ends_with("/audit"));
    batches
        .map(super::world::Published::json)
        .flat_map(|json| json["first"].as_u64().unwrap()..=json["last"].as_u64().unwrap())
        .collect()
}

fn report(world: &mut World) {
    let packets = world.locks[0].send_report();
    world.packets_from(0, packets);
    world.run(1_000);
}

/// The auditor's leave to free all that the lock has written so far.
fn ack(world: &World) -> Vec<u8> {
    ack_of(world, 0)
}

/// An acknowledgement of the whole log of a lock.
pub(crate) fn ack_of(world: &World, index: usize) -> Vec<u8> {
    let log = &world.locks[index].log;
    let ack = AuditAck {
        lock: world.locks[index].id,
        ownership: OwnershipId([7; 8]),
        seq: log.len() as u64,
        head: Digest32::of(log.last().unwrap()),
    };
    let auditor = IdentitySecret::from_bytes(&[9; 32]);
    ack.sign(&auditor, &mut [0; 300]).unwrap().to_vec()
}

/// The same, as the broker brings it.
fn send_ack(world: &mut World) {
    let (lock, ack) = (world.locks[0].id, ack(world));
    world.publish(&format!("drawbridge/hub-1/lock/{lock}/audit/ack"), &ack);
}

/// I4, R7. Guards: log entries that are lost, doubled or out of order on their way.
#[test]
fn i4_every_log_record_is_stored_and_published_in_order() {
    let mut world = World::ready(1);
    for _ in 0..30 {
        world.locks[0].record(LogEvent::MovedByHand, None, None);
    }
    report(&mut world);
    assert_eq!(published(&world), (1..=31).collect::<Vec<_>>());
    assert_eq!(world.disk.count(Tree::Audit), 31);
    let last = world.last("/audit").unwrap().json();
    let head = Digest32::of(world.locks[0].log.last().unwrap());
    assert_eq!(last["head"], head.to_string());
    let key = record::audit_key(world.locks[0].id, 31);
    assert_eq!(
        world.disk.trees[&Tree::Audit][&key],
        *world.locks[0].log.last().unwrap()
    );
    assert!(world.events_named("gap").is_empty());
}

/// I6. Guards: a relay that withholds a lock's last word on a link that stays up, which nobody notices
/// until the lock says something else.
#[test]
fn i6_report_that_was_withheld_on_a_live_link_is_asked_for_within_90_s() {
    let mut world = World::ready(1);
    world.run(5_000);
    world.locks[0].record(LogEvent::Tamper, None, None);
    let withheld = world.locks[0].send_report();
    drop(withheld);
    world.run(50_000);
    assert_eq!(published(&world), [1], "asked before 60 s of silence");
    world.run(40_000);
    assert_eq!(published(&world), [1, 2]);
    assert_eq!(world.events_named("lock_alarm").len(), 1);
}

/// I6. Guards: a relay that keeps the hub content with reports that it forged or kept.
#[test]
fn i6_forged_or_old_reports_do_not_put_off_the_question() {
    let mut world = World::ready(1);
    let old = {
        let lock = &mut world.locks[0];
        let now = std::mem::take(&mut lock.now_ms);
        let old = lock.report();
        lock.now_ms = now;
        old
    };
    let forged = {
        let lock = &mut world.locks[0];
        let stranger = IdentitySecret::from_bytes(&[0x66; 32]);
        let own = std::mem::replace(&mut lock.identity, stranger);
        let forged = lock.report();
        lock.identity = own;
        forged
    };
    world.run(5_000);
    world.locks[0].heard.clear();
    for _ in 0..9 {
        for statement in [&old, &forged] {
            let packets = world.locks[0].send_statement(statement);
            world.packets_from(0, packets);
        }
        world.run(10_000);
    }
    assert_eq!(world.locks[0].heard, ["ReportRequest"]);
    let named = world
        .journal
        .iter()
        .filter(|(event, _)| *event == "report_forged");
    assert_eq!(named.count(), 9);
}

/// P09, P17. Guards: hubs that wake up for each lock apart, and locks that sign without end.
#[test]
fn silent_locks_are_asked_at_the_same_moment_and_once_in_90_s() {
    let mut world = World::ready(3);
    world.run(7_000);
    let mut moments = 0;
    for _ in 0..600 {
        for lock in &mut world.locks {
            lock.heard.clear();
        }
        world.run(1_000);
        let heard: Vec<_> = world.locks.iter().map(|lock| &lock.heard).collect();
        if heard.iter().any(|heard| !heard.is_empty()) {
            assert!(
                heard.iter().all(|heard| **heard == ["ReportRequest"]),
                "{heard:?}"
            );
            moments += 1;
        }
    }
    assert!((6..=7).contains(&moments), "asked {moments} times in 600 s");
}

/// S02, S04. Guards: strangers at the door, a forced case or a low battery that stand in a log which
/// nobody reads until it is too late; and an alarm told again with every pull.
#[test]
fn s02_alarms_of_the_lock_are_told_once_by_name() {
    let mut world = World::ready(1);
    let alarms = [
        LogEvent::Strangers,
        LogEvent::Tamper,
        LogEvent::BatteryLow,
        LogEvent::Overwritten,
        LogEvent::FactoryReset,
    ];
    for event in alarms {
        world.locks[0].record(LogEvent::MovedByHand, None, None);
        world.locks[0].record(event, None, None);
    }
    report(&mut world);
    report(&mut world);
    let told: Vec<_> = world
        .events_named("lock_alarm")
        .iter()
        .map(|event| (event["alarm"].clone(), event["seq"].clone()))
        .collect();
    let expected: Vec<_> = alarms
        .iter()
        .zip([3, 5, 7, 9, 11])
        .map(|(event, seq)| (json!(event.name()), json!(seq)))
        .collect();
    assert_eq!(told, expected);
}

/// I7. Guards: a lock that raises alarms while the broker is away, until no command is taken any more.
#[test]
fn i7_alarms_without_end_leave_room_for_commands() {
    let mut world = World::with(1, |config| config.outbox_kept = 8);
    world.broker_up();
    world.run(20_000);
    world.broker_down();
    for _ in 0..400 {
        world.locks[0].record(LogEvent::Tamper, None, None);
    }
    report(&mut world);
    world.run(20_000);
    let (statement, _) = world.sign(0, 1);
    let (lock, command) = (world.locks[0].id.to_string(), base64(&statement));
    let command = json!({"lock": lock, "command": command, "wait": true});
    world.request(1, "lock.command", command);
    world.run(1_000);
    let reply = world.reply(1).unwrap().as_ref().unwrap();
    assert_eq!(reply["status"], "done");
}

/// I4, F16. Guards: records that a damaged store lost, although the lock still has them, because a
/// position elsewhere says that they were fetched.
#[test]
fn f16_lost_records_are_fetched_again_from_the_lock() {
    for (loss, event) in [
        (StoreLoss::Reset, "store_reset"),
        (StoreLoss::Records, "store_lost_records"),
    ] {
        let mut world = World::ready(1);
        for _ in 0..20 {
            world.locks[0].record(LogEvent::MovedByHand, None, None);
        }
        report(&mut world);
        assert_eq!(world.disk.count(Tree::Audit), 21);
        // The position is in the binding, which is in a file of its own.
        let rename = json!({"lock": world.locks[0].id.to_string(), "name": "Front"});
        world.request(1, "lock.rename", rename);
        world.run(1_000);
        if loss == StoreLoss::Reset {
            world.disk.trees.clear();
        } else {
            let audit = world.disk.trees.get_mut(&Tree::Audit).unwrap();
            audit
                .remove(&record::audit_key(world.locks[0].id, 7))
                .unwrap();
        }
        world.disk.loss = Some(loss);
        world.published.clear();
        world.crash();
        world.run(20_000);
        assert_eq!(world.disk.count(Tree::Audit), 21, "{loss:?}");
        assert_eq!(published(&world), (1..=21).collect::<Vec<_>>());
        assert_eq!(world.events_named(event).len(), 1);
        assert!(world.events_named("gap").is_empty());
    }
}

/// I7. Guards: locks that together hold more than the store takes, which then refuses everything.
#[test]
fn i7_all_locks_together_hold_no_more_than_the_store_takes() {
    let mut world = World::with(4, |config| {
        config.audit_per_lock = 100;
        config.audit = 150;
    });
    world.broker_up();
    world.run(20_000);
    for index in 0..4 {
        for _ in 0..120 {
            world.locks[index].record(LogEvent::MovedByHand, None, None);
        }
        let packets = world.locks[index].send_report();
        world.packets_from(index, packets);
        world.run(1_000);
    }
    let held = world.disk.count(Tree::Audit);
    assert!((150..150 + 64).contains(&held), "{held} records are held");
    let id = world.send_command(3, 1);
    world.run(2_000);
    assert_eq!(world.finals(id).len(), 1);
}

/// I4, F12. Guards: a cursor that is ahead of the records after a power cut.
#[test]
fn f12_crash_at_every_action_of_a_pull_loses_no_record() {
    for at in 0..80 {
        let mut world = World::ready(1);
        for _ in 0..20 {
            world.locks[0].record(LogEvent::MovedByHand, None, None);
        }
        world.crash_in = Some(at);
        report(&mut world);
        world.crash_in = None;
        world.run(30_000);
        let mut all = published(&world);
        all.sort_unstable();
        all.dedup();
        assert_eq!(
            all,
            (1..=21).collect::<Vec<_>>(),
            "crash before action {at}"
        );
        assert_eq!(
            world.disk.count(Tree::Audit),
            21,
            "crash before action {at}"
        );
        assert!(
            world.events_named("gap").is_empty(),
            "crash before action {at}"
        );
    }
}

/// S18, R8. Guards: records that somebody freed or dropped on the way, unnoticed.
#[test]
fn s18_missing_records_raise_gap_once() {
    let mut world = World::ready(1);
    world.unreachable = vec![world.locks[0].id];
    world.cut_links();
    for _ in 0..10 {
        world.locks[0].record(LogEvent::MovedByHand, None, None);
    }
    world.locks[0].log_from = 6;
    world.unreachable.clear();
    world.run(60_000);
    let gaps = world.events_named("gap");
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(
        (&gaps[0]["expected"], &gaps[0]["found"]),
        (&json!(2), &json!(6))
    );
    assert!(world.journal.iter().any(|(event, _)| *event == "gap"));
    assert_eq!(
        *published(&world).last().unwrap(),
        11,
        "the log goes on from what there is"
    );
    report(&mut world);
    assert_eq!(world.events_named("gap").len(), 1);
}

/// S18. Guards: a history that was rewritten behind the hub's back.
#[test]
fn s18_changed_record_breaks_the_chain() {
    let mut world = World::ready(1);
    // The lock's past is rewritten after the hub has followed it.
    world.locks[0].log[0][10] ^= 1;
    world.locks[0].record(LogEvent::MovedByHand, None, None);
    report(&mut world);
    let gaps = world.events_named("gap");
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0]["kind"], "broken");
}

/// I4. Guards: log records freed in the lock while nobody holds them, or kept here for ever.
#[test]
fn audit_ack_reaches_the_lock_and_frees_the_copies() {
    let mut world = World::ready(1);
    for _ in 0..10 {
        world.locks[0].record(LogEvent::MovedByHand, None, None);
    }
    report(&mut world);
    assert_eq!(world.disk.count(Tree::Audit), 11);
    let ack = ack(&world);
    let lock = world.locks[0].id.to_string();
    // The lock is away; the hub dies meanwhile; the acknowledgement arrives all the same.
    world.unreachable = vec![world.locks[0].id];
    world.cut_links();
    world.publish(&format!("drawbridge/hub-1/lock/{lock}/audit/ack"), &ack);
    world.run(1_000);
    assert_eq!(world.unacked(), 0);
    world.crash();
    world.unreachable.clear();
    world.run(60_000);
    assert!(world.locks[0].heard.iter().any(|heard| heard == "AuditAck"));
    assert_eq!(world.disk.count(Tree::Audit), 0);
    assert_eq!(world.disk.count(Tree::Meta), 1, "the cursor stays");

    world.request(
        1,
        "lock.audit_ack",
        json!({"lock": lock, "ack": base64(&ack)}),
    );
    world.run(1_000);
    assert_eq!(world.reply(1).unwrap().as_ref().unwrap()["freed"], 11);
    world.request(
        2,
        "lock.audit_ack",
        json!({"lock": lock, "ack": base64(&ack[1..])}),
    );
    world.run(1_000);
    assert_eq!(
        world.reply(2).unwrap().as_ref().unwrap_err().code,
        "bad_statement"
    );
}

/// I7. Guards: a hub whose disk fills with a log that nobody acknowledges.
#[test]
fn i7_pulling_stops_at_its_bound_and_the_lock_keeps_the_rest() {
    let mut world = World::with_long_log();
    let held = world.disk.count(Tree::Audit);
    assert!((20..40).contains(&held), "{held}");
    let id = world.send_command(0, 1);
    world.run(1_000);
    assert_eq!(world.finals(id).len(), 1, "the door still works");
}

/// I4, F16. Guards: records that the lock still has and the hub never asks for again, because a
/// binding that outlived the store says how far the hub once was.
#[test]
fn f16_records_of_a_lost_store_are_fetched_again_whatever_the_binding_says() {
    let mut world = World::ready(1);
    for _ in 0..10 {
        world.locks[0].record(LogEvent::MovedByHand, None, None);
    }
    report(&mut world);
    let lock = world.locks[0].id.to_string();
    world.request(1, "lock.rename", json!({"lock": lock, "name": "Gate"}));
    world.run(100);
    assert_eq!(world.disk.count(Tree::Audit), 11);
    world.disk.trees.clear();
    world.crash();
    world.run(2_000);
    report(&mut world);
    assert_eq!(world.disk.count(Tree::Audit), 11);
    assert!(world.events_named("gap").is_empty());
}

/// Requests of that name that the lock has read.
fn heard(world: &World, name: &str) -> usize {
    let heard = world.locks[0].heard.iter();
    heard.filter(|heard| heard.starts_with(name)).count()
}

/// I6, I4. Guards: a log that stays in the lock for as long as the link lives, which may be weeks,
/// because one pull came to nothing; and a lock that is asked over and over meanwhile, or raises the
/// same alarm with each answer.
#[test]
fn i6_log_is_asked_for_again_after_pulls_that_came_to_nothing() {
    for (pulls, gaps) in [(Pulls::Refused, 0), (Pulls::Empty, 0), (Pulls::Nonsense, 1)] {
        let mut world = World::ready(1);
        let (sessions, asked) = (heard(&world, "handshake"), heard(&world, "LogPull"));
        world.locks[0].pulls = pulls;
        for _ in 0..5 {
            world.locks[0].record(LogEvent::MovedByHand, None, None);
        }
        report(&mut world);
        world.run(600_000);
        let asked = heard(&world, "LogPull") - asked;
        assert!((10..=15).contains(&asked), "{pulls:?}: {asked} in 600 s");
        assert_eq!(world.events_named("gap").len(), gaps, "{pulls:?}");
        world.locks[0].pulls = Pulls::Answered;
        world.run(61_000);
        assert_eq!(heard(&world, "handshake"), sessions, "{pulls:?}: one link");
        assert_eq!(published(&world), (1..=6).collect::<Vec<_>>(), "{pulls:?}");
        assert_eq!(world.events_named("gap").len(), gaps, "{pulls:?}");
        // What was wrong is over: the next record is asked for at once.
        world.locks[0].record(LogEvent::MovedByHand, None, None);
        report(&mut world);
        assert_eq!(published(&world), (1..=7).collect::<Vec<_>>(), "{pulls:?}");
    }
}

/// I4, F14. Guards: records freed in the lock before the hub's disk has them, which a crash then takes
/// away: the hub called it a gap, and nobody could tell it from a theft of records.
#[test]
fn f14_lock_frees_only_what_is_on_the_hubs_disk() {
    let mut world = World::ready(1);
    world.store_fails = true;
    for _ in 0..4 {
        world.locks[0].record(LogEvent::MovedByHand, None, None);
    }
    report(&mut world);
    assert_eq!(published(&world), (1..=5).collect::<Vec<_>>());
    send_ack(&mut world);
    world.run(20_000);
    assert_eq!(heard(&world, "AuditAck"), 0);
    // The crash takes what the disk did not: the broker brings the acknowledgement again.
    world.crash();
    world.store_fails = false;
    world.run(30_000);
    assert_eq!(heard(&world, "AuditAck"), 1);
    assert_eq!(world.unacked(), 0);
    assert_eq!(world.disk.count(Tree::Audit), 0);
    world.locks[0].record(LogEvent::MovedByHand, None, None);
    report(&mut world);
    assert_eq!(published(&world).last(), Some(&6));
    assert!(world.events_named("gap").is_empty());
}

/// I6. Guards: leave to free that waits for ever for records which the hub cannot get, while the lock
/// runs out of room; and an alarm over records that the auditor has.
#[test]
fn i6_ack_is_handed_on_when_its_records_cannot_be_had() {
    let mut world = World::ready(1);
    world.locks[0].pulls = Pulls::Refused;
    for _ in 0..4 {
        world.locks[0].record(LogEvent::MovedByHand, None, None);
    }
    report(&mut world);
    send_ack(&mut world);
    world.run(2_000);
    assert_eq!(heard(&world, "AuditAck"), 1);
    world.locks[0].pulls = Pulls::Answered;
    world.crash();
    world.run(30_000);
    world.locks[0].record(LogEvent::MovedByHand, None, None);
    report(&mut world);
    assert_eq!(published(&world), [1, 6]);
    assert!(world.events_named("gap").is_empty());
    // The same once more frees nothing and is answered all the same.
    send_ack(&mut world);
    world.run(2_000);
    assert_eq!(heard(&world, "AuditAck"), 2);
}

/// I6, S18. Guards: the record of who freed the log, which stays in the lock until the bolt moves again.
#[test]
fn i6_record_of_a_freed_log_is_fetched_at_once() {
    let mut world = World::ready(1);
    world.locks[0].writes_what_it_frees = true;
    for _ in 0..4 {
        world.locks[0].record(LogEvent::MovedByHand, None, None);
    }
    report(&mut world);
    send_ack(&mut world);
    world.run(1_000);
    assert_eq!(published(&world), (1..=6).collect::<Vec<_>>());
    assert_eq!(world.disk.count(Tree::Audit), 1);
    assert!(world.events_named("gap").is_empty());
}
