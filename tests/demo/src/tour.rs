//! What the product is for: pair, lock, unlock, read the signed log.

use std::time::Duration;

use serde_json::{Value, json};

use crate::report::{Failure, Report, Shown, failure, require};
use crate::stage::Stage;

pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    report.show(
        "tls",
        "the hub connects: TLS 1.3, and which key exchange",
        || {
            let line = stage.hub.wait_for_log("broker_up", 0, 20)?;
            let group = ["X25519MLKEM768", "X25519"]
                .into_iter()
                .find(|name| line.contains(name));
            let group = group.ok_or_else(|| failure(format!("no known group in: {line}")))?;
            require(
                group == "X25519MLKEM768",
                "the hybrid post-quantum group was not chosen",
            )?;
            Ok(vec![("group", json!(group))])
        },
    );
    for index in 0..stage.locks.len() {
        let name = stage.locks[index].name.clone();
        report.show(
            &format!("pair {name}"),
            &format!("pairing {name} by the code on it: the hub never sees the code"),
            || pair(stage, index),
        );
    }
    report.show(
        "lock",
        "locking Front: signed by its owner, carried by the hub",
        || act(stage, &["lock", "Front"], "Front", "LOCKED"),
    );
    report.show("unlock", "unlocking Front", || {
        act(stage, &["unlock", "Front"], "Front", "UNLOCKED")
    });
    report.show(
        "local",
        "locking Back without the broker, over the control socket",
        || act(stage, &["lock", "Back", "--local"], "Back", "LOCKED"),
    );
    for (step, way) in [("state", None), ("local state", Some("--local"))] {
        let what = format!(
            "asking Back where its bolt is {}",
            way.unwrap_or("(over MQTT)")
        );
        report.show(step, &what, || {
            let words: Vec<&str> = ["state", "Back"].into_iter().chain(way).collect();
            let answer = stage.owner.run(&words)?.done("state")?.json();
            require(
                answer["current"] == json!(true),
                format!("not proven current: {answer}"),
            )?;
            Ok(vec![("position", answer["position"].clone())])
        });
    }
    report.show("log", "reading the signed log of Front", || {
        let records = log(stage, "Front", &[])?;
        let newest = records.last().cloned().unwrap_or_default();
        let line = ["seq", "event", "command", "position"]
            .map(|field| newest[field].to_string().replace('"', ""))
            .join(" ");
        Ok(vec![
            ("records", json!(records.len())),
            ("newest", json!(line)),
        ])
    });
    report.show(
        "killed hub",
        "killing the hub while the bolt of Gate moves (SIGKILL), and starting it again",
        || kill_under_command(stage),
    );
}

fn pair(stage: &Stage, index: usize) -> Result<Shown, Failure> {
    let lock = &stage.locks[index];
    lock.press_button()?;
    let words = ["owner", "claim", "--name", &lock.name, "--code-file", "-"];
    let said = stage
        .owner
        .run_with(&words, &lock.code)?
        .done("owner claim")?;
    let status = lock.ask(&json!({"do": "status"}))?;
    require(
        status["core"]["owned"] == json!(true),
        format!("the lock says: {status}"),
    )?;
    let answer = said.json();
    require(
        answer["owned"] == json!(true),
        format!("no receipt: {answer}"),
    )?;
    Ok(vec![
        ("lock", json!(lock.id)),
        ("hub may", answer["hub"]["rights"].clone()),
    ])
}

fn act(stage: &Stage, words: &[&str], door: &str, position: &str) -> Result<Shown, Failure> {
    let lock = stage.lock(door)?;
    let before = lock.motor_starts()?;
    let said = stage.owner.run(words)?.done(words[0])?;
    let answer = said.json();
    require(
        answer["proven"] == json!(true),
        format!("not proven by the lock: {answer}"),
    )?;
    let (bolt, starts) = (lock.bolt()?, lock.motor_starts()? - before);
    require(bolt == position, format!("the bolt is {bolt}"))?;
    require(starts == 1, format!("the motor was started {starts} times"))?;
    Ok(vec![
        ("position", answer["position"].clone()),
        ("command", answer["command"].clone()),
    ])
}

/// SIGKILL while the motor runs; the sender still learns the lock's own word, once.
fn kill_under_command(stage: &mut Stage) -> Result<Shown, Failure> {
    let before = stage.lock("Gate")?.motor_starts()?;
    let owner = stage.owner.clone();
    let sender = std::thread::spawn(move || owner.run(&["lock", "Gate"]));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while stage.lock("Gate")?.motor_starts()? == before {
        require(
            std::time::Instant::now() < deadline,
            "the motor was never started",
        )?;
        std::thread::sleep(Duration::from_millis(5));
    }
    stage.hub.kill();
    std::thread::sleep(Duration::from_millis(200));
    stage.hub.start_again()?;
    let said = sender
        .join()
        .map_err(|_| failure("the command line panicked"))??;
    let answer = said.done("lock")?.json();
    require(
        answer["proven"] == json!(true),
        format!("not proven by the lock: {answer}"),
    )?;
    let starts = stage.lock("Gate")?.motor_starts()? - before;
    require(starts == 1, format!("the motor was started {starts} times"))?;
    Ok(vec![
        ("status", answer["status"].clone()),
        ("motor_starts", json!(starts)),
    ])
}

/// Every lock's log, checked record by record to the head that the lock signs.
pub(crate) fn check_logs(stage: &Stage, report: &mut Report) {
    for lock in &stage.locks {
        let what = format!("checking the log of {} for gaps", lock.name);
        report.show(&format!("whole log {}", lock.name), &what, || {
            let records = log(stage, &lock.name, &["--all"])?;
            require(records.len() >= 4, "the log is shorter than what was done")?;
            let of = |event: &str| {
                records
                    .iter()
                    .filter(|record| record["event"] == event)
                    .count()
            };
            let (intents, outcomes) = (of("intent"), of("outcome"));
            require(
                intents == outcomes,
                format!("{intents} intents, {outcomes} outcomes"),
            )?;
            Ok(vec![
                ("records", json!(records.len())),
                ("turns of the bolt", json!(intents)),
            ])
        });
    }
}

/// A lock's records, read and verified by its owner's command line: anything missing or changed is
/// an error there.
fn log(stage: &Stage, door: &str, more: &[&str]) -> Result<Vec<Value>, Failure> {
    let words: Vec<&str> = ["lock", "log", door, "--local"]
        .iter()
        .chain(more)
        .copied()
        .collect();
    let answer = stage.owner.run(&words)?.done("lock log")?.json();
    let lines = answer["log"].as_array().cloned();
    lines.ok_or_else(|| failure(format!("no log in: {answer}")))
}
