//! A lock is reset by its button and paired again.
//!
//! Guards: a hub whose new grant is of the policy epoch that the reset revoked: the owner's commands
//! pass, and the hub can neither read the lock's log nor show its state.

use serde_json::json;

use crate::home::{Home, QUICK};

/// How long the inside button is held for a factory reset, in milliseconds.
const RESET_MS: u32 = 10_000;

#[test]
fn a_lock_paired_again_after_its_factory_reset_gives_its_log_to_the_hub() {
    let home = Home::paired(&[("Front", QUICK)]);
    let lock = home.lock("Front");
    home.done(&["lock", "Front", "--local"]);
    for reset in 1..=2 {
        lock.ask(&json!({"do": "button", "held_ms": RESET_MS}))
            .unwrap();
        let status = lock.ask(&json!({"do": "status"})).unwrap();
        assert_eq!(status["core"]["owned"], json!(false), "{status}");
        home.done(&["lock", "remove", "Front", "--yes", "--local"]);
        lock.press_button().unwrap();
        home.claim("Front", &lock.code)
            .done("claim after a reset")
            .unwrap();

        let before = lock.motor_starts().unwrap();
        let action = if reset == 1 { "unlock" } else { "lock" };
        let said = home.done(&[action, "Front"]);
        assert_eq!(said["proven"], json!(true), "{said}");
        assert_eq!(lock.motor_starts().unwrap(), before + 1);

        // The hub reads it with its own grant, not with the owner's key.
        let said = home.done(&["lock", "log", "Front", "--all", "--local"]);
        let events: Vec<_> = said["log"].as_array().unwrap().iter().collect();
        let of = |event: &str| {
            events
                .iter()
                .filter(|line| line["event"] == json!(event))
                .count()
        };
        assert_eq!(of("intent"), of("outcome"), "{said}");
        assert!(of("outcome") >= 1, "{said}");
        println!("EVIDENCE reset {reset}: {} records read", events.len());
    }
}
