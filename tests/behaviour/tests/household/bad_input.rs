//! S22: hostile bytes on every topic that the hub reads and on its control socket.
//!
//! Guards: a parser that dies, a buffer that grows, an answer that is not given, a bolt that moves.

use std::time::Duration;

use drawbridge_support::foreign::{Sent, publish};
use serde_json::{Value, json};

use crate::home::{Home, QUICK, id_of, raw_request, wait_final};

/// What the hub's peak may grow by under all of it, KiB.
const GROWTH_KIB: u64 = 12 * 1024;

/// Bytes that are wrong in each way, and what is wrong with them.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |open: &str, depth: usize| open.repeat(depth).into_bytes();
    let request = |data: &str| format!("{{\"transaction\":\"t\",\"data\":{data}}}").into_bytes();
    let mut not_text = request("{\"lock\":\"x\"}");
    not_text.extend_from_slice(b"\xff\xfe\xc0\x80");
    vec![
        ("one zero", vec![0]),
        (
            "half an object",
            b"{\"transaction\":\"t\",\"data\":".to_vec(),
        ),
        ("not an object", b"[1,2,3]".to_vec()),
        ("deep arrays", nested("[", 60_000)),
        ("deep objects", nested("{\"a\":", 20_000)),
        ("deep CBOR", vec![0x81; 60_000]),
        ("endless CBOR", vec![0x9f; 1_000]),
        ("a CBOR string of 4 GiB", b"\x5a\xff\xff\xff\xff".to_vec()),
        ("not UTF-8", not_text),
        (
            "a key twice",
            b"{\"transaction\":\"t\",\"transaction\":\"u\",\"data\":{}}".to_vec(),
        ),
        (
            "a key twice inside",
            request("{\"lock\":\"a\",\"lock\":\"b\"}"),
        ),
        (
            "an unknown key",
            request("{\"lock\":\"0011223344556677\",\"evil\":1}"),
        ),
        ("a number too far", request("{\"lock\":1e999}")),
        (
            "a long transaction",
            format!(
                "{{\"transaction\":\"{}\",\"data\":{{}}}}",
                "t".repeat(70_000)
            )
            .into_bytes(),
        ),
        ("230,000 bytes", vec![b'x'; 230_000]),
        (
            "a string of 200,000",
            request(&format!("{{\"lock\":\"{}\"}}", "y".repeat(200_000))),
        ),
    ]
}

#[test]
fn s22_hostile_payloads_on_every_topic_move_nothing_and_grow_nothing() {
    let home = Home::paired(&[("Front", QUICK)]);
    let (front, listener) = (home.lock("Front"), home.listen());
    home.done(&["unlock", "Front"]);
    let (starts, rss) = (front.motor_starts().unwrap(), home.hub_peak_kib());
    let topics = [
        (
            &home.sends,
            home.topic(&format!("lock/{}/command", front.id)),
        ),
        (&home.sends, home.topic("lock/00112233445566ff/command")),
        (
            &home.sends,
            home.topic("lock/+x/command").replace('+', "%2b"),
        ),
        (
            &home.operator,
            home.topic(&format!("lock/{}/audit/ack", front.id)),
        ),
        (&home.sends, home.topic("req/lock.session_info")),
        (&home.sends, home.topic("req/lock.pair")),
        (&home.sends, home.topic("req/lock.claim")),
        (&home.operator, home.topic("req/lock.remove")),
        (&home.operator, home.topic("req/no.such.verb")),
        (&home.operator, home.topic("req/UPPER%case")),
    ];
    let mut sent = 0;
    for round in 0..2 {
        for (what, bytes) in hostile() {
            for (who, topic) in &topics {
                let answer = publish(&home.broker, who, topic, &bytes, &[]).unwrap();
                assert_eq!(answer, Sent::Accepted, "{what} on {topic}, round {round}");
                sent += 1;
            }
        }
    }
    // More than the broker takes: it never gets to the hub, and the hub's own link stays.
    let (big, from) = (vec![b'x'; 400_000], home.hub.log_size());
    drop(publish(&home.broker, &home.sends, &topics[0].1, &big, &[]));

    let command = home.signed("Front", "lock");
    home.publish(&front.id, &command, &[]);
    let result = wait_final(&listener, &id_of(&command), 1);
    assert_eq!(result["status"], json!("done"), "{result}");
    assert_eq!(front.motor_starts().unwrap(), starts + 1);
    let grown = home.hub_peak_kib().saturating_sub(rss);
    println!("{sent} hostile payloads, the hub's peak grew by {grown} KiB");
    assert!(grown < GROWTH_KIB, "grew by {grown} KiB");

    // Everyone who asked has an answer, with what to do.
    let answers: Vec<Value> = listener
        .seen()
        .iter()
        .filter(|seen| seen.topic.contains("/res/") && !seen.topic.contains("session_info"))
        .map(|seen| serde_json::from_slice(&seen.payload).unwrap())
        .filter(|answer: &Value| answer["status"] == json!("error"))
        .collect();
    assert!(answers.len() >= 20, "{} answers", answers.len());
    for answer in &answers {
        let advice = answer["error"]["advice"].as_str().unwrap_or_default();
        assert!(!advice.is_empty(), "{answer}");
    }
    let refused = listener.wait_for(Duration::from_secs(1), |seen| {
        seen.topic.ends_with(&format!("{}/result", front.id))
            && String::from_utf8_lossy(&seen.payload).contains("\"form\"")
    });
    assert!(refused.is_some(), "no refusal for malformed commands");
    let log = std::fs::read_to_string(&home.hub.log).unwrap();
    assert!(!log[from..].contains("broker_down"), "{}", &log[from..]);
}

#[test]
fn s22_hostile_lines_on_the_control_socket_are_answered_and_the_next_one_is_served() {
    let home = Home::paired(&[("Front", QUICK)]);
    home.done(&["unlock", "Front", "--local"]);
    let (starts, rss) = (
        home.lock("Front").motor_starts().unwrap(),
        home.hub_peak_kib(),
    );
    let mut answered = 0;
    for round in 0..3 {
        for (what, bytes) in hostile() {
            let lines = [
                bytes
                    .iter()
                    .map(|byte| if *byte == b'\n' { b' ' } else { *byte })
                    .collect::<Vec<u8>>(),
                [
                    b"{\"id\":1,\"verb\":\"lock.command\",\"data\":".as_slice(),
                    &bytes,
                    b"}",
                ]
                .concat(),
                [
                    b"{\"id\":1,\"id\":2,\"verb\":\"lock.list\",\"data\":".as_slice(),
                    &bytes,
                    b"}",
                ]
                .concat(),
            ];
            for line in lines {
                let answer = raw_request(&home.hub.socket, &line);
                // A line without an end in sight may be hung up on; everything else is answered.
                if line.len() < 60_000 {
                    let answer =
                        answer.unwrap_or_else(|| panic!("no answer to {what}, round {round}"));
                    assert!(answer.to_string().contains("error"), "{what}: {answer}");
                    answered += 1;
                }
            }
        }
    }
    let requests = [
        json!({"id": 1, "verb": "no.such", "data": {}}),
        json!({"id": 1, "verb": "lock.command", "data": {"lock": home.lock("Front").id, "command": "!!", "wait": true}}),
        json!({"id": 1, "verb": "lock.audit", "data": {"lock": 7}}),
        json!({"id": 1, "verb": "lock.audit_ack", "data": {"lock": home.lock("Front").id, "ack": "AAAA"}}),
        json!({"id": 1, "verb": "lock.claim", "data": {"lock": home.lock("Front").id, "claim": "AAAA"}}),
    ];
    for request in requests {
        let answer = raw_request(&home.hub.socket, request.to_string().as_bytes()).unwrap();
        let advice = answer["error"]["advice"].as_str().unwrap_or_default();
        assert!(
            !advice.is_empty() || answer.to_string().contains("\"form\""),
            "{request}: {answer}"
        );
    }
    let said = home.done(&["lock", "Front", "--local"]);
    assert_eq!(said["proven"], json!(true));
    assert_eq!(home.lock("Front").motor_starts().unwrap(), starts + 1);
    let grown = home.hub_peak_kib().saturating_sub(rss);
    println!("{answered} hostile lines answered, the hub's peak grew by {grown} KiB");
    assert!(grown < GROWTH_KIB, "grew by {grown} KiB");
}
