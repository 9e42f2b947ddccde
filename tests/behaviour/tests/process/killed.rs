//! I2, I3, I4: the hub is killed with SIGKILL a thousand times under a stream of commands.
//!
//! Guards: a command that runs twice because the hub forgot that it sent it, one whose sender never
//! hears how it ended, and a store that one of a thousand kills keeps from opening.
//!
//! Kills come at seeded moments of three kinds: while the daemon starts, at any time, and right
//! after a command was handed over. Whoever started it starts it again at once. Several homes run
//! side by side, because a lock shakes hands with its hub only about once a second.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use drawbridge_protocol::command::Action;
use drawbridge_protocol::outcome::{Outcome, Verdict};
use serde_json::Value;

use crate::auditor::Auditor;
use crate::daemon::Launch;
use crate::dice::Dice;
use crate::home::Home;
use crate::sender::{App, Local};
use drawbridge_simulator::lane::{print_count, rounds, seed};

/// Homes that run side by side.
const HOMES: u64 = 4;
/// The lock's log is read, and freed, after so many commands.
const READ_EVERY: u64 = 40;
/// Kills of all homes.
const FULL: u64 = 1_000;

/// What the stream of commands tells whoever kills.
#[derive(Debug, Default)]
struct Stream {
    is_over: AtomicBool,
    is_open: AtomicBool,
    has_ended: AtomicBool,
    sent: AtomicU64,
}

/// When the kills of one home came.
#[derive(Debug, Default, Clone, Copy)]
struct Kills {
    all: u64,
    before_ready: u64,
    under_a_command: u64,
}

/// What came of it in one home.
#[derive(Debug, Default, Clone, Copy)]
struct Ends {
    commands: u64,
    done: u64,
    by_broker: u64,
}

#[test]
fn i2_i3_i4_hub_killed_a_thousand_times_under_a_stream_of_commands() {
    let (kills, seed) = (rounds(20, FULL), seed());
    let all: Vec<(Kills, Ends)> = std::thread::scope(|scope| {
        let homes: Vec<_> = (0..HOMES)
            .map(|home| {
                let share = kills / HOMES + u64::from(home < kills % HOMES);
                scope.spawn(move || one_home(share, seed.wrapping_add(home)))
            })
            .collect();
        homes.into_iter().map(|home| home.join().unwrap()).collect()
    });
    let sum = |of: fn(&(Kills, Ends)) -> u64| all.iter().map(of).sum::<u64>();
    let (ran, commands) = (sum(|it| it.0.all), sum(|it| it.1.commands));
    println!(
        "EVIDENCE {ran} kills, {} before READY, {} under a command; {commands} commands, {} by the broker, {} done",
        sum(|it| it.0.before_ready),
        sum(|it| it.0.under_a_command),
        sum(|it| it.1.by_broker),
        sum(|it| it.1.done),
    );
    print_count("sigkills", ran, FULL, seed);
    assert_eq!(ran, kills);
    assert!(sum(|it| it.0.before_ready) > 0 && sum(|it| it.0.under_a_command) > 0);
}

fn one_home(kills: u64, seed: u64) -> (Kills, Ends) {
    let home = Home::paired("60");
    let stream = Stream::default();
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| kill(&home, &stream, kills, Dice::new(seed)));
        let ends = send(&home, &stream, Dice::new(!seed), seed);
        (killer.join().unwrap(), ends)
    })
}

/// Supervises the daemon until so many kills are over and the stream has ended.
fn kill(home: &Home, stream: &Stream, kills: u64, mut dice: Dice) -> Kills {
    let over = Set(&stream.is_over);
    let mut count = Kills::default();
    let mut daemon = home.start(&Launch::default());
    for round in 0..kills {
        match dice.below(4) {
            // At least one comes before READY, however fast the machine is.
            _ if round == 1 => {}
            0 => pause(dice.below(60)),
            1 => pause(dice.below(2_500)),
            _ => {
                let sent = stream.sent.load(Ordering::SeqCst);
                for _ in 0..300 {
                    if stream.sent.load(Ordering::SeqCst) != sent {
                        break;
                    }
                    pause(10);
                }
                pause(dice.below(250));
            }
        }
        assert!(
            daemon.ended().is_none(),
            "it ended by itself: {}",
            daemon.said()
        );
        count.under_a_command += u64::from(stream.is_open.load(Ordering::SeqCst));
        daemon.kill();
        count.all += 1;
        let said = daemon.said();
        count.before_ready += u64::from(!said.contains("event=ready"));
        for bad in [
            "store_reset",
            "store_lost",
            "unreadable",
            "panicked",
            "event=failed",
        ] {
            assert!(!said.contains(bad), "kill {}: {bad}: {said}", count.all);
        }
        daemon = home.start(&Launch::default());
    }
    drop(over);
    while !stream.has_ended.load(Ordering::SeqCst) {
        assert!(daemon.ended().is_none(), "{}", daemon.said());
        pause(20);
    }
    count
}

/// Sets a flag at its end, also when its thread fails: nobody waits for ever.
struct Set<'a>(&'a AtomicBool);

impl Drop for Set<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One command after the other, each to its end, by the broker or locally.
fn send(home: &Home, stream: &Stream, mut dice: Dice, seed: u64) -> Ends {
    let _ended = Set(&stream.has_ended);
    let socket = &home.hub.socket;
    let (mut app, local) = (App::connect(home), Local::at(socket));
    let (mut auditor, mut ends) = (Auditor::default(), Ends::default());
    let mut outcomes: Vec<(Value, Outcome)> = Vec::new();
    let starts = home.starts();
    loop {
        let is_last = stream.is_over.load(Ordering::SeqCst);
        stream.is_open.store(true, Ordering::SeqCst);
        let action = [Action::Lock, Action::Unlock][(ends.commands % 2) as usize];
        let command = {
            let info = home.owner.info(socket, &mut dice);
            home.owner.sign(&info, action, 60_000)
        };
        ends.commands += 1;
        let what = format!("seed {seed}, command {} ({})", ends.commands, command.id);
        let result = if dice.below(2) == 0 {
            ends.by_broker += 1;
            app.publish(&command);
            stream.sent.fetch_add(1, Ordering::SeqCst);
            app.wait_final(command.id, &what)
        } else {
            stream.sent.fetch_add(1, Ordering::SeqCst);
            local.send(&command, &what)
        };
        let outcome = home.owner.proven(&result);
        assert_eq!(outcome.command, command.id, "{what}");
        assert_eq!(outcome.verdict, Verdict::Done, "{what}: {result}");
        ends.done += 1;
        assert_eq!(home.starts(), starts + ends.done, "{what}: {result}");
        outcomes.push((result, outcome));
        if is_last || ends.commands % READ_EVERY == 0 {
            auditor.catch_up(&home.owner, socket, &mut dice);
        }
        if is_last {
            break;
        }
        stream.is_open.store(false, Ordering::SeqCst);
        app.listen(Duration::from_millis(dice.below(300)));
    }
    // Whatever the broker still has; a final may come twice (QoS 1), but never with another word.
    app.listen(Duration::from_millis(1_500));
    for (first, outcome) in &outcomes {
        let (begun, ended) = auditor.turns[&outcome.command];
        assert_eq!((begun, ended), (1, 1), "seed {seed}: {first}");
        for again in app.finals.get(&outcome.command).into_iter().flatten() {
            assert_eq!(again["status"], first["status"], "seed {seed}");
            let said = home.owner.proven(again);
            assert_eq!(
                (said.verdict, said.position),
                (outcome.verdict, outcome.position)
            );
        }
    }
    assert_eq!(
        auditor.turns.len(),
        outcomes.len(),
        "turns that nobody asked for"
    );
    ends
}

fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}
