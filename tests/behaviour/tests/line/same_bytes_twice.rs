//! S32: the same signed bytes at the broker a second time.
//!
//! Guards: replay of a recorded request, which opened Ultraloq's locks for whoever could read the
//! broker (2019): the bytes are genuine, and only the memory of them tells that they were used.

use base64ct::{Base64, Encoding};
use drawbridge_protocol::command::Action;
use drawbridge_protocol::ids::CommandId;
use drawbridge_protocol::outcome::Outcome;

use super::line::Line;
use super::sender::id_of;
use drawbridge_simulator::lane;

/// Whether the lock itself says, signed, that it had decided this before.
fn lock_says_duplicate(line: &Line, report: &str) -> bool {
    let statement = Base64::decode_vec(report).unwrap();
    let key = line.door.factory.identity.public();
    Outcome::verify(&statement, &key).unwrap().duplicate
}

/// Sends the bytes once more; they are a duplicate with the answer that was given before.
fn again(line: &mut Line, id: &CommandId, statement: &[u8], what: &str) {
    let (starts, before) = (line.door.starts.len(), line.duplicates(id));
    let end = line.the_final(id, what);
    line.send(statement);
    line.quiet();
    assert_eq!(
        line.duplicates(id),
        before + 1,
        "{what}: {:?}",
        line.results(id)
    );
    assert_eq!(line.the_final(id, what), end, "{what}: the same answer");
    assert_eq!(line.door.starts.len(), starts, "S32, {what}: it moved");
}

#[test]
fn s32_second_delivery_is_a_duplicate() {
    let seed = lane::seed();
    let mut line = Line::paired(seed);

    // Both before the first is even on disk.
    let statement = line.sign(Action::Unlock);
    let first = id_of(&statement);
    line.send(&statement);
    line.send(&statement);
    line.quiet();
    assert_eq!(line.the_final(&first, "before").status, "done");
    assert_eq!(
        (line.door.starts.len(), line.said(&first, "accepted")),
        (1, 1)
    );
    again(&mut line, &first, &statement, "after both");

    // While the motor runs.
    let statement = line.sign(Action::Lock);
    let second = id_of(&statement);
    line.send(&statement);
    assert!(line.until(10_000, |line| line.door.is_moving()));
    line.send(&statement);
    line.quiet();
    assert_eq!(line.the_final(&second, "during").status, "done");
    assert_eq!(
        (line.door.starts.len(), line.said(&second, "accepted")),
        (2, 1)
    );

    // After its end; after each side has restarted; after both.
    let older = line.disk.clone();
    let (third, statement) = line.operate(Action::Unlock);
    line.quiet();
    again(&mut line, &third, &statement, "after its end");
    line.crash_hub();
    line.pass(10_000);
    again(&mut line, &third, &statement, "after a restart of the hub");
    line.cut_power();
    line.pass(10_000);
    again(&mut line, &third, &statement, "after a reboot of the lock");

    // A hub that has lost its memory of it asks the lock, and the lock has not.
    for reboots in [false, true] {
        let what = format!("hub's store restored, lock rebooted: {reboots}");
        line.crash_hub();
        line.disk = older.clone();
        if reboots {
            line.cut_power();
        }
        line.pass(10_000);
        let known = line.finals(&third).len();
        line.send(&statement);
        line.quiet();
        let finals = line.finals(&third);
        assert_eq!(finals.len(), known + 1, "{what}: {finals:?}");
        let new = finals.last().unwrap();
        assert_eq!(new.status, "done", "{what}: the same answer");
        assert!(lock_says_duplicate(&line, &new.report), "{what}");
    }
    assert!(!lock_says_duplicate(&line, &line.finals(&third)[0].report));
    assert_eq!(
        line.door.starts.len(),
        3,
        "S32: three commands, three moves"
    );
    assert_eq!(line.auditor.intents(), 3);
}
