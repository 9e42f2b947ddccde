//! What systemd sees of the daemon: readiness, watchdog, log lines. Run as processes of their own, because
//! environment and logger belong to a whole process.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use drawbridge_daemon::journal::{self, Sink};
use drawbridge_daemon::readiness::ServiceManager;

/// Runs `test` again with these variables set.
fn again(test: &str, variables: &[(&str, &str)]) -> Output {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env_remove("JOURNAL_STREAM")
        .env("SERVICE_CHILD", "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn is_child() -> bool {
    std::env::var_os("SERVICE_CHILD").is_some()
}

/// The watchdog must starve when a task hangs, although the feeding task itself is well.
#[tokio::test]
async fn watchdog_is_fed_only_while_alive() {
    if is_child() {
        let manager = ServiceManager;
        manager.ready("3 locks\nMAINPID=1").unwrap();
        // Alive for three turns of 50 ms, silent for three, alive again.
        let turns = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&turns);
        let alive = move || !(3..6).contains(&counted.fetch_add(1, Ordering::Relaxed));
        let feeding = manager.feed_watchdog(alive);
        // The child's clock is real: the service manager's is, too.
        drop(tokio::time::timeout(Duration::from_millis(420), feeding).await);
        assert!(turns.load(Ordering::Relaxed) >= 7);
        manager.stopping().unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_nonblocking(true).unwrap();
    again(
        "service::watchdog_is_fed_only_while_alive",
        &[
            ("NOTIFY_SOCKET", path.to_str().unwrap()),
            ("WATCHDOG_USEC", "100000"),
        ],
    );
    let mut told = Vec::new();
    let mut datagram = [0; 512];
    while let Ok(length) = manager.recv(&mut datagram) {
        told.push(String::from_utf8(datagram[..length].to_vec()).unwrap());
    }
    assert!(told[0].starts_with("READY=1\nSTATUS=3 locks"), "{told:?}");
    assert!(!told[0].contains("\nMAINPID"), "{told:?}");
    let fed = told.iter().filter(|told| *told == "WATCHDOG=1\n").count();
    assert!((4..=6).contains(&fed), "fed {fed} times: {told:?}");
    assert_eq!(told.last().unwrap(), "STOPPING=1\n");
}

/// Without a journal the log is still there, with its fields, one line an event (S26).
#[test]
fn s26_log_falls_back_to_stderr_with_fields() {
    if is_child() {
        assert_eq!(
            journal::start(log::LevelFilter::Info).unwrap(),
            Sink::Stderr
        );
        assert!(
            journal::start(log::LevelFilter::Info).is_err(),
            "a second logger is refused"
        );
        log::warn!(target: "drawbridge_daemon::store", event = "store_reset", name = "a b\nc"; "hello\nworld");
        log::debug!(target: "drawbridge_daemon::store", event = "hidden"; "below the level");
        log::info!(target: "sled::pagecache", secret = "page"; "a dependency's chatter");
        return;
    }
    let output = again("service::s26_log_falls_back_to_stderr_with_fields", &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = "WARN  drawbridge_daemon::store: hello\\u{a}world event=store_reset name=\"a b\\\\u{a}c\"\n";
    assert_eq!(said, expected);
}
