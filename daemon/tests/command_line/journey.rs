//! An owner's day, through the real binary: keys, claim, turn, look, read, sign.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use drawbridge_protocol::command::Command;
use drawbridge_protocol::log_record::LogRecord;
use drawbridge_protocol::reason::Reason;
use serde_json::json;

use super::hub::{Says, play};
use super::lock::Lock;
use super::run::{Home, Ran, closed, word};

struct Day {
    home: Home,
    lock: Arc<Mutex<Lock>>,
}

impl Day {
    /// Keys made, lock claimed.
    fn begin() -> Self {
        let home = Home::new();
        let lock = Arc::new(Mutex::new(Lock::new(5)));
        let mind = Arc::clone(&lock);
        play(&home.path("s"), move |verb, data| {
            mind.lock().unwrap().answer(verb, data)
        });
        assert_eq!(home.run("owner init").exit, 0);
        let day = Self { home, lock };
        let code = day.lock.lock().unwrap().code();
        let ran = day.home.run_with(
            &day.line("owner claim --name Front --code-file - --json"),
            &code,
        );
        assert_eq!(ran.exit, 0, "{ran:?}");
        let value = ran.json();
        assert_eq!(
            (&value["owned"], &value["name"]),
            (&json!(true), &json!("Front"))
        );
        assert_eq!(value["hub"]["rights"], json!(["view", "lock"]));
        day
    }

    fn line(&self, line: &str) -> String {
        format!("{line} --local --socket {}", word(&self.home.path("s")))
    }

    fn run(&self, line: &str) -> Ran {
        self.home.run(&self.line(line))
    }

    fn turns(&self) -> u32 {
        self.lock.lock().unwrap().turns
    }
}

#[test]
fn init_keeps_the_file_closed_and_show_shows_no_secret() {
    let home = Home::new();
    let ran = home.run("owner init --json");
    assert_eq!(ran.exit, 0, "{ran:?}");
    let mode = fs::metadata(home.owner_key()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(
        home.run("owner init").exit,
        1,
        "never over a file that is there"
    );
    let file: serde_json::Value =
        serde_json::from_slice(&fs::read(home.owner_key()).unwrap()).unwrap();
    let shown = [ran, home.run("owner show"), home.run("owner show --json")]
        .map(|ran| ran.shown())
        .concat();
    for secret in ["identity_secret", "link_secret", "audit_secret"] {
        let secret = file[secret].as_str().unwrap();
        assert_eq!(secret.len(), 64);
        assert!(!shown.contains(secret), "{secret}");
    }
    assert_eq!(home.run("owner init --force").exit, 0);
    let kept = fs::read(home.path(".config/drawbridge/owner.json.1.old")).unwrap();
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&kept).unwrap(),
        file
    );
}

#[test]
fn pair_says_plainly_that_the_hub_is_trusted_for_that_moment() {
    let home = Home::new();
    let mut lock = Lock::new(6);
    let code = lock.code();
    play(&home.path("s"), move |verb, data| lock.answer(verb, data));
    home.run("owner init");
    let ran = home.run_with(
        &format!(
            "pair --name Back --code-file - --socket {}",
            word(&home.path("s"))
        ),
        &code,
    );
    assert_eq!(ran.exit, 0, "{ran:?}");
    assert!(ran.err.contains("it is trusted for this moment"), "{ran:?}");
    assert!(
        ran.out
            .starts_with("'Back' (0606060606060606) is yours: the lock signed it."),
        "{ran:?}"
    );
}

#[test]
fn a_turn_is_done_when_the_lock_signed_it_and_stale_numbers_cost_a_retry() {
    let day = Day::begin();
    let ran = day.run("lock Front --json");
    assert_eq!(ran.exit, 0, "{ran:?}");
    let value = ran.json();
    for (key, expected) in [
        ("status", json!("done")),
        ("proven", json!(true)),
        ("position", json!("LOCKED")),
        ("action", json!("lock")),
        ("lock", json!("0505050505050505")),
        ("signed", json!(1)),
    ] {
        assert_eq!(value[key], expected, "{key}: {value}");
    }
    assert!(value["report"].is_string() && value["command"].as_str().unwrap().len() == 32);
    let ran = day.run("unlock front");
    assert_eq!(
        (ran.exit, ran.out.as_str()),
        (0, "Front: UNLOCKED, signed by the lock\n")
    );

    day.lock.lock().unwrap().next_refusal = Some(Reason::WrongEpoch);
    let ran = day.run("lock 0505050505050505 --json");
    assert_eq!((ran.exit, &ran.json()["signed"]), (0, &json!(2)), "{ran:?}");
    assert_eq!(day.turns(), 3);

    day.lock.lock().unwrap().next_refusal = Some(Reason::BatteryLow);
    let ran = day.run("unlock Front");
    assert_eq!(ran.exit, 1, "{ran:?}");
    assert!(
        ran.out.contains("refused (battery_low)") && ran.out.contains("next: change the batteries"),
        "{ran:?}"
    );
    assert_eq!(day.turns(), 3, "refused: not moved, not tried again");
    assert_eq!(
        day.run("unlock --lock list").exit,
        1,
        "no such door, and no list"
    );
}

#[test]
fn state_is_current_only_when_the_lock_confirms_its_log_head() {
    let day = Day::begin();
    day.run("lock Front");
    let ran = day.run("state Front --json");
    assert_eq!(ran.exit, 0, "{ran:?}");
    let value = ran.json();
    assert_eq!(
        (&value["position"], &value["current"], &value["battery"]),
        (&json!("LOCKED"), &json!(true), &json!(81))
    );
}

// Guards (S25): a hub that shows an old report, signed as it is, after the bolt has moved.
#[test]
fn s25_an_old_signed_report_is_not_called_current() {
    let day = Day::begin();
    day.run("lock Front");
    let mut old = None;
    let mind = Arc::clone(&day.lock);
    play(&day.home.path("liar"), move |verb, data| {
        let answer = mind.lock().unwrap().answer(verb, data);
        match (verb, answer) {
            ("lock.show", Says::Done(fresh)) => Says::Done(old.get_or_insert(fresh).clone()),
            (_, answer) => answer,
        }
    });
    let liar = format!("--local --socket {}", word(&day.home.path("liar")));
    assert_eq!(day.home.run(&format!("state Front {liar}")).exit, 0);
    day.run("unlock Front");
    let ran = day.home.run(&format!("state Front --json {liar}"));
    assert_eq!(ran.exit, 3, "{ran:?}");
    assert_eq!(ran.json()["current"], json!(false));
}

#[test]
fn the_log_is_followed_to_the_signed_head_and_freed_only_when_whole() {
    let day = Day::begin();
    day.run("lock Front");
    let ran = day.run("lock log Front --json");
    assert_eq!(ran.exit, 0, "{ran:?}");
    let value = ran.json();
    assert_eq!(
        (&value["whole"], value["log"].as_array().unwrap().len()),
        (&json!(true), 4)
    );
    assert_eq!(value["log"][1]["event"], "claimed");

    let held = day.lock.lock().unwrap().records.clone();
    day.lock.lock().unwrap().records.remove(2);
    let ran = day.run("lock log Front --free");
    assert_eq!(ran.exit, 1, "{ran:?}");
    assert!(
        ran.out.contains("records 3 to 3 are MISSING") && ran.out.contains("NOT whole"),
        "{ran:?}"
    );
    assert_eq!(
        day.lock.lock().unwrap().records.len(),
        3,
        "nothing was signed away"
    );

    day.lock.lock().unwrap().records = held;
    let ran = day.run("lock log Front --free --json");
    let said: Vec<serde_json::Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((ran.exit, said.len()), (0, 2), "{ran:?}");
    assert_eq!(
        (&said[0]["whole"], &said[0]["freed"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&said[1]["freed"], &said[1]["up_to"]),
        (&json!(true), &json!(4))
    );
    assert!(day.lock.lock().unwrap().records.is_empty());
    day.run("unlock Front");
    let value = day.run("lock log Front --json").json();
    assert_eq!((&value["whole"], &value["from"]), (&json!(true), &json!(5)));
    let seen = day
        .lock
        .lock()
        .unwrap()
        .records
        .iter()
        .map(|bytes| LogRecord::decode(bytes).unwrap().seq)
        .max();
    assert_eq!(value["signed_head"]["seq"], json!(seen));
}

// Guards: `drawbridge unlock Front | head -0` that is taken for done whatever the lock said.
#[test]
fn a_reader_that_is_gone_does_not_change_how_a_run_ends() {
    let day = Day::begin();
    let into = |line: &str, out| day.home.run_into(&day.line(line), "", out);
    for json in ["", " --json"] {
        day.lock.lock().unwrap().next_refusal = Some(Reason::BatteryLow);
        let ran = into(&format!("unlock Front{json}"), closed());
        assert_eq!((ran.exit, ran.err.as_str()), (1, ""), "refused: {ran:?}");
        let ran = into(&format!("unlock Front{json}"), closed());
        assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "done: {ran:?}");
    }
    let none = format!("status --json --socket {}", word(&day.home.path("none")));
    let ran = day.home.run_into(&none, "", closed());
    assert_eq!(ran.exit, 4, "a fault: {ran:?}");
    let ran = day.home.run_into("--help", "", closed());
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "help: {ran:?}");
    // Only whoever follows may simply stop.
    let socket = day.home.path("stream");
    play(&socket, |_, _| {
        let update = json!({"event": "x"});
        Says::Streams(vec![update; 3], json!({}))
    });
    let follow = format!("events --local --socket {}", word(&socket));
    let ran = day.home.run_into(&follow, "", closed());
    assert_eq!((ran.exit, ran.err.lines().count()), (0, 1), "{ran:?}");

    // A full disk is no reader that had enough: it is told, and no success.
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let ran = into("lock Front", full().into());
    assert_eq!(ran.exit, 3, "{ran:?}");
    assert!(ran.err.contains("write the answer"), "{ran:?}");
    day.lock.lock().unwrap().next_refusal = Some(Reason::BatteryLow);
    assert_eq!(into("unlock Front", full().into()).exit, 1);
}

// Guards: records freed that nobody has seen, because the pipe or the disk that was to keep them was
// gone; and a lock that freed them while the owner's file still waits for them.
#[test]
fn a_log_is_freed_only_after_it_was_written_and_a_lost_answer_leaves_no_gap() {
    let day = Day::begin();
    day.run("lock Front");
    let held = || day.lock.lock().unwrap().records.len();
    let free = day.line("lock log Front --free");
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    for out in [closed(), full.into()] {
        let ran = day.home.run_into(&free, "", out);
        assert_eq!((ran.exit, held()), (1, 4), "{ran:?}");
        assert!(ran.err.contains("write the answer"), "{ran:?}");
    }

    let ran = day.home.run_into(&day.line("lock log Front"), "", closed());
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "only read: {ran:?}");

    let mind = Arc::clone(&day.lock);
    let socket = day.home.path("deaf");
    play(&socket, move |verb, data| {
        let answer = mind.lock().unwrap().answer(verb, data);
        match verb {
            "lock.audit_ack" => Says::HangsUp,
            _ => answer,
        }
    });
    let deaf = format!("lock log Front --free --local --socket {}", word(&socket));
    let ran = day.home.run(&deaf);
    assert_eq!(
        (ran.exit, held()),
        (3, 0),
        "freed, and nobody knows: {ran:?}"
    );
    assert!(ran.out.contains("whole: every record up to 4"), "{ran:?}");
    assert!(!ran.out.contains("may now free"), "{ran:?}");
    day.run("unlock Front");
    let ran = day.run("lock log Front --free");
    assert_eq!((ran.exit, held()), (0, 0), "{ran:?}");
}

// Guards (S25): a compromised hub that shows the end of the log only, gets it called whole, and has
// the owner sign away what it hides.
#[test]
fn s25_a_hub_cannot_hide_the_start_of_a_log() {
    let day = Day::begin();
    day.run("lock Front");
    day.run("unlock Front");
    let held = day.lock.lock().unwrap().records.clone();
    assert_eq!(held.len(), 6, "boot, claimed, two turns");
    let show = |from: usize| day.lock.lock().unwrap().records = held[from..].to_vec();
    show(5);
    for line in [
        "lock log Front",
        "lock log Front --all",
        "lock log Front --free",
    ] {
        let ran = day.run(line);
        assert_eq!(ran.exit, 1, "{line}: {ran:?}");
        assert!(ran.out.contains("records 3 to 5 are MISSING"), "{ran:?}");
        assert!(ran.out.contains("NOT whole"), "{ran:?}");
    }
    let left = day.lock.lock().unwrap().records.len();
    assert_eq!(left, 1, "nothing was signed away");
    // What was there before the lock had this owner is not the owner's to ask for.
    show(2);
    assert_eq!(day.run("lock log Front").exit, 0);

    show(0);
    assert_eq!(day.run("lock log Front --free").exit, 0);
    day.run("lock Front");
    day.run("unlock Front");
    let held = day.lock.lock().unwrap().records.clone();
    let show = |from: usize| day.lock.lock().unwrap().records = held[from..].to_vec();
    show(2);
    for line in [
        "lock log Front",
        "lock log Front --all",
        "lock log Front --free",
    ] {
        let ran = day.run(line);
        assert_eq!(ran.exit, 1, "{line}: {ran:?}");
        assert!(ran.out.contains("records 7 to 8 are MISSING"), "{ran:?}");
    }
    let ran = day.run("lock log Front --free --give-up 8");
    assert_eq!(ran.exit, 0, "the owner's own decision: {ran:?}");
    assert!(ran.out.contains("given up by you"), "{ran:?}");
    assert!(day.lock.lock().unwrap().records.is_empty());
}

// Guards: a signed file that is more or less than the command's bytes, or readable by others.
#[test]
fn owner_sign_writes_exactly_the_commands_bytes() {
    let day = Day::begin();
    let out = day.home.path("unlock.cose");
    let ran = day.run(&format!(
        "owner sign --lock Front --action unlock --ttl 20 --out {} --json",
        word(&out)
    ));
    assert_eq!(ran.exit, 0, "{ran:?}");
    let value = ran.json();
    let bytes = fs::read(&out).unwrap();
    let read = Command::read(&bytes).unwrap();
    assert_eq!(value["command"], read.id.to_string());
    assert_eq!(
        value["topic"],
        "drawbridge/<hub>/lock/0505050505050505/command"
    );
    assert_eq!(
        (read.command.expiry_ms, &value["expires_in_ms"]),
        (81_000, &json!(20_000))
    );
    assert_eq!(
        fs::metadata(&out).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(day.turns(), 0, "signing moves nothing");
}

// Guards: `--out ~/.ssh/id_ed25519`, or a link to it in a folder that others can write to.
#[test]
fn owner_sign_writes_over_nothing() {
    let day = Day::begin();
    let kept = day.home.path("kept");
    fs::write(&kept, b"precious").unwrap();
    let link = day.home.path("link");
    std::os::unix::fs::symlink(&kept, &link).unwrap();
    let dangling = day.home.path("dangling");
    std::os::unix::fs::symlink(day.home.path("nowhere"), &dangling).unwrap();
    for taken in [&kept, &link, &dangling] {
        let ran = day.run(&format!(
            "owner sign --lock Front --action unlock --out {}",
            word(taken)
        ));
        assert_eq!(ran.exit, 1, "{ran:?}");
        assert!(ran.err.contains("there is something already"), "{ran:?}");
    }
    assert_eq!(fs::read(&kept).unwrap(), b"precious");
    assert!(!day.home.path("nowhere").exists());
}

#[test]
fn rename_and_remove_reach_the_hub_and_the_key_file() {
    let day = Day::begin();
    let lock = Arc::clone(&day.lock);
    play(&day.home.path("t"), move |verb, data| {
        assert_eq!(data["lock"], lock.lock().unwrap().id.to_string(), "{verb}");
        Says::Done(json!({"verb": verb, "name": data["name"]}))
    });
    let at = format!("--socket {}", word(&day.home.path("t")));
    assert_eq!(
        day.home.run(&format!("lock rename Front Gate {at}")).exit,
        0
    );
    assert_eq!(
        day.run("unlock Gate").exit,
        0,
        "the new name works for signing too"
    );
    assert_eq!(day.run("unlock Front").exit, 1);
    let ran = day
        .home
        .run(&format!("lock rename Gate 0011223344556677 {at}"));
    assert_eq!(ran.exit, 2, "{ran:?}");
    let ran = day.home.run(&format!("lock remove Gate --yes --json {at}"));
    assert_eq!((ran.exit, &ran.json()["removed"]), (0, &json!(true)));
}

// Guards: events lost between lines, or a stream whose end looks like success.
#[test]
fn a_stream_is_one_object_a_line_and_its_end_is_an_error() {
    let home = Home::new();
    play(&home.path("s"), |_, _| {
        let events = (1..=3)
            .map(|n| json!({"event": "pairing_step", "n": n}))
            .collect();
        Says::Streams(events, json!({}))
    });
    let ran = home.run(&format!(
        "events --count 2 --json --socket {}",
        word(&home.path("s"))
    ));
    assert_eq!((ran.exit, ran.out.lines().count()), (0, 2), "{ran:?}");
    for (line, n) in ran.out.lines().zip(1..) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["n"], n);
    }
    let ran = home.run(&format!("events --json --socket {}", word(&home.path("s"))));
    assert_eq!(ran.exit, 4, "{ran:?}");
    assert_eq!(ran.out.lines().count(), 4, "three events and why it ended");
}
