//! F13, I3: the lock's power fails around a command; the hub finds out, once, and asks again.
//!
//! Guards: a hub that takes silence for "not done" and has the motor run again, or never tells.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::home::Home;

#[test]
fn i3_lock_power_lost_between_intent_and_outcome() {
    let home = Home::paired(&[("Front", "150")]);
    let lock = home.lock("Front");
    let (mut interrupted, mut from_log) = (0, 0);
    for at_write in 1..=8 {
        let action = match lock.bolt().unwrap().as_str() {
            "LOCKED" => "unlock",
            _ => "lock",
        };
        let before = lock.motor_starts().unwrap();
        lock.ask(
            &json!({"do": "power_loss", "at_write": at_write, "model": "torn", "seed": at_write}),
        )
        .unwrap();
        let (owner, word) = (home.owner.clone(), action.to_owned());
        let way = if at_write % 2 == 0 {
            "--local"
        } else {
            "--wait=45"
        };
        let sender = std::thread::spawn(move || owner.run(&[&word, "Front", way]).unwrap());
        let deadline = Instant::now() + Duration::from_secs(30);
        let is_off = loop {
            let status = lock.ask(&json!({"do": "status"})).unwrap();
            if status["power"] != json!("on") {
                break true;
            }
            if sender.is_finished() || Instant::now() > deadline {
                break false;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let at_cut = lock.motor_starts().unwrap() - before;
        // Without a cut in this command (it has fewer writes), this also takes the cut back.
        lock.ask(&json!({"do": "power_loss"})).unwrap();
        lock.ask(&json!({"do": "power_on"})).unwrap();
        let said = sender.join().unwrap();
        let answer = said.json();
        let what = format!("write {at_write}, cut {is_off}, at the cut {at_cut}: {said:?}");
        assert_eq!(answer["proven"], json!(true), "{what}");
        let moved = lock.motor_starts().unwrap() - before;
        assert!(moved <= 1, "moved {moved} times: {what}");
        match answer["status"].as_str().unwrap() {
            "done" => assert_eq!(moved, 1, "{what}"),
            "failed" => assert_eq!(answer["reason"], json!("interrupted"), "{what}"),
            "not_executed" => assert_eq!((moved, at_cut), (0, 0), "{what}"),
            other => panic!("{other}: {what}"),
        }
        if is_off && at_cut == 1 {
            from_log += 1;
            interrupted += u32::from(answer["status"] == json!("failed"));
            assert_eq!(
                answer["may_have_succeeded"],
                json!(answer["status"] == json!("failed")),
                "{what}"
            );
        }
    }
    assert!(
        from_log >= 1 && interrupted >= 1,
        "{from_log} from the log, {interrupted} interrupted"
    );
    let log = home
        .owner
        .run(&["lock", "log", "Front", "--all", "--local"])
        .unwrap();
    assert_eq!(log.code, 0, "the log is whole: {log:?}");
}
