//! F20, I2, I3: too few descriptors, too little memory, no processor time.
//!
//! Guards: a daemon that spins or aborts when `accept` fails, that never comes back when there are
//! descriptors again, and one whose end by the out-of-memory killer costs more than two seconds.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use drawbridge_protocol::command::Action;
use drawbridge_protocol::outcome::Verdict;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use serde_json::json;

use crate::daemon::{Daemon, Launch};
use crate::dice::Dice;
use crate::home::{Home, ask};
use crate::sender::{App, Local};
use drawbridge_simulator::lane::{print_count, rounds, seed};

const LONG: Duration = Duration::from_secs(60);
/// What a restart may take (F20).
const RESTART: Duration = Duration::from_secs(2);

fn open_descriptors(daemon: &Daemon) -> u64 {
    let path = format!("/proc/{}/fd", daemon.id());
    std::fs::read_dir(path).unwrap().count() as u64
}

/// From now on it may have so many descriptors, as `prlimit` or a service manager would say it.
fn allow_descriptors(daemon: &Daemon, most: u64) {
    // The hard limit is the one that it was born with.
    let limit = Rlimit {
        current: Some(most),
        ..getrlimit(Resource::Nofile)
    };
    prlimit(Some(daemon.pid()), Resource::Nofile, limit).unwrap();
}

/// A client that was connected before the shortage, and asks line by line.
struct Connected(std::io::BufReader<std::os::unix::net::UnixStream>);

impl Connected {
    fn new(home: &Home) -> Self {
        let stream = std::os::unix::net::UnixStream::connect(&home.hub.socket).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut client = Self(std::io::BufReader::new(stream));
        client.ask("status", &json!({}));
        client
    }

    fn ask(&mut self, verb: &str, data: &serde_json::Value) -> serde_json::Value {
        use std::io::{BufRead, Write};
        let line = json!({"id": 1, "verb": verb, "data": data});
        writeln!(self.0.get_mut(), "{line}").unwrap();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let answer: serde_json::Value = serde_json::from_str(&line).unwrap();
            match answer["status"].as_str() {
                Some("event") => {}
                Some("ok") => return answer["data"].clone(),
                _ => panic!("{verb}: {line}"),
            }
        }
    }
}

#[test]
fn f20_without_descriptors_the_door_works_nothing_spins_and_all_comes_back() {
    let mut home = Home::paired("60");
    let mut dice = Dice::new(seed());
    let mut daemon = home.start(&Launch::default());
    daemon.wait_for(&["event=broker_up"], LONG);
    home.turn_locally("before");
    let mut client = Connected::new(&home);
    let mut app = App::connect(&home);
    let turn = |client: &mut Connected, home: &Home, dice: &mut Dice, what: &str| {
        let starts = home.starts();
        let nonce: [u8; 16] = dice.bytes();
        let nonce = drawbridge_protocol::ids::Nonce(nonce);
        let data = json!({"lock": home.lock.id, "nonce": nonce.to_string()});
        let answer = client.ask("lock.session_info", &data);
        let info = home.owner.fresh(nonce, &answer);
        let command = home.owner.sign(&info, Action::Lock, 60_000);
        let data = json!({
            "lock": home.lock.id, "command": crate::owner::in_base64(&command.bytes), "wait": true,
        });
        let result = client.ask("lock.command", &data);
        assert_eq!(
            home.owner.proven(&result).verdict,
            Verdict::Done,
            "{what}: {result}"
        );
        assert_eq!(home.starts(), starts + 1, "{what}");
    };

    allow_descriptors(&daemon, open_descriptors(&daemon));
    // Locally on what is open, and by the broker on what is open.
    turn(&mut client, &home, &mut dice, "at the limit");
    let info = {
        let nonce = drawbridge_protocol::ids::Nonce(dice.bytes());
        let data = json!({"lock": home.lock.id, "nonce": nonce.to_string()});
        home.owner
            .fresh(nonce, &client.ask("lock.session_info", &data))
    };
    let command = home.owner.sign(&info, Action::Unlock, 60_000);
    app.publish(&command);
    let result = app.wait_final(command.id, "by the broker at the limit");
    assert_eq!(home.owner.proven(&result).verdict, Verdict::Done);
    // Nobody new is let in; those who knock do not make it spin, nor write a line each.
    let knocking: Vec<_> = (0..20)
        .filter_map(|_| std::os::unix::net::UnixStream::connect(&home.hub.socket).ok())
        .collect();
    let (ticks, lines) = (daemon.cpu_ticks(), daemon.said().lines().count());
    std::thread::sleep(Duration::from_secs(3));
    let spent = daemon.cpu_ticks() - ticks;
    let written = daemon.said().lines().count() - lines;
    println!("EVIDENCE {spent} ticks of 10 ms and {written} lines in 3 s without descriptors");
    assert!(spent <= 60, "it spins: {spent} ticks of 10 ms in 3 s");
    assert!(written <= 10, "{written} lines in 3 s");
    turn(&mut client, &home, &mut dice, "with others knocking");
    // What is lost now cannot be had again until there are descriptors.
    home.lock.ask(&json!({"do": "reboot"})).unwrap();
    home.broker.stop().unwrap();
    daemon.wait_for(&["event=broker_down"], LONG);
    home.broker.start_again().unwrap();
    let (ticks, lines) = (daemon.cpu_ticks(), daemon.said().lines().count());
    std::thread::sleep(Duration::from_secs(4));
    let spent = daemon.cpu_ticks() - ticks;
    let written = daemon.said().lines().count() - lines;
    println!("EVIDENCE {spent} ticks and {written} lines in 4 s without lock and broker");
    assert!(spent <= 80, "it spins: {spent} ticks of 10 ms in 4 s");
    assert!(written <= 60, "{written} lines in 4 s");
    assert!(daemon.ended().is_none(), "{}", daemon.said());
    client.ask("status", &json!({}));

    drop(knocking);
    let from = daemon.said().len();
    allow_descriptors(&daemon, 1_024);
    home.turn_locally("with descriptors again");
    let deadline = Instant::now() + 2 * LONG;
    while !daemon.said()[from..].contains("event=broker_up") {
        assert!(Instant::now() < deadline, "{}", daemon.said());
        std::thread::sleep(Duration::from_millis(50));
    }
    home.turn_by_broker("with descriptors again");
}

/// Started with less than it needs it says so and ends; it never hangs half alive.
#[test]
fn f20_too_few_descriptors_at_start_is_an_error_or_a_daemon_that_works() {
    let home = Home::paired("60");
    let (mut worked, mut ended) = (0, 0);
    for most in [4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64, 72, 80, 96, 128] {
        let words = [&format!("--nofile={most}:{most}"), "--"].map(str::to_owned);
        let launch = Launch::through(&["prlimit", &words[0], &words[1]]);
        let mut daemon = home.start(&launch);
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(status) = daemon.ended() {
                assert!(!status.success(), "{most}: {}", daemon.said());
                // An abort would have no exit code.
                assert!(
                    status.code().is_some(),
                    "{most}: {status}: {}",
                    daemon.said()
                );
                assert!(
                    !daemon.said().trim().is_empty(),
                    "{most}: it ended without a word"
                );
                assert!(
                    !daemon.said().contains("panicked"),
                    "{most}: {}",
                    daemon.said()
                );
                assert!(
                    !daemon.said().contains("store_"),
                    "{most}: {}",
                    daemon.said()
                );
                ended += 1;
                break;
            }
            if daemon.said().contains("event=ready")
                && ask(&home.hub.socket, "status", &json!({})).is_ok()
            {
                worked += 1;
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{most}: half alive: {}",
                daemon.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    println!("EVIDENCE {worked} limits worked, {ended} were refused");
    assert!(worked > 0 && ended > 0);
    let daemon = home.ready(&Launch::default());
    assert!(
        daemon.said().contains("event=store_opened"),
        "{}",
        daemon.said()
    );
    home.turn_locally("with descriptors");
}

/// The out-of-memory killer sends SIGKILL; an allocation that fails aborts. Either way somebody
/// starts the daemon again, here and now.
#[test]
fn f20_killed_for_memory_under_a_command_it_is_back_within_two_seconds() {
    let (kills, seed) = (rounds(6, 200), seed());
    let home = Home::paired("60");
    let mut dice = Dice::new(seed);
    let local = Local::at(&home.hub.socket);
    let mut daemon = home.ready(&Launch::default());
    let mut slowest = Duration::ZERO;
    let mut aborts = 0;
    for round in 0..kills {
        let what = format!("seed {seed}, round {round}");
        let info = home.owner.info(&home.hub.socket, &mut dice);
        let action = [Action::Lock, Action::Unlock][(round % 2) as usize];
        let command = home.owner.sign(&info, action, 60_000);
        let starts = home.starts();
        let sender = {
            let (local, command, what) = (local.clone(), command.clone(), what.clone());
            std::thread::spawn(move || local.send(&command, &what))
        };
        std::thread::sleep(Duration::from_millis(dice.below(150)));
        let died = Instant::now();
        if round % 2 == 0 {
            daemon.kill();
        } else {
            // No byte more than it has now: the next larger allocation is its end.
            let size = daemon.status_number("VmSize:") * 1_024;
            let limit = Rlimit {
                current: Some(size),
                maximum: None,
            };
            prlimit(Some(daemon.pid()), Resource::As, limit).unwrap();
            let by = Instant::now() + Duration::from_millis(400);
            let mut flood = 0_u32;
            while daemon.ended().is_none() && Instant::now() < by {
                flood += 1;
                let wide = json!({"lock": "x".repeat(50_000)});
                // Refused, cut off, or the end of the daemon: all is well here.
                let _ = ask(&home.hub.socket, "lock.show", &wide);
            }
            aborts += u32::from(daemon.ended().is_some());
            assert!(flood > 0);
            daemon.kill();
        }
        let killed = if round % 2 == 0 { died } else { Instant::now() };
        daemon = home.start(&Launch::default());
        daemon.wait_until_ready();
        let took = killed.elapsed();
        slowest = slowest.max(took);
        assert!(took <= RESTART, "{what}: READY after {took:?}");
        let result = sender.join().unwrap();
        assert_eq!(
            home.owner.proven(&result).verdict,
            Verdict::Done,
            "{what}: {result}"
        );
        assert_eq!(home.starts(), starts + 1, "{what}");
    }
    println!(
        "EVIDENCE {kills} ends for memory, {aborts} by an allocation; READY after {slowest:?} at most"
    );
    print_count("memory_kills", kills, 200, seed);
}

/// Busy loops, ended with the test.
struct Hogs(Vec<Child>);

impl Hogs {
    fn new(count: usize) -> Self {
        let hog = || {
            Command::new("sh")
                .args(["-c", "while :; do :; done"])
                .stdin(Stdio::null())
                .spawn()
                .unwrap()
        };
        Self((0..count).map(|_| hog()).collect())
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            // One that is gone already is what was wanted.
            let _ = hog.kill();
            let _ = hog.wait();
        }
    }
}

#[test]
fn f20_starved_of_the_processor_every_command_ends_once() {
    let (stops, seed) = (rounds(6, 200), seed());
    let home = Home::paired("60");
    let mut dice = Dice::new(seed);
    let local = Local::at(&home.hub.socket);
    let mut daemon = home.ready(&Launch::through(&["nice", "-n", "19"]));
    let turn = |dice: &mut Dice, daemon: &mut Daemon, is_stopped: bool, what: &str| {
        let info = home.owner.info(&home.hub.socket, dice);
        let command = home.owner.sign(&info, Action::Lock, 60_000);
        let starts = home.starts();
        let sender = {
            let (local, command, what) = (local.clone(), command.clone(), what.to_owned());
            std::thread::spawn(move || local.send(&command, &what))
        };
        if is_stopped {
            std::thread::sleep(Duration::from_millis(dice.below(120)));
            daemon.signal(Signal::STOP);
            std::thread::sleep(Duration::from_millis(200 + dice.below(1_800)));
            daemon.signal(Signal::CONT);
        }
        let result = sender.join().unwrap();
        assert_eq!(
            home.owner.proven(&result).verdict,
            Verdict::Done,
            "{what}: {result}"
        );
        assert_eq!(home.starts(), starts + 1, "{what}");
        assert!(daemon.ended().is_none(), "{what}: {}", daemon.said());
    };
    for stop in 0..stops {
        turn(
            &mut dice,
            &mut daemon,
            true,
            &format!("seed {seed}, stop {stop}"),
        );
    }
    let hogs = Hogs::new(4);
    for round in 0..3 {
        turn(
            &mut dice,
            &mut daemon,
            false,
            &format!("seed {seed}, starved {round}"),
        );
    }
    drop(hogs);
    print_count("processor_stops", stops, 200, seed);
}
