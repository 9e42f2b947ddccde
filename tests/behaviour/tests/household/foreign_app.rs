//! Build 8, F05, I1, I3, S32: a foreign app turns a bolt through a real broker.
//!
//! Guards: a hub that only its own client can talk to, results that nobody else can verify, replay
//! by a broker that delivers twice or keeps what it should not, and results lost with the broker.

use std::time::{Duration, Instant};

use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::report::Position;
use serde_json::json;

use crate::home::{HUB, Home, Mailbox, QUICK, id_of, is_final, proven, result_of, wait_final};

fn starts(home: &Home, door: &str) -> u64 {
    home.lock(door).motor_starts().unwrap()
}

#[test]
fn i1_i3_real_broker_foreign_app_turns_a_bolt() {
    let home = Home::paired(&[("Front", QUICK), ("Back", QUICK)]);
    let listener = home.listen();
    for door in ["Front", "Back"] {
        let lock = home.lock(door);
        let (before, command) = (starts(&home, door), home.signed(door, "lock"));
        home.publish(&lock.id, &command, &[]);
        let result = wait_final(&listener, &id_of(&command), 1);
        assert_eq!(result["status"], json!("done"), "{result}");
        assert_eq!(result["duplicate"], json!(false));
        let outcome = proven(lock, &result);
        assert_eq!(outcome.command.to_string(), id_of(&command));
        assert_eq!(
            (outcome.verdict, outcome.position),
            (Verdict::Done, Position::Locked)
        );
        assert_eq!(lock.bolt().unwrap(), "LOCKED");
        assert_eq!(starts(&home, door), before + 1);
    }
    // What one lock signed is not another's word.
    let front = home.signed("Front", "unlock");
    home.publish(&home.lock("Front").id, &front, &[]);
    let result = wait_final(&listener, &id_of(&front), 1);
    let report = crate::home::base64(result["report"].as_str().unwrap());
    let other = drawbridge_protocol::qr::QrCode::from_text(&home.lock("Back").code).unwrap();
    assert!(drawbridge_protocol::outcome::Outcome::verify(&report, &other.identity).is_err());
}

/// S32: delivered twice, delivered to another lock, and kept by the broker.
#[test]
fn s32_real_broker_repeated_misdirected_and_retained_commands_move_nothing() {
    let home = Home::paired(&[("Front", QUICK), ("Back", QUICK)]);
    let listener = home.listen();
    let (front, back) = (home.lock("Front"), home.lock("Back"));
    let command = home.signed("Front", "lock");
    home.publish(&front.id, &command, &[]);
    let first = wait_final(&listener, &id_of(&command), 1);
    assert_eq!(first["status"], json!("done"), "{first}");
    let before = (starts(&home, "Front"), starts(&home, "Back"));

    for count in 2..=4 {
        home.publish(&front.id, &command, &[]);
        let again = wait_final(&listener, &id_of(&command), count);
        assert_eq!(again["status"], json!("done"), "{again}");
        assert_eq!(again["duplicate"], json!(true), "{again}");
        assert_eq!(proven(front, &again).verdict, Verdict::Done);
    }

    home.publish(&back.id, &command, &[]);
    let wrong = wait_final(&listener, &id_of(&command), 5);
    assert_eq!(wrong["status"], json!("refused"), "{wrong}");

    let fresh = home.signed("Front", "unlock");
    home.publish(&front.id, &fresh, &["-r"]);
    let kept = listener.wait_for(Duration::from_secs(20), |seen| {
        seen.topic.ends_with("/result") && result_of(seen)["reason"] == json!("transport")
    });
    let kept = kept.unwrap_or_else(|| panic!("no refusal: {:?}", listener.seen()));
    assert_eq!(result_of(&kept)["status"], json!("refused"));
    assert_eq!(result_of(&kept)["report"], json!(null));
    // A hub that connects anew is sent what the broker keeps.
    let from = home.hub.log_size();
    let mut home = home;
    home.broker.start_again().unwrap();
    home.wait_for_broker(from);
    home.done(&["state", "Front"]);
    assert_eq!((starts(&home, "Front"), starts(&home, "Back")), before);
}

/// F05: the broker goes down under a moving bolt. Local control works meanwhile, and the result
/// is published when the broker is back.
#[test]
fn f05_real_broker_down_under_a_command_loses_no_result_and_no_local_control() {
    let mut home = Home::paired(&[("Gate", "1500"), ("Back", QUICK)]);
    let gate = home.lock("Gate").id.clone();
    let mailbox = Mailbox::open(&home, format!("drawbridge/{HUB}/lock/{gate}/result"));
    let (before, command) = (starts(&home, "Gate"), home.signed("Gate", "lock"));
    home.publish(&gate, &command, &[]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while starts(&home, "Gate") == before {
        assert!(Instant::now() < deadline, "the motor never started");
        std::thread::sleep(Duration::from_millis(5));
    }
    let from = home.hub.log_size();
    home.broker.stop().unwrap();
    home.hub.wait_for_log("broker_down", from, 30).unwrap();

    let back = starts(&home, "Back");
    let said = home.done(&["lock", "Back", "--local"]);
    assert_eq!(said["proven"], json!(true), "{said}");
    assert_eq!(starts(&home, "Back"), back + 1);
    let said = home.owner.run(&["unlock", "Back"]).unwrap();
    assert_eq!(said.code, 4, "without a broker nothing is sent: {said:?}");
    assert_eq!(starts(&home, "Back"), back + 1);

    home.broker.start_again().unwrap();
    let id = id_of(&command);
    let all = mailbox.read_until(&home.broker, |result| {
        result["command"] == json!(id) && is_final(result)
    });
    let result = all.last().unwrap();
    assert_eq!(result["status"], json!("done"), "{result}");
    assert_eq!(proven(home.lock("Gate"), result).verdict, Verdict::Done);
    assert_eq!(starts(&home, "Gate"), before + 1);
}
