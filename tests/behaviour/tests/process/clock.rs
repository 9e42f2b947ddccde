//! F10: the hub boots in 1970, and its clock jumps ten years, forward and back.
//!
//! Guards: a Raspberry Pi, which has no clock of its own, that is deaf until somebody sets it; a
//! timer that waits ten years; and a command that is dead coming back to life with the old time.
//!
//! The clock is moved from outside, under the daemon alone, by libfaketime (Debian's `faketime`);
//! the lock, the broker and the command line keep the right time. Monotonic clocks are left alone,
//! as a real jump of the wall clock leaves them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use drawbridge_daemon::clock::BUILD_TIME;
use drawbridge_protocol::command::Action;
use drawbridge_protocol::outcome::Verdict;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::daemon::{Daemon, Launch};
use crate::dice::Dice;
use crate::home::{DOOR, Home, ask};
use crate::sender::{App, Local};
use drawbridge_simulator::lane::seed;

const TEN_YEARS: i64 = 10 * 365 * 86_400;

/// The wall clock of one daemon.
struct Wall {
    file: PathBuf,
    library: PathBuf,
}

impl Wall {
    fn new(folder: &Path) -> Self {
        let wall = Self {
            file: folder.join("clock"),
            library: library(),
        };
        wall.set(0);
        wall
    }

    /// From now on it is off by so many seconds.
    fn set(&self, offset: i64) {
        // Replaced in one step: the daemon looks into it at every reading.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{offset:+}\n")).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }

    fn launch(&self) -> Launch {
        Launch::default()
            .env("LD_PRELOAD", &self.library.display().to_string())
            .env("FAKETIME_TIMESTAMP_FILE", &self.file.display().to_string())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1")
    }
}

/// Where Debian has it, on any architecture.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap();
    folders
        .map(|entry| entry.unwrap().path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.exists())
        .expect("libfaketime is missing: apt-get install faketime")
}

fn unix_now() -> i64 {
    let past = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    past.as_secs() as i64
}

/// A number in a line of the log.
fn field(line: &str, name: &str) -> u64 {
    let (_, rest) = line.split_once(&format!(" {name}=")).unwrap();
    let digits = rest.split(' ').next().unwrap();
    digits.parse().unwrap_or_else(|_| panic!("{line}"))
}

fn clock_check(home: &Home) -> Value {
    let facts = ask(&home.hub.socket, "doctor", &json!({})).unwrap();
    let checks = facts["checks"].as_array().unwrap().clone();
    let clock = checks.iter().find(|check| check["check"] == json!("clock"));
    clock.unwrap().clone()
}

fn shown_since(home: &Home) -> Value {
    let lock = home.lock.id.clone();
    let shown = ask(&home.hub.socket, "lock.show", &json!({"lock": lock})).unwrap();
    shown["state"]["at"].clone()
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn f10_boot_in_1970_leaves_local_control_alive_and_heals_without_a_restart() {
    let home = Home::paired("60");
    let wall = Wall::new(home.folder.path());
    wall.set(12 - unix_now());
    let mut daemon = home.start(&wall.launch());
    daemon.wait_until_ready();
    let behind = daemon.wait_for(&["event=clock_floor"], LONG);
    let first_floor = field(&behind, "floor_s");
    assert!(field(&behind, "wall_s") < 86_400, "{behind}");
    assert!(first_floor >= BUILD_TIME, "{behind}");

    // No broker can be proven to be the right one; whoever looks is told what to do.
    let down = daemon.wait_for(&["event=broker_down", "reason="], LONG);
    assert!(down.contains("clock"), "{down}");
    assert!(down.contains("valid"), "{down}");
    assert_eq!(clock_check(&home)["verdict"], json!("warn"));
    home.turn_locally("in 1970");
    assert_eq!(shown_since(&home), Value::Null, "a time that is wrong");

    // It is persisted after a while, and the next boot begins where this one was.
    let deadline = Instant::now() + LONG;
    let second_floor = loop {
        std::thread::sleep(Duration::from_secs(2));
        daemon.kill();
        daemon = home.start(&wall.launch());
        daemon.wait_until_ready();
        let floor = field(&daemon.wait_for(&["event=clock_floor"], LONG), "floor_s");
        assert!(floor >= first_floor, "the floor went back");
        if floor > first_floor {
            break floor;
        }
        assert!(Instant::now() < deadline, "the floor is never persisted");
        // A daemon looks after what is to be persisted every 15 s.
        std::thread::sleep(Duration::from_secs(16));
    };
    println!("EVIDENCE floor {first_floor}, after a boot {second_floor}, built {BUILD_TIME}");

    wall.set(0);
    daemon.wait_for(&["event=broker_up"], LONG);
    home.turn_by_broker("with the clock set");
    assert_eq!(clock_check(&home)["verdict"], json!("ok"));
    assert!(shown_since(&home).is_string());
}

/// The broker's connection, the session and every deadline go by the monotonic clock.
#[test]
fn f10_clock_jumps_ten_years_and_nothing_is_dropped_nor_done_twice() {
    let home = Home::paired("60");
    let wall = Wall::new(home.folder.path());
    let mut daemon = home.start(&wall.launch());
    daemon.wait_for(&["event=broker_up"], LONG);
    home.turn_by_broker("before");
    let mut dice = Dice::new(seed());
    let (mut app, local) = (App::connect(&home), Local::at(&home.hub.socket));
    let info = home.owner.info(&home.hub.socket, &mut dice);
    let before = home.owner.sign(&info, Action::Lock, 60_000);
    assert_eq!(local.send(&before, "before")["status"], json!("done"));
    let said = daemon.said().len();
    for (round, offset) in [TEN_YEARS, -TEN_YEARS, 0, -2 * TEN_YEARS, TEN_YEARS, 0]
        .into_iter()
        .enumerate()
    {
        let what = format!("round {round}, off by {offset} s");
        wall.set(offset);
        home.turn_locally(&what);
        home.turn_by_broker(&what);
        let starts = home.starts();
        let again = local.send(&before, &what);
        assert_eq!(again["status"], json!("done"), "{what}: {again}");
        assert_eq!(home.owner.proven(&again).verdict, Verdict::Done, "{what}");
        app.publish(&before);
        app.listen(Duration::from_millis(300));
        assert_eq!(home.starts(), starts, "{what}: a repeat moved the bolt");
    }
    assert!(daemon.ended().is_none());
    let since = daemon.said().split_off(said);
    for lost in ["broker_down", "lock_offline", "store_", "watchdog"] {
        assert!(!since.contains(lost), "{lost}: {since}");
    }

    // Thirty years ahead at boot: every certificate is over, the door is not.
    daemon.kill();
    wall.set(3 * TEN_YEARS);
    let mut daemon = home.start(&wall.launch());
    let down = daemon.wait_for(&["event=broker_down", "reason="], LONG);
    assert!(down.contains("expired"), "{down}");
    home.turn_locally("booted thirty years ahead");
    let starts = home.starts();
    let again = local.send(&before, "booted thirty years ahead");
    assert_eq!(home.owner.proven(&again).verdict, Verdict::Done, "{again}");
    assert_eq!(home.starts(), starts);
    wall.set(0);
    daemon.wait_for(&["event=broker_up"], 2 * LONG);
    home.turn_by_broker("back from thirty years ahead");
}

/// A command lives in the lock's own time. It waits in a hub that stands still until it is dead;
/// then the clock goes back to where it would be alive.
#[test]
fn f10_dead_command_stays_dead_when_the_clock_goes_back() {
    let home = Home::paired("60");
    let wall = Wall::new(home.folder.path());
    let mut dice = Dice::new(seed());
    let mut daemon = home.start(&wall.launch());
    daemon.wait_for(&["event=broker_up"], LONG);
    let mut app = App::connect(&home);
    let sides: [(&str, i64); 3] = [
        ("an hour back", -3_600),
        ("ten years back", -TEN_YEARS),
        ("in 1970", 12 - unix_now()),
    ];
    for (what, offset) in sides {
        for is_killed in [false, true] {
            let starts = home.starts();
            let info = home.owner.info(&home.hub.socket, &mut dice);
            let short = home.owner.sign(&info, Action::Lock, 1_200);
            if is_killed {
                daemon.kill();
                app.publish(&short);
            } else {
                daemon.signal(Signal::STOP);
                app.publish(&short);
            }
            std::thread::sleep(Duration::from_millis(2_000));
            wall.set(offset);
            let from = daemon.said().len();
            if is_killed {
                daemon = home.start(&wall.launch());
                daemon.wait_until_ready();
            } else {
                daemon.signal(Signal::CONT);
            }
            let end = if is_killed {
                // Without the right time there is no broker; the same bytes come by hand.
                Local::at(&home.hub.socket).send(&short, what)
            } else {
                app.wait_final(short.id, what)
            };
            assert_eq!(end["status"], json!("expired"), "{what}: {end}");
            assert_eq!(home.owner.proven(&end).verdict, Verdict::Expired, "{what}");
            assert_eq!(
                home.starts(),
                starts,
                "{what}: a dead command moved the bolt"
            );
            home.turn_locally(what);
            wall.set(0);
            if is_killed {
                daemon.wait_for(&["event=broker_up"], LONG);
            } else {
                assert!(!daemon.said()[from..].contains("broker_down"), "{what}");
            }
            home.turn_by_broker(what);
        }
    }
}

/// The hub's one grant has no end, and until a lock is told the time a grant with an end is none:
/// no clock of the hub's makes one valid.
#[test]
fn f10_the_hubs_grant_is_worth_the_same_in_every_year() {
    let home = Home::paired("60");
    let wall = Wall::new(home.folder.path());
    let mut daemon: Option<Daemon> = None;
    let mut rights = Vec::new();
    for offset in [0, 12 - unix_now(), TEN_YEARS, -TEN_YEARS] {
        drop(daemon.take());
        wall.set(offset);
        let started = home.ready(&wall.launch());
        // A report is for whoever may view, and the hub may by its grant only.
        home.turn_locally("under the grant");
        let shown = ask(&home.hub.socket, "lock.show", &json!({"lock": DOOR})).unwrap();
        assert!(shown["state"]["report"].is_string(), "{shown}");
        rights.push(shown["rights"].clone());
        daemon = Some(started);
    }
    assert!(
        rights[0]
            .as_array()
            .is_some_and(|rights| !rights.is_empty())
    );
    assert!(rights.iter().all(|other| *other == rights[0]), "{rights:?}");
}
