//! F09: commands that come twice, in the wrong order, late, or out of the broker's memory.
//!
//! Guards: a door that opens at night because the broker kept an unlock from the morning, and a
//! bolt that moves once per delivery instead of once per command.

use std::collections::BTreeMap;

use drawbridge_protocol::command::{Action, Command};

use super::line::{Due, Line};
use super::sender::id_of;
use drawbridge_simulator::house::broker::Message;
use drawbridge_simulator::lane;

const QUICK: u64 = 200;
const FULL: u64 = 10_000;
/// Deliveries may come this much later than they were sent, milliseconds: well past any expiry.
const LATEST_MS: u64 = 90_000;

#[test]
fn f09_duplicate_reordered_late_retained() {
    let seed = lane::seed();
    let deliveries = lane::rounds(QUICK, FULL);
    let mut line = Line::paired(seed);
    let (mut sent, mut ends) = (0, BTreeMap::<String, u64>::new());
    let mut total = 0;
    while sent < deliveries {
        let info = line.info();
        let mut commands = Vec::new();
        // All on one `session_info`, so that order of counters and order of arrival differ.
        for ahead in 1..=3 {
            let action = [Action::Unlock, Action::Lock][line.dice.below(2) as usize];
            let lasts = 2_000 + line.dice.below(57_000);
            let statement = line.owner.command(&info, action, ahead, lasts);
            let mut in_time = 0;
            for _ in 0..1 + line.dice.below(6) {
                // Half of them soon, half of them any time.
                let latest = [6_000, LATEST_MS][line.dice.below(2) as usize];
                let delay = line.dice.below(latest);
                let retain = line.dice.below(6) == 0;
                in_time += u64::from(!retain && delay < lasts);
                let message = Message {
                    topic: format!("drawbridge/hub-1/{}", line.command_leaf()),
                    payload: statement.clone(),
                    retain,
                };
                line.after(delay, Due::Publish(message));
                sent += 1;
            }
            commands.push((statement, in_time));
        }
        // The broker forgets what it had heard acknowledged, too.
        let breaks = line.dice.below(20_000);
        line.pass(breaks);
        line.break_broker();
        line.pass(LATEST_MS + 10_000);
        line.quiet();
        for (statement, in_time) in commands {
            let id = id_of(&statement);
            let what = format!("F09, {id}, seed {seed}: {:?}", line.results(&id));
            let expiry = Command::read(&statement).unwrap().command.expiry_ms;
            let intents = line.auditor.intents.get(&id).cloned().unwrap_or_default();
            assert!(intents.len() <= 1, "{what}: {intents:?}");
            for intent in &intents {
                assert!(intent.at_ms < expiry, "{what}: acted after its end");
                assert!(in_time > 0, "{what}: acted on a late or retained copy");
            }
            if line.said(&id, "accepted") == 0 {
                assert!(intents.is_empty(), "{what}: acted without being accepted");
                assert!(line.finals(&id).is_empty(), "{what}");
                *ends.entry("never accepted".into()).or_default() += 1;
                continue;
            }
            let end = line.the_final(&id, &what);
            assert_eq!(end.status == "done", intents.len() == 1, "{what}");
            total += intents.len();
            *ends.entry(end.status).or_default() += 1;
        }
        assert_eq!(line.door.starts.len(), total, "I3, seed {seed}");
        assert_eq!(line.auditor.intents(), total, "I3, seed {seed}");
    }
    for end in ["done", "expired", "refused"] {
        assert!(ends.contains_key(end), "seed {seed}: no {end}: {ends:?}");
    }
    println!("EVIDENCE deliveries {sent}, commands by end {ends:?}");
    lane::print_count("misdeliveries", sent.min(deliveries), FULL, seed);
}
