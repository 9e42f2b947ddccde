//! What a person types first: status, doctor, events, watch.
//!
//! Guards: a doctor that calls a sick hub well, or a well one sick.

use std::time::Duration;

use serde_json::{Value, json};

use crate::home::{Home, QUICK};

fn lines(out: &str) -> Vec<Value> {
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn doctor_is_content_with_a_well_hub_and_names_the_step_that_fails() {
    let mut home = Home::paired(&[("Front", QUICK)]);
    home.wait_for_broker(0);
    let state = home.hub.state.display().to_string();
    let words = ["doctor", "--state-dir", &state];
    let well = home.owner.run(&words).unwrap();
    assert_eq!(well.code, 0, "{well:?}");
    for step in ["DNS", "TCP", "TLS", "MQTT"] {
        assert!(
            well.out.to_lowercase().contains(&step.to_lowercase()),
            "no {step}: {}",
            well.out
        );
    }
    let from = home.hub.log_size();
    home.broker.stop().unwrap();
    home.hub.wait_for_log("broker_down", from, 20).unwrap();
    let sick = home.owner.run(&words).unwrap();
    assert_eq!(sick.code, 1, "{sick:?}");
    let fails: Vec<Value> = checks(&sick.out)
        .into_iter()
        .filter(|check| check["status"] == json!("fail"))
        .collect();
    let named = |word: &str| {
        fails.iter().any(|check| {
            check["check"]
                .as_str()
                .is_some_and(|name| name.to_lowercase().contains(word))
        })
    };
    assert!(named("tcp"), "{fails:?}");
    assert!(
        !named("dns") && !named("store") && !named("certificate"),
        "{fails:?}"
    );
    for fail in &fails {
        assert!(
            fail["advice"]
                .as_str()
                .is_some_and(|advice| !advice.is_empty()),
            "{fail}"
        );
    }
    home.hub.kill();
    let dead = home.owner.run(&words).unwrap();
    assert_eq!(dead.code, 1, "{dead:?}");
    let fails = checks(&dead.out);
    assert!(
        fails
            .iter()
            .any(|check| check["check"] == json!("daemon") && check["status"] == json!("fail")),
        "{fails:?}"
    );
}

/// Checks from one document or one object a line.
fn checks(out: &str) -> Vec<Value> {
    match serde_json::from_str::<Value>(out) {
        Ok(Value::Object(whole)) if whole.contains_key("checks") => {
            whole["checks"].as_array().unwrap().clone()
        }
        Ok(Value::Array(all)) => all,
        _ => lines(out),
    }
}

#[test]
fn status_events_and_watch_say_what_happens_in_json() {
    let home = Home::paired(&[("Front", QUICK)]);
    let id = home.lock("Front").id.clone();
    let status = home.done(&["status", "--local"]);
    assert_eq!(status["hub"], json!("h1"), "{status}");
    assert!(status.to_string().contains(&id), "{status}");
    let remote = home.done(&["status"]);
    assert!(
        remote["state"] == json!("online") && remote.to_string().contains(&id),
        "{remote}"
    );

    let follow = |words: &'static [&'static str]| {
        let owner = home.owner.clone();
        std::thread::spawn(move || owner.run(words).unwrap())
    };
    let events = follow(&["events", "--local", "--seconds", "6"]);
    let watch = follow(&["watch", "--local", "--seconds", "6"]);
    let watch_remote = follow(&["watch", "--seconds", "6"]);
    std::thread::sleep(Duration::from_secs(2));
    // Through the socket: a second connection of app:a1 would end the one that watches.
    home.done(&["lock", "Front", "--local"]);
    for (name, said) in [
        ("events", events),
        ("watch", watch),
        ("watch over MQTT", watch_remote),
    ] {
        let said = said.join().unwrap();
        assert_eq!(said.code, 0, "{name}: {said:?}");
        let seen = lines(&said.out);
        assert!(
            seen.iter().any(|line| line.to_string().contains(&id)),
            "{name}: {said:?}"
        );
        if name != "events" {
            assert!(said.out.contains("LOCKED"), "{name}: {said:?}");
        }
    }
}
