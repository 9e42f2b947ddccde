//! F13, I3: the power fails in each flash write of a command, in three tear models.
//!
//! Guards: a lock that drives its motor again after a power loss, forgets that it did, or breaks
//! its log's chain.

use drawbridge_lock_sim::options::Options;
use drawbridge_lock_sim::simulator::Running;
use drawbridge_protocol::command::Action;
use drawbridge_protocol::log_record::LogEvent;
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::tunnel::HubToLock;
use serde_json::Value;

use crate::lock_process::place;
use crate::owner::Owner;

fn status(lock: &Running) -> Value {
    lock.control(r#"{"do":"status"}"#).unwrap()
}

fn actuations(lock: &Running) -> u64 {
    status(lock)["motor_actuations"].as_u64().unwrap()
}

/// Cuts at the first, second, ... write of a command, until a command has no such write left.
/// Gives how many cuts struck and how many of them after the motor had run.
fn cut_every_write(model: &str) -> (u64, u64) {
    let place = place();
    let air = place.path().join("air");
    let mut options = Options::new(&air, &place.path().join("flash"));
    options.motor_ms = 0;
    let lock = Running::start(options).unwrap();
    lock.control(r#"{"do":"button","held_ms":200}"#).unwrap();
    let mut owner = Owner::claim(&air, lock.qr_text());
    let mut moved = 0;
    for at_write in 1..200 {
        let what = format!("model {model}, seed {at_write}, write {at_write}");
        let action = if at_write % 2 == 1 {
            Action::Lock
        } else {
            Action::Unlock
        };
        let statement = owner.sign(action);
        let statement = statement.as_slice();
        let before = actuations(&lock);
        let cut = format!(
            r#"{{"do":"power_loss","at_write":{at_write},"model":"{model}","seed":{at_write}}}"#
        );
        assert_eq!(lock.control(&cut).unwrap()["ok"], true);
        let answered = owner.hub.outcome(&HubToLock::Command { statement });
        if status(&lock)["power"] == "on" {
            assert_eq!(answered.unwrap().verdict, Verdict::Done, "{what}");
            assert_eq!(actuations(&lock), before + 1, "{what}");
            lock.stop().unwrap();
            return (at_write - 1, moved);
        }
        assert_eq!(
            lock.control(r#"{"do":"power_on"}"#).unwrap()["ok"],
            true,
            "{what}"
        );
        owner.rejoin().unwrap();

        let asked = owner.hub.outcome(&HubToLock::Query { statement }).unwrap();
        let runs = actuations(&lock) - before;
        match asked.verdict {
            Verdict::Done => assert_eq!(runs, 1, "{what}"),
            // An intent without an outcome: it may have moved, and will not again.
            Verdict::Failed => assert!(runs <= 1, "{what}"),
            Verdict::NotExecuted => assert_eq!(runs, 0, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        moved += runs;
        if let Ok(answered) = answered {
            assert_eq!(
                answered.verdict, asked.verdict,
                "{what}: the answer changed"
            );
        }
        let again = owner
            .hub
            .outcome(&HubToLock::Command { statement })
            .unwrap();
        assert_ne!(
            (again.verdict, again.duplicate),
            (Verdict::Done, false),
            "{what}"
        );
        assert_eq!(actuations(&lock) - before, runs, "{what}: moved again");

        let log = owner.read_log();
        let count = |event| log.iter().filter(|seen| **seen == event).count();
        assert_eq!(
            count(LogEvent::Intent),
            count(LogEvent::Outcome),
            "{what}: {log:?}"
        );
    }
    panic!("a command of over 200 flash writes");
}

#[test]
fn f13_i3_power_lost_before_each_write_of_a_command() {
    assert_covers(cut_every_write("before"));
}

#[test]
fn f13_i3_power_lost_in_each_write_of_a_command_with_torn_bits() {
    assert_covers(cut_every_write("torn"));
}

#[test]
fn f13_i3_power_lost_in_each_write_of_a_command_with_partial_words() {
    assert_covers(cut_every_write("erase"));
}

/// Both sides of the motor were met: cuts in the intent, and cuts in the outcome.
fn assert_covers((cuts, moved): (u64, u64)) {
    println!("{cuts} cuts, {moved} of them after the motor had run");
    assert!(
        cuts >= 4 && moved >= 1 && moved < cuts,
        "{cuts} cuts, {moved} moved"
    );
}
