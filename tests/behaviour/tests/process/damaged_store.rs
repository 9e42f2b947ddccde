//! F16: the daemon starts on a store that cards, power cuts and restored backups have damaged.
//!
//! Guards: a daemon that does not start, that passes off less or other than it acknowledged, that
//! moves a bolt for a command of yesterday, or that forgets the way to its locks.
//!
//! Damages are those of sled and of our own files (docs/advisories.md, store/ladder.rs): each is
//! laid on what the last one left, as on a card that goes on failing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drawbridge_daemon::owner::command::SignedCommand;
use drawbridge_protocol::command::Action;
use drawbridge_protocol::outcome::Verdict;
use serde_json::json;

use crate::auditor::Auditor;
use crate::daemon::{Daemon, Launch};
use crate::dice::Dice;
use crate::home::{DOOR, Home, Unanswered, ask};
use crate::sender::Local;
use drawbridge_simulator::lane::{print_count, rounds, seed};

const FULL: u64 = 600;
const LONG: Duration = Duration::from_secs(60);

/// The ways, in turn.
const WAYS: [&str; 12] = [
    "leftover snap.*.generating",
    "empty snap.*",
    "db cut short",
    "old copy of the records",
    "byte of db",
    "byte of the last KiB of db",
    "byte of conf or snapshot",
    "byte of the high-water file",
    "high-water file cut short",
    "high-water file gone",
    "old copy of the whole store",
    "records folder gone",
];

fn copy(from: &Path, to: &Path) {
    // A copy that was made before goes.
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn records(db: &Path) -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir(db)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("records-")
        })
        .collect();
    found.sort();
    found.pop().unwrap()
}

fn flip(path: &Path, from: u64, dice: &mut Dice) -> String {
    let mut bytes = fs::read(path).unwrap();
    let from = from.min(bytes.len() as u64 - 1);
    let at = (from + dice.below(bytes.len() as u64 - from)) as usize;
    let mask = 1 + dice.below(255) as u8;
    bytes[at] ^= mask;
    fs::write(path, bytes).unwrap();
    format!("{} byte {at} ^ {mask:#04x}", path.display())
}

fn cut(path: &Path, dice: &mut Dice) -> String {
    let whole = fs::metadata(path).unwrap().len();
    let keep = dice.below(whole);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(keep).unwrap();
    format!("{} cut to {keep} of {whole}", path.display())
}

/// Does one damage; what was done.
fn damage(way: &str, db: &Path, old: &Path, dice: &mut Dice) -> String {
    let records = records(db);
    let done = match way {
        "leftover snap.*.generating" => {
            fs::write(records.join("snap.00000000000FFFFF.generating"), b"half").unwrap();
            String::new()
        }
        "empty snap.*" => {
            fs::write(records.join("snap.00000000000FFFFF"), b"").unwrap();
            String::new()
        }
        "db cut short" => cut(&records.join("db"), dice),
        "old copy of the records" => {
            fs::remove_dir_all(&records).unwrap();
            copy(&self::records(old), &records);
            String::new()
        }
        "byte of db" => flip(&records.join("db"), 0, dice),
        "byte of the last KiB of db" => {
            let path = records.join("db");
            let bytes = fs::read(&path).unwrap();
            let written = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            let from = written.saturating_sub(1_024) as u64;
            let at = from + dice.below(written as u64 - from + 1);
            let mut bytes = bytes;
            bytes[at as usize] ^= 0x20;
            fs::write(&path, bytes).unwrap();
            format!("db byte {at} of {written}")
        }
        "byte of conf or snapshot" => {
            let small: Vec<PathBuf> = fs::read_dir(&records)
                .unwrap()
                .map(|entry| entry.unwrap())
                .filter(|entry| entry.file_name() != "db" && entry.metadata().unwrap().is_file())
                .filter(|entry| entry.metadata().unwrap().len() > 0)
                .map(|entry| entry.path())
                .collect();
            flip(&small[dice.below(small.len() as u64) as usize], 0, dice)
        }
        "byte of the high-water file" => {
            // Both slots: one alone is what the second one is for.
            let path = db.join("high-water");
            let mut bytes = fs::read(&path).unwrap();
            let at = dice.below(52) as usize;
            bytes[at] ^= 0x11;
            if dice.below(2) == 0 {
                bytes[4_096 + at] ^= 0x11;
            }
            fs::write(&path, bytes).unwrap();
            format!("slot byte {at}")
        }
        "high-water file cut short" => cut(&db.join("high-water"), dice),
        "high-water file gone" => {
            fs::remove_file(db.join("high-water")).unwrap();
            String::new()
        }
        "old copy of the whole store" => {
            fs::remove_dir_all(db).unwrap();
            copy(old, db);
            String::new()
        }
        _ => {
            fs::remove_dir_all(&records).unwrap();
            String::new()
        }
    };
    format!("{way}: {done}")
}

/// Whatever else it says, it does not panic: a panic of sled's own is caught where it is opened.
fn no_panic_of_ours(said: &str, what: &str) {
    for line in said.lines().filter(|line| line.contains("panicked at")) {
        assert!(line.contains("/sled-"), "{what}: {line}");
    }
    assert!(!said.contains("event=failed"), "{what}: {said}");
}

/// What became of the damages.
#[derive(Debug, Default)]
struct Tally {
    resets: u64,
    losses: u64,
    leftovers: u64,
    silent_and_whole: u64,
}

#[test]
fn f16_daemon_starts_on_every_damage_of_its_store_and_the_lock_wins() {
    let (damages, seed) = (rounds(12, FULL), seed());
    let mut dice = Dice::new(seed);
    let home = Home::paired("20");
    let (db, old) = (home.db(), home.folder.path().join("old-db"));
    let local = Local::at(&home.hub.socket);
    let mut auditor = Auditor::default();
    let mut tally = Tally::default();
    let mut earlier: Vec<SignedCommand> = Vec::new();
    copy(&db, &old);
    let mut daemon = home.ready(&Launch::default());
    for number in 0..damages {
        let way = WAYS[(number % WAYS.len() as u64) as usize];
        // A turn of the bolt, so that there is something to lose.
        let info = home.owner.info(&home.hub.socket, &mut dice);
        let action = [Action::Lock, Action::Unlock][(number % 2) as usize];
        let fresh = home.owner.sign(&info, action, 60_000);
        let what = format!("seed {seed}, damage {number}, {way}");
        let starts = home.starts();
        assert_eq!(local.send(&fresh, &what)["status"], json!("done"), "{what}");
        assert_eq!(home.starts(), starts + 1, "{what}");
        earlier.push(fresh);

        if dice.below(2) == 0 {
            daemon.kill();
        } else {
            daemon.stop(LONG);
        }
        no_panic_of_ours(&daemon.said(), &what);
        let what = format!("{what}; {}", damage(way, &db, &old, &mut dice));
        daemon = home.start(&Launch::default());
        daemon.wait_until_ready();
        let said = daemon.said();
        no_panic_of_ours(&said, &what);
        let is_told = said.contains("event=store_reset") || said.contains("event=store_lost");
        tally.resets += u64::from(said.contains("event=store_reset"));
        tally.losses += u64::from(is_told);
        tally.leftovers += u64::from(said.contains("event=store_leftovers_removed"));

        // What ended before has ended: by the store's memory or by the lock's, the motor rests.
        let known = earlier.last().unwrap();
        let again = local.send(known, &what);
        let outcome = home.owner.proven(&again);
        assert_eq!(outcome.command, known.id, "{what}: {again}");
        assert_eq!(outcome.verdict, Verdict::Done, "{what}: {again}");
        let one = &earlier[dice.below(earlier.len() as u64) as usize];
        let again = local.send(one, &what);
        let verdict = home.owner.proven(&again).verdict;
        let is_dead = matches!(
            verdict,
            Verdict::Done | Verdict::Expired | Verdict::NotExecuted | Verdict::Refused
        );
        assert!(
            is_dead || again["reason"] == json!("forgotten"),
            "{what}: {again}"
        );
        assert_eq!(
            home.starts(),
            starts + 1,
            "{what}: a command of before moved the bolt"
        );
        if !is_told && way != "old copy of the whole store" {
            tally.silent_and_whole += 1;
            let memory = ask(
                &home.hub.socket,
                "lock.command",
                &json!({"lock": known.lock.to_string(), "command": crate::owner::in_base64(&known.bytes), "wait": true}),
            );
            assert_eq!(
                memory.unwrap()["duplicate"],
                json!(true),
                "{what}: silently less"
            );
        }
        // Every record of the lock's log comes through, each once, up to the head that it signed.
        if number % 4 == 3 || number + 1 == damages {
            auditor.catch_up(&home.owner, &home.hub.socket, &mut dice);
            for command in &earlier {
                assert_eq!(auditor.turns.get(&command.id), Some(&(1, 1)), "{what}");
            }
        }
        if number % 5 == 0 {
            copy(&db, &old);
        }
        earlier.drain(..earlier.len().saturating_sub(16));
    }
    home.turn_locally("after all damages");
    daemon.wait_for(&["event=broker_up"], LONG);
    home.turn_by_broker("after all damages");
    println!(
        "EVIDENCE {damages} damages: {tally:?}, {} log records",
        auditor.records
    );
    print_count("store_damages", damages, FULL, seed);
    assert!(
        tally.resets > 0 && tally.losses > tally.resets && tally.leftovers > 0,
        "{tally:?}"
    );
    let aside = fs::read_dir(&db).unwrap();
    assert!(aside.count() <= 8, "what is set aside is bounded");
}

/// Damages one file.
type Hurt = fn(&Path, &mut Dice);

/// Keys and bindings are in files of their own: a damaged one is mended by its previous copy, or a
/// person is told which file to restore; nothing is made up, and nothing else suffers.
#[test]
fn f16_damaged_identity_files_are_told_and_a_restored_file_is_all_it_takes() {
    let home = Home::paired("20");
    let folder = home.identity();
    let good = home.folder.path().join("good-identity");
    let mut dice = Dice::new(seed());
    let mut daemon = home.ready(&Launch::default());
    home.turn_locally("before");
    let binding = folder.join(&home.lock.id);
    let start = |daemon: &mut Daemon| {
        daemon.kill();
        *daemon = home.start(&Launch::default());
    };

    daemon.stop(LONG);
    copy(&folder, &good);
    let previous = folder.join(format!("{}.prev", home.lock.id));
    assert!(previous.exists(), "the binding was saved more than once");
    for _ in 0..rounds(3, 60) {
        let what = flip(&binding, 0, &mut dice);
        start(&mut daemon);
        daemon.wait_for(&["identity_file_fallback"], LONG);
        daemon.wait_until_ready();
        no_panic_of_ours(&daemon.said(), &what);
        // The previous one may hold an older key of the session: then it is said, and no more.
        let shown = ask(&home.hub.socket, "lock.show", &json!({"lock": DOOR})).unwrap();
        assert_eq!(shown["id"], json!(home.lock.id), "{what}");
        daemon.kill();
        copy(&good, &folder);
    }
    home.rest_the_lock();

    for (name, damage) in [("gone", false), ("damaged, both copies", true)] {
        for file in [&binding, &previous] {
            if damage {
                flip(file, 0, &mut dice);
            } else {
                fs::remove_file(file).unwrap();
            }
        }
        start(&mut daemon);
        daemon.wait_until_ready();
        if damage {
            daemon.wait_for(&["binding_unreadable", &home.lock.id], LONG);
        }
        no_panic_of_ours(&daemon.said(), name);
        let lock = home.lock.id.clone();
        match ask(&home.hub.socket, "lock.show", &json!({"lock": lock})) {
            Err(Unanswered::Refused(error)) => {
                assert_eq!(error["code"], json!("unknown_lock"), "{name}: {error}");
                assert!(error["advice"].is_string(), "{name}: {error}");
            }
            other => panic!("{name}: {other:?}"),
        }
        daemon.kill();
        copy(&good, &folder);
        start(&mut daemon);
        daemon.wait_until_ready();
        home.turn_locally(name);
        daemon.stop(LONG);
        copy(&folder, &good);
    }

    // The hub's own keys: without them it is another hub, so it does not start as one.
    let keys = folder.join("hub-identity");
    let hurts: [(&str, Hurt); 3] = [
        ("a byte", |keys, dice| drop(flip(keys, 0, dice))),
        ("cut short", |keys, dice| drop(cut(keys, dice))),
        ("gone", |keys, _| fs::remove_file(keys).unwrap()),
    ];
    for (name, hurt) in hurts {
        hurt(&keys, &mut dice);
        start(&mut daemon);
        let status = daemon.wait_for_end(LONG);
        let said = daemon.said();
        assert!(!status.success(), "{name}: {said}");
        assert!(said.contains("hub-identity"), "{name}: {said}");
        assert!(
            said.contains("backup") || said.contains("restore"),
            "{name}: {said}"
        );
        assert!(!said.contains("panicked"), "{name}: {said}");
        let left = fs::read(&keys).unwrap_or_default();
        copy(&good, &folder);
        assert_ne!(left, fs::read(&keys).unwrap(), "{name}: keys were made up");
        start(&mut daemon);
        daemon.wait_until_ready();
        home.turn_locally(name);
        daemon.stop(LONG);
        copy(&folder, &good);
    }
}
