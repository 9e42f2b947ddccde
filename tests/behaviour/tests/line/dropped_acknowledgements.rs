//! I2, I3: each acknowledgement on the way of a command lost, again and again.
//!
//! Guards: a lost confirmation that becomes a second effect, or a command whose sender never learns
//! what became of it. At-least-once hops (MQTT QoS 1, a store that fails after writing, a link that
//! dies with the answer) repeat themselves; only the command's id stands between that and the bolt.

use drawbridge_protocol::command::Action;

use super::faults::{Faults, Hop};
use super::line::Line;
use super::sender::id_of;
use drawbridge_simulator::lane;

/// All hops with one to five losses each.
const QUICK: u64 = 60;
const FULL: u64 = 1_000;

#[test]
fn i2_i3_dropped_acknowledgements() {
    let seed = lane::seed();
    let rounds = lane::rounds(QUICK, FULL);
    let mut line = Line::paired(seed);
    let hops = Hop::ALL.len() as u64;
    for round in 0..rounds {
        let hop = Hop::ALL[(round % hops) as usize];
        let losses = 1 + (round / hops % 5) as u32;
        let what = format!("round {round}, {hop:?} lost {losses} times");
        let action = [Action::Unlock, Action::Lock][(round % 2) as usize];

        let statement = line.sign(action);
        let id = id_of(&statement);
        line.faults = Faults::at(hop, losses);
        line.send(&statement);
        let told = line.until(120_000, |line| !line.finals(&id).is_empty());
        assert!(told, "I2, {what}, seed {seed}: {:?}", line.results(&id));
        if matches!(hop, Hop::LockOutcome | Hop::CrashOutcome) {
            assert_eq!(line.faults.left(), 0, "{what}, seed {seed}: told too early");
        }
        line.quiet();
        // A late store gathers what comes meanwhile: the fifth batch may be part of the fourth.
        let spared = u32::from(hop == Hop::StoreLate && losses == 5);
        assert!(
            line.faults.left() <= spared,
            "{what}, seed {seed}: not lost"
        );
        line.faults = Faults::default();

        assert_eq!(line.the_final(&id, &what).status, "done", "{what}");
        let starts = line.door.starts.len() as u64;
        assert_eq!(starts, round + 1, "I3, {what}, seed {seed}");
        assert_eq!(line.auditor.intents_of(&id), 1, "I3, {what}, seed {seed}");
    }
    assert_eq!(line.door.starts.len() as u64, rounds);
    assert_eq!(line.auditor.intents() as u64, rounds);
    lane::print_count("dropped_acks", rounds, FULL, seed);
}

/// Guards: a failure that nobody can repeat.
#[test]
fn line_is_the_same_for_the_same_seed() {
    let run = |seed| {
        let mut line = Line::paired(seed);
        line.operate(Action::Unlock);
        line.faults = Faults::at(Hop::CrashOutcome, 2);
        line.operate(Action::Lock);
        line.quiet();
        (line.trace, line.now, line.heard.len())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).0, run(6).0);
}
