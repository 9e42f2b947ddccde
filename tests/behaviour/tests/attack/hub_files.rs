//! S25: whoever has every file of a hub has not the house.

use crate::robbed_house::{House, attack};

/// S25, I1. Guards: a hub whose stolen files open the door: its keys, psks, grant, its database with
/// the owner's old commands, used on the air against the very locks it was paired with, and in the
/// middle of a new pairing. Then the owner finds every lock and its whole log as they were.
#[test]
fn s25_hub_files_are_not_a_key() {
    let mut house = House::new();
    for door in ["Front", "Back"] {
        house.owner_does(&["unlock", door]);
        house.owner_does(&["lock", door]);
        house.owner_does(&["unlock", door, "--local"]);
        house.owner_does(&["lock", door]);
        // The hub has pulled the records, with the commands in them, once the owner can read them.
        house.owner_does(&["lock", "log", door, "--all", "--local"]);
    }
    let loot = house.steal_the_hub();
    let before: Vec<u64> = house
        .locks
        .iter()
        .map(|lock| lock.motor_starts().unwrap())
        .collect();
    let codes: Vec<String> = house
        .codes()
        .iter()
        .map(|code| code.display().to_string())
        .collect();
    let mut more: Vec<&str> = codes.iter().flat_map(|code| ["--qr", code]).collect();
    if std::env::var("DRAWBRIDGE_LANE").is_ok_and(|lane| lane == "full") {
        more.push("--patient");
    }

    let attack = attack(&loot, &more);
    println!("{}", attack.all);
    assert!(attack.is_defeated, "{}", attack.all);
    let made = attack.attempts.len();
    assert_eq!(attack.last_line, format!("{made} passed, 0 failed"));
    for lock in &house.locks {
        let about = |attempt: &&serde_json::Value| {
            let name = attempt["attempt"].as_str().unwrap_or_default();
            name.starts_with(&lock.id)
        };
        let count = attack.attempts.iter().filter(about).count();
        assert!(count >= 25, "{count} attempts on {}", lock.name);
    }

    // Only the two controls, which are the hub's right, moved anything.
    for (lock, before) in house.locks.iter().zip(before) {
        assert_eq!(lock.motor_starts().unwrap() - before, 2, "{}", lock.name);
        assert_eq!(lock.bolt().unwrap(), "LOCKED", "{}", lock.name);
    }
    house.hub.start_again().unwrap();
    for door in ["Front", "Back"] {
        // Ends with 0 only if every record to the head that the lock signs now is there.
        house.owner_does(&["lock", "log", door, "--all", "--local"]);
        let answer = house.owner_does(&["unlock", door]);
        assert_eq!(answer["proven"], serde_json::json!(true), "{answer}");
    }
}

/// Guards: an attacker that reports success where it never reached a lock, or where an attack
/// worked: a hub that the owner lets unlock is one whose stolen files do open the door.
#[test]
fn s25_the_attacker_notices_what_works_and_what_it_could_not_try() {
    let mut house = House::new();
    for door in ["Front", "Back"] {
        house.owner_does(&["lock", door]);
        house.owner_does(&["lock", "log", door, "--all", "--local"]);
    }
    let loot = house.steal_the_hub();

    let silence = house.silent_air().display().to_string();
    let unheard = attack(&loot, &["--air", &silence]);
    assert!(!unheard.is_defeated, "{}", unheard.all);
    assert!(
        unheard.all.contains("the lock is not on the air"),
        "{}",
        unheard.all
    );

    house.grant_unlock(&loot);
    let successful = attack(&loot, &[]);
    assert!(!successful.is_defeated, "{}", successful.all);
    for lock in &house.locks {
        let name = format!("{}: unlock under the hub's own grant", lock.id);
        let attempt = successful
            .attempts
            .iter()
            .find(|attempt| attempt["attempt"] == serde_json::json!(name));
        let attempt = attempt.unwrap_or_else(|| panic!("{name}: {}", successful.all));
        assert_eq!(attempt["ok"], serde_json::json!(false), "{attempt}");
        let evidence = attempt["evidence"].as_str().unwrap_or_default();
        assert!(evidence.contains("THE ATTACK WORKED"), "{evidence}");
    }
}
