//! What a service manager sees: READY, WATCHDOG, STOPPING, and a stop that loses nothing.
//!
//! Guards: a stop in the middle of a turn whose outcome nobody hears, and a watchdog that is fed
//! although the daemon stands still.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use drawbridge_support::household::Programs;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::home::{Home, Mailbox, QUICK, id_of, is_final, proven};

/// F07: SIGTERM while a bolt moves.
#[test]
fn f07_sigterm_under_a_moving_bolt_publishes_its_outcome_before_the_end() {
    let mut home = Home::paired(&[("Gate", "2000")]);
    let gate = home.lock("Gate").id.clone();
    let mailbox = Mailbox::open(&home, home.topic(&format!("lock/{gate}/result")));
    let command = home.signed("Gate", "lock");
    let before = home.lock("Gate").motor_starts().unwrap();
    home.publish(&gate, &command, &[]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while home.lock("Gate").motor_starts().unwrap() == before {
        assert!(Instant::now() < deadline, "the motor never started");
        std::thread::sleep(Duration::from_millis(5));
    }
    let stopped = Instant::now();
    let status = home.hub.stop().unwrap();
    let took = stopped.elapsed();
    assert!(status.success(), "{status}: {}", home.hub.log_tail());
    assert!(took < Duration::from_secs(10), "the stop took {took:?}");
    // Nobody is left who could publish it now.
    let id = id_of(&command);
    let all = mailbox.read_until(&home.broker, |result| {
        result["command"] == json!(id) && is_final(result)
    });
    let result = all.last().unwrap();
    assert_eq!(result["status"], json!("done"), "{result}");
    proven(home.lock("Gate"), result);
    assert_eq!(home.lock("Gate").motor_starts().unwrap(), before + 1);
}

/// A stop is bounded even when broker and lock are both stuck.
#[test]
fn f07_sigterm_ends_within_ten_seconds_with_a_frozen_broker_and_a_lost_lock() {
    let mut home = Home::paired(&[("Front", QUICK)]);
    let command = home.signed("Front", "lock");
    let id = home.lock("Front").id.clone();
    home.lock("Front")
        .ask(&json!({"do": "power_loss"}))
        .unwrap();
    home.publish(&id, &command, &[]);
    let from = home.hub.log_size();
    home.broker.freeze().unwrap();
    let stopped = Instant::now();
    let status = home.hub.stop().unwrap();
    let took = stopped.elapsed();
    home.broker.thaw().unwrap();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(10), "the stop took {took:?}");
    assert!(from > 0);
    // It was accepted, so it is not lost: it expires or is done, and its sender is told.
    home.lock("Front").ask(&json!({"do": "power_on"})).unwrap();
    let listener = home.listen();
    home.hub.start_again().unwrap();
    let result = crate::home::wait_final(&listener, &id_of(&command), 1);
    assert!(result["report"].is_string(), "{result}");
}

/// A daemon of this test's own, with a service manager's variables.
struct Served {
    child: Child,
    manager: UnixDatagram,
}

impl Drop for Served {
    fn drop(&mut self) {
        // A stopped process still dies by SIGKILL.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start(home: &Home) -> Self {
        let path = home.folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let child = Command::new(Programs::shared().path("drawbridged"))
            .arg("--config")
            .arg(&home.hub.config)
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "400000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, manager }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Everything that is said for so long.
    fn told(&self, time: Duration) -> Vec<String> {
        let until = Instant::now() + time;
        let mut told = Vec::new();
        let mut bytes = [0; 1024];
        while Instant::now() < until {
            if let Ok(length) = self.manager.recv(&mut bytes) {
                told.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
            }
        }
        told
    }

    fn wait_for(&self, text: &str) -> Vec<String> {
        let mut all = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !all.iter().any(|told: &String| told.contains(text)) {
            assert!(Instant::now() < deadline, "no {text}: {all:?}");
            all.extend(self.told(Duration::from_millis(100)));
        }
        all
    }
}

#[test]
fn ready_watchdog_and_stopping_are_told_and_a_frozen_daemon_starves_the_watchdog() {
    let mut home = Home::paired(&[("Front", QUICK)]);
    home.hub.kill();
    let mut served = Served::start(&home);
    let first = served.wait_for("READY=1");
    assert!(first[0].starts_with("READY=1\nSTATUS="), "{first:?}");
    let said = home.done(&["lock", "Front", "--local"]);
    assert_eq!(
        said["proven"],
        json!(true),
        "READY means that commands are taken"
    );
    let fed = |told: &[String]| {
        told.iter()
            .filter(|told| told.contains("WATCHDOG=1"))
            .count()
    };
    let alive = served.told(Duration::from_secs(2));
    assert!(fed(&alive) >= 4, "{alive:?}");

    kill_process(served.pid(), Signal::STOP).unwrap();
    // What was on its way.
    served.told(Duration::from_millis(300));
    let frozen = served.told(Duration::from_secs(2));
    assert!(frozen.is_empty(), "a frozen daemon said {frozen:?}");
    kill_process(served.pid(), Signal::CONT).unwrap();
    assert!(fed(&served.told(Duration::from_secs(2))) >= 4);

    kill_process(served.pid(), Signal::TERM).unwrap();
    let last = served.wait_for("STOPPING=1");
    assert!(last.iter().any(|told| told == "STOPPING=1\n"), "{last:?}");
    assert!(served.child.wait().unwrap().success());
}

/// A daemon whose state another one holds must not pretend to run.
#[test]
fn a_second_daemon_on_the_same_state_ends_with_a_failure_and_harms_nothing() {
    let home = Home::paired(&[("Front", QUICK)]);
    let output = Command::new(Programs::shared().path("drawbridged"))
        .arg("--config")
        .arg(&home.hub.config)
        .output()
        .unwrap();
    assert!(!output.status.success(), "{output:?}");
    let said = home.done(&["lock", "Front", "--local"]);
    assert_eq!(said["proven"], json!(true));
}
