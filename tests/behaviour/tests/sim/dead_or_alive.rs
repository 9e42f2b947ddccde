//! F13, F18, I4: a lock process that is killed, stopped, started twice or given the wrong files.

use std::os::unix::fs::PermissionsExt;

use drawbridge_protocol::command::Action;
use drawbridge_protocol::log_record::LogEvent;
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::tunnel::HubToLock;

use crate::air_peer::{connect, find};
use crate::lock_process::{LockProcess, command, fails, place};
use crate::owner::Owner;
use drawbridge_protocol::qr::QrCode;

/// Guards: a simulator whose "flash" lives in memory, so that every test of restarts is empty.
#[test]
fn i4_a_killed_lock_keeps_owner_log_keys_and_bolt() {
    let place = place();
    let mut lock = LockProcess::start(place.path());
    lock.ask(r#"{"do":"button","held_ms":200}"#);
    let qr = std::fs::read_to_string(place.path().join("qr")).unwrap();
    let mut owner = Owner::claim(&place.path().join("air"), &qr);
    let statement = owner.sign(Action::Lock);
    let request = HubToLock::Command {
        statement: &statement,
    };
    let done = owner.hub.outcome(&request).unwrap();
    assert_eq!(done.verdict, Verdict::Done);
    let before = lock.status();
    assert_eq!(
        (&before["bolt"], &before["motor_actuations"]),
        (&"LOCKED".into(), &1.into())
    );
    assert_eq!(
        before["flash"]["worst_writes_per_word"]
            .as_u64()
            .max(Some(2)),
        Some(2)
    );
    lock.kill();

    let mut lock = LockProcess::start(place.path());
    let after = lock.status();
    assert_eq!(after["core"]["owned"], true);
    assert_eq!(after["bolt"], "LOCKED");
    assert_eq!(
        after["core"]["boot"].as_u64(),
        before["core"]["boot"].as_u64().map(|boot| boot + 1)
    );
    assert_eq!(
        std::fs::read_to_string(place.path().join("qr")).unwrap(),
        qr
    );
    owner.rejoin().unwrap();
    let repeat = owner.hub.outcome(&request).unwrap();
    assert_eq!((repeat.verdict, repeat.duplicate), (Verdict::Done, true));
    let log = owner.read_log();
    for event in [LogEvent::Claimed, LogEvent::Intent, LogEvent::Outcome] {
        assert_eq!(
            log.iter().filter(|seen| **seen == event).count(),
            1,
            "{log:?}"
        );
    }
    assert_eq!(lock.status()["motor_actuations"], 0);
}

#[test]
fn a_stopped_lock_leaves_no_sockets_and_printed_its_code_and_its_bolt() {
    let place = place();
    let mut lock = LockProcess::start(place.path());
    assert_eq!(lock.ask(r#"{"do":"by_hand","to":"locked"}"#)["ok"], true);
    let hello = lock.ask(r#"{"do":"hello"}"#);
    let address = hello["address"].as_str().unwrap().to_owned();
    assert!(place.path().join(format!("air/{address}.air")).exists());
    let (well, printed) = lock.terminate();
    assert!(well);
    assert!(printed.contains(hello["qr"].as_str().unwrap()));
    assert!(
        printed.contains("front: bolt LOCKED   motor runs: 0"),
        "{printed}"
    );
    assert!(printed.contains('\u{2588}') && !printed.contains('\u{1b}'));
    assert_eq!(
        std::fs::read_dir(place.path().join("air")).unwrap().count(),
        0
    );
    assert!(!place.path().join("control").exists());
}

#[test]
fn secrets_on_disk_are_for_their_owner_only() {
    let place = place();
    let _lock = LockProcess::start(place.path());
    for file in ["qr", "flash", "flash.factory", "control"] {
        let mode = std::fs::metadata(place.path().join(file)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{file}");
    }
}

/// Guards: a killed lock's socket that a hub scans for ever, and the removal of a living lock's.
#[test]
fn a_killed_locks_socket_is_cleared_by_the_next_lock_and_a_living_ones_is_not() {
    let (dead, alive) = (place(), place());
    let air = alive.path().join("air");
    std::fs::create_dir(&air).unwrap();
    std::os::unix::fs::symlink(&air, dead.path().join("air")).unwrap();
    LockProcess::start(dead.path()).kill();
    assert_eq!(std::fs::read_dir(&air).unwrap().count(), 1);
    let _first = LockProcess::start(dead.path());
    let _second = LockProcess::start(alive.path());
    assert_eq!(std::fs::read_dir(&air).unwrap().count(), 2);
}

/// F18: whatever is wrong with the files, an error says what to do, and nothing is overwritten.
#[test]
fn f18_wrong_files_are_refused_with_advice() {
    let place = place();
    let path = |file: &str| place.path().join(file);
    let running = LockProcess::start(place.path());
    let said = fails(command(place.path()));
    assert!(said.contains("another simulator runs on it"), "{said}");
    running.kill();

    let (flash, factory) = (path("flash"), path("flash.factory"));
    let whole = std::fs::read(&flash).unwrap();
    std::fs::rename(&factory, path("aside")).unwrap();
    let said = fails(command(place.path()));
    assert!(
        said.contains("flash.factory") && said.contains("--new"),
        "{said}"
    );
    std::fs::rename(path("aside"), &factory).unwrap();

    std::fs::write(&flash, &whole[..5_000]).unwrap();
    let said = fails(command(place.path()));
    assert!(said.contains("recognise the flash image"), "{said}");
    std::fs::remove_file(&flash).unwrap();
    let said = fails(command(place.path()));
    assert!(said.contains("restore it, or give --new"), "{said}");

    // Records damaged beyond what power cuts explain: never "unowned", never started.
    let mut damaged = whole.clone();
    // All four pages of the critical store, behind their headers.
    for page in damaged[..4 * 4_096].chunks_mut(4_096) {
        page[40..].fill(0x55);
    }
    std::fs::write(&flash, &damaged).unwrap();
    let said = fails(command(place.path()));
    assert!(said.contains("start the lock's firmware"), "{said}");
    assert_eq!(
        std::fs::read(&flash).unwrap()[60..4_000],
        damaged[60..4_000]
    );

    std::fs::write(&flash, &whole).unwrap();
    LockProcess::start(place.path()).kill();
}

#[test]
fn new_makes_another_lock_in_the_same_place() {
    let place = place();
    LockProcess::start(place.path()).kill();
    let first = std::fs::read_to_string(place.path().join("qr")).unwrap();
    let mut renew = command(place.path());
    renew.arg("--new").arg("--control").arg("/nonexistent/x");
    // It stops at the control socket, after the new lock was made.
    assert!(fails(renew).contains("open the control socket"));
    LockProcess::start(place.path()).kill();
    let second = std::fs::read_to_string(place.path().join("qr")).unwrap();
    assert_ne!(first, second);
    let (first, second) = (QrCode::from_text(&first), QrCode::from_text(&second));
    assert_ne!(first.unwrap().secret, second.unwrap().secret);
}

#[test]
fn a_rebooted_lock_has_a_new_address_and_a_dead_one_none() {
    let place = place();
    let air = place.path().join("air");
    let mut lock = LockProcess::start(place.path());
    let qr = std::fs::read_to_string(place.path().join("qr")).unwrap();
    let qr = QrCode::from_text(&qr).unwrap();
    let address = |lock: &mut LockProcess| lock.ask(r#"{"do":"hello"}"#)["address"].clone();
    let first = address(&mut lock);
    let mut stream = find(&air, &qr);
    assert_eq!(connect(&mut stream).unwrap(), 244);
    assert_eq!(lock.ask(r#"{"do":"reboot"}"#)["ok"], true);
    assert_ne!(address(&mut lock), first);
    lock.ask(r#"{"do":"power_loss"}"#);
    assert_eq!(lock.status()["power"], "off");
    assert_eq!(lock.ask(r#"{"do":"button","held_ms":1}"#)["ok"], false);
    lock.ask(r#"{"do":"power_on"}"#);
    connect(&mut find(&air, &qr)).unwrap();
    assert_eq!(lock.status()["core"]["boot"], 3);
}
