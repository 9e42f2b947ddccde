//! The edges: topics, requests, documents.

use drawbridge_daemon::core::{AckToken, ClientId, CloudEvent, ControlEvent, HubEvent};
use serde_json::json;

use super::world::{World, base64};

fn request(world: &mut World, verb: &str, payload: &str, response: Option<&str>) {
    world.events.push_back(HubEvent::Cloud(CloudEvent::Message {
        topic: format!("drawbridge/hub-1/req/{verb}"),
        payload: payload.as_bytes().to_vec(),
        retain: false,
        duplicate: false,
        correlation: Some(b"c-1".to_vec()),
        response_topic: response.map(str::to_owned),
        ack: AckToken(7_000),
    }));
    world.run(1_000);
}

/// F18. Guards: an error that tells nobody what to do next.
#[test]
fn unknown_lock_names_the_command_that_lists_locks() {
    let mut world = World::ready(1);
    for data in [
        json!({"lock": "ffffffffffffffff"}),
        json!({"lock": "../../etc/passwd"}),
        json!({"lock": "+"}),
    ] {
        world.request(1, "lock.show", data);
        world.run(100);
        let error = world.replies.pop().unwrap().2.unwrap_err();
        assert_eq!(error.code, "unknown_lock");
        assert!(error.advice.contains("drawbridge lock list"));
    }
}

/// Correlation and transaction come back. Guards: an answer that its sender cannot tell from another's.
#[test]
fn request_over_mqtt_is_answered_where_it_may_be() {
    let mut world = World::ready(1);
    let lock = world.locks[0].id;
    let nonce = "ab".repeat(16);
    let data = json!({"transaction": "t1", "data": {"lock": lock.to_string(), "nonce": nonce, "holder": null}});
    request(
        &mut world,
        "lock.session_info",
        &data.to_string(),
        Some("drawbridge/hub-1/res/app-1"),
    );
    let answer = world.last("/res/app-1").unwrap();
    assert_eq!(answer.correlation.as_deref(), Some(b"c-1".as_slice()));
    let json = answer.json();
    assert_eq!(
        (&json["transaction"], &json["status"]),
        (&json!("t1"), &json!("ok"))
    );
    assert!(json["data"]["statement"].is_string());
    assert!(world.acked.contains(&AckToken(7_000)));
}

/// S26. Guards: a hub that publishes for an attacker where he may not.
#[test]
fn s26_foreign_response_topic_is_an_error_on_our_own() {
    let mut world = World::ready(1);
    let command = world.command_topic(0);
    request(
        &mut world,
        "status",
        r#"{"transaction":"t"}"#,
        Some(&command),
    );
    assert!(world.last("/command").is_none());
    let json = world.last("/res/status").unwrap().json();
    assert_eq!(json["error"]["code"], "bad_request");
}

/// S22. Guards: JSON that is too long, too deep, doubled or no JSON at all.
#[test]
fn s22_hostile_json_gets_an_error_reply() {
    let mut world = World::ready(1);
    let deep = format!(
        r#"{{"transaction":"t","data":{}1{}}}"#,
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    let long = format!(r#"{{"transaction":"{}"}}"#, "x".repeat(100_000));
    let wordy = format!(r#"{{"transaction":"{}"}}"#, "x".repeat(65));
    for bad in [
        "",
        "{",
        "null",
        "[1]",
        r#"{"transaction":"a","transaction":"b"}"#,
        r#"{"transaction":"a","surprise":1}"#,
        r#"{"transaction":NaN}"#,
        &deep,
        &long,
        &wordy,
    ] {
        let before = world.published.len();
        request(&mut world, "status", bad, None);
        let answers = &world.published[before..];
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].json()["error"]["code"], "bad_request");
    }
}

/// Availability is the radio's, state is the lock's. Guards: "jammed" because no slot was free.
#[test]
fn absence_changes_availability_only() {
    let mut world = World::ready(1);
    let state = world.last("/state").unwrap().clone();
    assert_eq!(world.last("/availability").unwrap().payload, b"online");
    world.unreachable = vec![world.locks[0].id];
    world.cut_links();
    world.run(60_000);
    assert_eq!(world.last("/availability").unwrap().payload, b"offline");
    assert_eq!(*world.last("/state").unwrap(), state);
    world.unreachable.clear();
    world.run(60_000);
    assert_eq!(world.last("/availability").unwrap().payload, b"online");
}

/// F07. Guards: a broker that lost its retained documents and never gets them back.
#[test]
fn retained_documents_are_published_on_every_connection() {
    let mut world = World::ready(1);
    world.broker_down();
    world.run(1_000);
    world.published.clear();
    world.broker_up();
    world.run(1_000);
    for leaf in [
        "/info",
        "/locks",
        "/state",
        "/availability",
        "/battery",
        "/link",
    ] {
        assert!(world.last(leaf).unwrap().retain, "{leaf}");
    }
    let count = world.published.len();
    world.run(10_000);
    assert_eq!(world.published.len(), count, "once");
}

/// S33. Guards: a lock that was given away and still stands in the broker.
#[test]
fn removed_lock_is_cleared_from_the_broker_even_after_a_restart() {
    let mut world = World::ready(1);
    let lock = world.locks[0].id.to_string();
    world.broker_down();
    world.request(1, "lock.remove", json!({"lock": lock}));
    world.run(100);
    assert!(world.reply(1).unwrap().is_ok());
    world.crash();
    world.published.clear();
    world.broker_up();
    world.run(1_000);
    for leaf in ["state", "availability", "battery", "link"] {
        let topic = format!("lock/{lock}/{leaf}");
        let last = world.last(&topic).unwrap();
        assert!(last.retain && last.payload.is_empty(), "{leaf}");
    }
    assert_eq!(world.last("/locks").unwrap().json(), json!([]));
    assert!(world.disk.bindings.is_empty());
}

/// Guards: a bond that outlives its lock's removal, and with it who the hub's locks once were.
#[test]
fn removed_lock_is_forgotten_by_the_radio() {
    let mut world = World::ready(2);
    let lock = world.locks[0].id;
    world.request(1, "lock.remove", json!({"lock": lock.to_string()}));
    world.run(100);
    assert!(world.reply(1).unwrap().is_ok());
    assert_eq!(world.forgotten, [lock]);
}

/// I2. Guards: commands that vanish with their lock.
#[test]
fn removing_a_lock_ends_its_open_commands_or_is_refused() {
    let mut world = World::ready(1);
    let lock = world.locks[0].id.to_string();
    world.unreachable = vec![world.locks[0].id];
    world.cut_links();
    let id = world.send_command(0, 1);
    world.run(100);
    world.request(1, "lock.remove", json!({"lock": lock}));
    world.run(100);
    assert_eq!(
        world.reply(1).unwrap().as_ref().unwrap_err().code,
        "commands_unresolved"
    );
    world.request(2, "lock.remove", json!({"lock": lock, "force": true}));
    world.run(100);
    assert!(world.reply(2).unwrap().is_ok());
    let last = world.results(id).pop().unwrap();
    assert_eq!(
        (&last["status"], &last["provisional"]),
        (&json!("refused"), &json!(true))
    );
}

/// I7. Guards: watchers without end, and words to those who hung up.
#[test]
fn watchers_are_bounded_and_forgotten_when_they_hang_up() {
    let mut world = World::with(1, |config| config.watchers = 2);
    world.broker_up();
    for id in 1..=3 {
        world.request(id, "watch", json!(null));
    }
    world.run(3_000);
    assert_eq!(world.reply(3).unwrap().as_ref().unwrap_err().code, "busy");
    assert!(
        world
            .streams
            .iter()
            .any(|(id, value)| *id == 1 && value["event"] == "state")
    );
    world
        .events
        .push_back(HubEvent::Control(ControlEvent::Gone {
            client: ClientId(1),
        }));
    world.run(10);
    let count = world.streams.len();
    world.send_command(0, 1);
    world.run(1_000);
    assert_eq!(world.streams.len(), count);
}

/// F05, I7. Guards: a broker that is away for days filling the memory, or costing a final.
#[test]
fn f05_progress_is_dropped_oldest_first_and_finals_never() {
    let mut world = World::with(1, |config| config.outbox_passing = 10);
    world.broker_up();
    world.run(2_000);
    world.broker_down();
    let mut ids = Vec::new();
    for counter in 1..=100 {
        let (bytes, id) = world.sign(0, counter);
        let command = base64(&bytes);
        let lock = world.locks[0].id.to_string();
        world.request(
            counter,
            "lock.command",
            json!({"lock": lock, "command": command, "wait": true}),
        );
        world.run(50);
        ids.push(id);
    }
    world.request(1_000, "status", json!({}));
    world.run(10);
    let status = world.reply(1_000).unwrap().as_ref().unwrap();
    assert!(
        status["telemetry_dropped"].as_u64().unwrap() >= 180,
        "{status}"
    );
    world.broker_up();
    world.run(10_000);
    assert!(ids.iter().all(|id| world.finals(*id).len() == 1));
}

/// I7. Guards: an answer to a client that hung up, which a later one with its number would take for
/// its own; and places that nobody listens on. Found by fuzzing hub_events.
#[test]
fn i7_client_that_hung_up_is_answered_no_more_and_gives_its_place_back() {
    for is_away in [true, false] {
        let mut world = World::with(1, |config| config.relays_per_lock = 1);
        world.run(2_000);
        if is_away {
            world.unreachable = vec![world.locks[0].id];
            world.cut_links();
            world.run(1_000);
        }
        let lock = world.locks[0].id.to_string();
        let data = json!({"lock": lock, "nonce": "73".repeat(16)});
        world.request(1, "lock.session_info", data.clone());
        let gone = ControlEvent::Gone {
            client: ClientId(1),
        };
        world.events.push_back(HubEvent::Control(gone));
        world.request(2, "lock.session_info", data);
        world.run(1_000);
        world.unreachable.clear();
        world.run(10_000);
        assert!(world.reply(1).is_none(), "away {is_away}");
        assert!(world.reply(2).unwrap().is_ok(), "away {is_away}");
    }
}
