//! F07, I2, I3: the hub is killed with SIGKILL at random moments under a stream of commands.
//!
//! Guards: a command that runs twice because the hub forgot that it sent it, and one whose sender
//! never hears how it ended.

use std::time::Duration;

use drawbridge_protocol::outcome::Verdict;
use serde_json::json;

use crate::home::{Home, finals, id_of, proven, wait_final};

/// How many kills, in which lane, from which seed.
fn count() -> (u64, &'static str, u64) {
    let seed = std::env::var("DRAWBRIDGE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let full = std::env::var("DRAWBRIDGE_LANE").is_ok_and(|lane| lane == "full");
    let (kills, lane) = if full { (100, "full") } else { (10, "quick") };
    (kills, lane, seed.unwrap_or(1))
}

/// xorshift64*: good enough to choose moments, and repeatable.
struct Moments(u64);

impl Moments {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}

#[test]
fn i2_i3_hub_killed_at_random_moments() {
    let (kills, lane, seed) = count();
    println!("COUNT hub_kills {lane} {kills} of 100 seed {seed}");
    let mut home = Home::paired(&[("Front", "300")]);
    let listener = home.listen();
    let mut moments = Moments(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut done = home.lock("Front").motor_starts().unwrap();
    for kill in 0..kills {
        let action = if kill % 2 == 0 { "lock" } else { "unlock" };
        let moment = Duration::from_millis(moments.below(900));
        let what = format!("seed {seed}, kill {kill}, {action} after {moment:?}");
        if moments.below(2) == 0 {
            over_mqtt(&mut home, &listener, action, moment, &what);
        } else {
            by_the_command_line(&mut home, action, moment, &what);
        }
        done += 1;
        let starts = home.lock("Front").motor_starts().unwrap();
        assert_eq!(starts, done, "{what}: motor starts");
    }
    let words = ["lock", "log", "Front", "--all", "--local"];
    let said = home.owner.run(&words).unwrap().done("lock log").unwrap();
    let log = said.json()["log"].clone();
    let log = log.as_array().unwrap();
    let of = |event: &str| {
        log.iter()
            .filter(|line| line["event"] == json!(event))
            .count() as u64
    };
    assert_eq!(
        (of("intent"), of("outcome")),
        (kills, kills),
        "{}",
        said.out
    );
}

fn over_mqtt(
    home: &mut Home,
    listener: &drawbridge_support::foreign::Listener,
    action: &str,
    moment: Duration,
    what: &str,
) {
    let command = home.signed("Front", action);
    let (id, lock) = (id_of(&command), home.lock("Front").id.clone());
    home.publish(&lock, &command, &[]);
    std::thread::sleep(moment);
    home.hub.kill();
    let from = home.hub.start_again().unwrap();
    home.wait_for_broker(from);
    wait_final(listener, &id, 1);
    // A final may come twice (QoS 1), but never with another word.
    for result in finals(listener, &id) {
        assert_eq!(result["status"], json!("done"), "{what}: {result}");
        assert_eq!(proven(home.lock("Front"), &result).verdict, Verdict::Done);
    }
}

fn by_the_command_line(home: &mut Home, action: &str, moment: Duration, what: &str) {
    let (owner, word) = (home.owner.clone(), action.to_owned());
    let sender = std::thread::spawn(move || owner.run(&[&word, "Front", "--local"]).unwrap());
    std::thread::sleep(moment);
    home.hub.kill();
    home.hub.start_again().unwrap();
    let said = sender.join().unwrap();
    if said.code == 4 || said.json()["sent"] == json!(false) || said.code == 1 {
        // Killed before anything was sent: the sender was told so, and nothing has moved.
        let again = home.done(&[action, "Front", "--local"]);
        assert_eq!(
            again["proven"],
            json!(true),
            "{what}: {again} after {said:?}"
        );
        return;
    }
    assert_eq!(said.code, 0, "{what}: {said:?}");
    assert_eq!(said.json()["proven"], json!(true), "{what}: {said:?}");
}
