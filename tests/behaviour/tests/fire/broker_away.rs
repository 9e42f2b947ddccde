//! F05: the broker is stopped. The days that it may be away are on virtual time, in the hub's core
//! (`f05_three_days_...`); here the real processes show the same.
//!
//! Guards: a front door that does not open because a data centre is down, and a log that the cloud
//! never gets because the hub was started anew meanwhile.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use drawbridge_support::foreign::Listener;
use serde_json::Value;

use crate::home::Home;
use drawbridge_simulator::lane;

/// Numbers of the log records that were published.
fn audited(listener: &Listener) -> BTreeSet<u64> {
    let seen = listener.seen();
    let batches = seen.iter().filter(|seen| seen.topic.ends_with("/audit"));
    batches
        .map(|seen| serde_json::from_slice::<Value>(&seen.payload).unwrap())
        .flat_map(|batch| batch["first"].as_u64().unwrap()..=batch["last"].as_u64().unwrap())
        .collect()
}

#[test]
fn f05_broker_stopped_local_control_intact_and_everything_kept_is_delivered() {
    let mut home = Home::new(lane::seed());
    let from = home.house.hub.log_size();
    home.broker.stop().unwrap();
    home.house.wait_for("broker_down", from, 20);
    let rounds = 6;
    for round in 0..rounds {
        let action = if round % 2 == 0 { "lock" } else { "unlock" };
        home.house.act_locally(action);
        if round == rounds / 2 {
            // A power cut does not make it forget what it owes.
            home.house.hub.start_again().unwrap();
        }
    }
    let log = home
        .house
        .done(&["lock", "log", "Front", "--all", "--local"]);
    let numbers: BTreeSet<u64> = log["log"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|line| line["seq"].as_u64())
        .collect();
    assert!(numbers.len() as u64 >= 2 * rounds, "{log}");
    let status = home.house.done(&["status", "--local"]);
    assert_eq!(status["broker"], "down", "{status}");
    assert!(
        status["outbox_kept"].as_u64() >= Some(2 * rounds),
        "finals and log wait: {status}"
    );

    // Whoever listens is there before the hub is.
    home.proxy.refuse();
    home.broker.start_again().unwrap();
    let overheard = home.overhear();
    let from = home.house.hub.log_size();
    home.mend();
    home.house.wait_for("broker_up", from, 90);
    // What was published before the broker stopped went to whoever listened then.
    let newest = *numbers.last().unwrap();
    let acted: BTreeSet<u64> = (newest + 1 - 2 * rounds..=newest).collect();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !audited(&overheard).is_superset(&acted) {
        assert!(
            Instant::now() < deadline,
            "of {acted:?} came {:?}",
            audited(&overheard)
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let finals = overheard.seen().into_iter().filter(|seen| {
        seen.topic.ends_with("/result")
            && serde_json::from_slice(&seen.payload)
                .is_ok_and(|result: Value| crate::home::is_final(&result))
    });
    assert_eq!(finals.count() as u64, rounds, "{:?}", overheard.seen());
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = home.house.done(&["status", "--local"]);
        if status["outbox"] == 0 {
            assert_eq!(status["telemetry_dropped"], 0, "{status}");
            break;
        }
        assert!(Instant::now() < deadline, "{status}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
