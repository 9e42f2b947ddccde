//! I2, I3, F13: the lock's power fails under a command.
//!
//! Guards: a lock that drives its bolt again when the power is back, or says "done" or "not done"
//! without knowing. Between the intent and the outcome only the flash remembers that the motor ran.

use drawbridge_lock::flash::model::Tear;
use drawbridge_protocol::command::Action;
use drawbridge_protocol::ids::CommandId;
use drawbridge_protocol::report::Position;

use super::line::{Line, TRAVEL_MS};
use super::sender::id_of;
use drawbridge_simulator::lane;

/// Sweeps over all flash operations of a command, per model of a torn one.
const QUICK: u64 = 6;
const FULL: u64 = 60;

/// What has to hold once the hub has resolved the command: one final, true, and the bolt at rest
/// where it was left, even when the same bytes come again.
fn check(line: &mut Line, statement: &[u8], before: usize, target: Position, what: &str) -> String {
    let id: CommandId = id_of(statement);
    let told = line.until(60_000, |line| !line.finals(&id).is_empty());
    assert!(
        told,
        "I2, {what}, seed {}: {:?}",
        line.seed,
        line.results(&id)
    );
    line.quiet();
    let moved = line.door.starts.len() - before;
    let end = line.the_final(&id, what);
    let truth = line.door.position.name();
    match end.status.as_str() {
        "done" => assert!(
            moved == 1 && line.door.position == target,
            "{what}: {end:?}"
        ),
        "failed" => {
            assert_eq!(end.reason, "interrupted", "{what}: {end:?}");
            assert!(moved <= 1, "{what}: {moved} starts");
        }
        "not_executed" | "expired" => assert_eq!(moved, 0, "{what}: {end:?}"),
        other => panic!("{what}: {other}: {end:?}"),
    }
    assert_eq!(end.position, truth, "{what}: {end:?}");
    line.send(statement);
    line.quiet();
    assert_eq!(line.the_final(&id, what), end, "{what}: the same answer");
    assert_eq!(line.duplicates(&id), 1, "{what}");
    assert_eq!(line.door.starts.len() - before, moved, "I3, {what}");
    end.status
}

#[test]
fn i2_lock_power_lost_between_intent_and_outcome() {
    let seed = lane::seed();
    let sweeps = lane::rounds(QUICK, FULL);
    let (mut states, mut ends) = (0_u64, std::collections::BTreeMap::new());
    for (model, tear) in Tear::ALL.into_iter().enumerate() {
        let mut line = Line::paired(seed + model as u64);
        for sweep in 0..sweeps {
            for operation in 0.. {
                let what = format!("{tear:?}, sweep {sweep}, cut at operation {operation}");
                let (action, target) = [
                    (Action::Unlock, Position::Unlocked),
                    (Action::Lock, Position::Locked),
                ][(operation % 2) as usize];
                let before = line.door.starts.len();
                let statement = line.sign(action);
                line.quiet();
                let boots = line.door.boots();
                let torn = line.dice.next();
                line.door.cut_after(operation, tear, torn);
                line.send(&statement);
                let end = check(&mut line, &statement, before, target, &what);
                if line.door.boots() == boots {
                    assert_eq!(end, "done", "{what}: there was no cut");
                    assert!(operation >= 2, "{what}: an intent and an outcome at least");
                    line.door.disarm();
                    break;
                }
                *ends.entry(end).or_insert(0_u64) += 1;
                states += 1;
            }
            // Under the motor, with the flash at rest: nothing but the intent tells.
            let before = line.door.starts.len();
            let statement = line.sign(Action::Unlock);
            line.send(&statement);
            assert!(line.until(10_000, |line| line.door.is_moving()));
            let into_travel = line.dice.below(TRAVEL_MS - 10);
            line.pass(into_travel);
            line.cut_power();
            let what = format!("{tear:?}, sweep {sweep}, cut {into_travel} ms into the travel");
            let end = check(&mut line, &statement, before, Position::Unlocked, &what);
            assert_eq!(end, "failed", "{what}");
            assert_eq!(line.door.starts.len() - before, 1, "{what}");
            *ends.entry(end).or_insert(0) += 1;
            states += 1;
        }
    }
    assert!(
        ends.contains_key("failed") && ends.contains_key("not_executed"),
        "{ends:?}"
    );
    println!("STATES lock_power_lost_under_command {states} seed {seed} {ends:?}");
}
