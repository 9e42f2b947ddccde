//! Bad input and absent partners: an exit code, a reason, and what to do next.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::hub::{Says, play};
use super::lock::Lock;
use super::run::{Home, word};

#[test]
fn wrong_command_lines_exit_2_and_try_nothing() {
    let home = Home::new();
    for line in [
        "",
        "frobnicate",
        "lock",
        "unlock",
        "unlock Front Back",
        "unlock Front --lock Back",
        "unlock Front --ttl 61",
        "unlock Front --ttl x",
        "status --no-such-option",
        "owner sign --lock Front --action explode --out x",
        "owner sign --lock Front --action lock",
        "lock rename Front",
        "lock remove Front --local",
        "pair",
        "status --host broker.example",
        "status --client-config /nonexistent.toml",
        "status --host b --hub a/b --ca x --cert x --key x",
    ] {
        let ran = home.run(line);
        assert_eq!(ran.exit, 2, "{line}: {ran:?}");
        assert!(!ran.err.is_empty() && ran.out.is_empty(), "{line}: {ran:?}");
    }
    let ran = home.run("unlock Front --ttl 61 --json");
    assert_eq!(ran.exit, 2);
    assert_eq!(ran.json()["error"]["code"], "usage");
}

#[test]
fn a_daemon_that_is_not_there_exits_4() {
    let home = Home::new();
    home.run("owner init");
    for line in [
        "status",
        "lock list",
        "events",
        "watch",
        "lock show 0011223344556677",
    ] {
        let ran = home.run(&format!(
            "{line} --socket {}",
            word(&home.path("none.sock"))
        ));
        assert_eq!(ran.exit, 4, "{line}: {ran:?}");
        assert!(
            ran.err.starts_with("drawbridge: reach the daemon at "),
            "{ran:?}"
        );
        assert!(
            ran.err.lines().last().unwrap().starts_with("  next: "),
            "{ran:?}"
        );
    }
    let ran = home.run(&format!(
        "status --json --socket {}",
        word(&home.path("none.sock"))
    ));
    assert_eq!(ran.json()["exit"], 4);
    assert_eq!(ran.json()["error"]["code"], "unreachable");
}

#[test]
fn a_broker_that_cannot_be_reached_exits_4_with_the_exact_reason() {
    let home = Home::new();
    let broker = "--host localhost --port 1 --hub h1 --ca ca.pem --cert app.pem --key app.key";
    let ran = home.run(&format!("status {broker}"));
    assert_eq!(ran.exit, 4, "{ran:?}");
    assert!(
        ran.err.contains("reading the CA certificate file ca.pem"),
        "{ran:?}"
    );
    let ran = home.run(&format!("doctor --json {broker}"));
    assert_eq!(ran.exit, 1, "{ran:?}");
    let value = ran.json();
    let checks = value["checks"].as_array().unwrap();
    let files = checks
        .iter()
        .find(|check| check["check"] == "broker files")
        .unwrap();
    assert_eq!(files["status"], "fail");
    assert!(
        files["advice"].as_str().unwrap().contains("path"),
        "{files}"
    );
    assert!(
        !checks.iter().any(|check| check["check"] == "broker tcp"),
        "nothing after a failed step"
    );
    for name in ["clock", "store", "air", "certificate", "daemon"] {
        let found = checks
            .iter()
            .any(|check| check["check"].as_str().unwrap().starts_with(name));
        assert!(found, "{name}: {value}");
    }
}

#[test]
fn without_owner_keys_nothing_can_be_signed_and_the_next_step_is_named() {
    let home = Home::new();
    for line in [
        "unlock Front",
        "lock Front",
        "state Front",
        "owner show",
        "pair --name x --code-file -",
    ] {
        let ran = home.run(line);
        assert_eq!(ran.exit, 1, "{line}: {ran:?}");
        assert!(
            ran.err.ends_with("next: drawbridge owner init\n"),
            "{line}: {ran:?}"
        );
    }
    home.run("owner init");
    let ran = home.run("unlock Front");
    assert_eq!(ran.exit, 1);
    assert!(
        ran.err.contains("find a lock called 'Front'") && ran.err.contains("owner claim"),
        "{ran:?}"
    );
    fs::set_permissions(home.owner_key(), fs::Permissions::from_mode(0o644)).unwrap();
    let ran = home.run("owner show");
    assert_eq!(ran.exit, 1);
    assert!(ran.err.contains("next: chmod 600 "), "{ran:?}");
}

// Guards: wrong code, another lock's code, closed window, owned lock: each clear, nothing lost.
#[test]
fn bad_codes_and_refused_pairings_say_what_to_do_and_own_nothing() {
    let home = Home::new();
    home.run("owner init");
    let before = fs::read(home.owner_key()).unwrap();
    let socket = home.path("s");
    let mut refusals = ["window_closed", "wrong_secret", "already_owned"].into_iter();
    play(&socket, move |verb, _| {
        assert_eq!(verb, "lock.pair");
        Says::Refuses(refusals.next().unwrap())
    });
    let code = Lock::new(5).code();
    let claim = format!(
        "owner claim --name Front --code-file - --local --socket {}",
        word(&socket)
    );
    let mistyped = code.replacen('A', "B", 1);
    for (input, word) in [
        (mistyped.as_str(), "misread"),
        ("WIFI:S:home;;", "begins with DB1:"),
        (&code[..50], "missing or wrong"),
        ("", "DB1:"),
    ] {
        let ran = home.run_with(&claim, input);
        assert_eq!(ran.exit, 2, "{ran:?}");
        assert!(ran.err.contains(word), "{word}: {ran:?}");
    }
    let ran = home.run_with(&format!("{claim} --expect 0909090909090909"), &code);
    assert_eq!(ran.exit, 2);
    assert!(
        ran.err.contains("it is the code of lock 0505050505050505"),
        "{ran:?}"
    );
    for word in ["press the button", "another lock's code", "ask its owner"] {
        let ran = home.run_with(&claim, &code);
        assert_eq!(ran.exit, 1, "{ran:?}");
        assert!(
            ran.err.lines().last().unwrap().contains(word),
            "{word}: {ran:?}"
        );
        assert!(
            !ran.shown().contains(&code[20..40]),
            "the code is not repeated"
        );
    }
    assert_eq!(fs::read(home.owner_key()).unwrap(), before);
}

// Guards (S26): names and ids that come from the hub and reach the user's terminal.
#[test]
fn s26_hostile_names_reach_neither_terminal_nor_json_unescaped() {
    let home = Home::new();
    let socket = home.path("s");
    let evil = "Front\u{1b}]0;owned\u{7}\u{202e}\r\nBack  0202020202020202 \u{9b}2J";
    play(&socket, move |verb, _| match verb {
        "lock.list" => {
            Says::Done(json!({"locks": [{"id": "0101010101010101", "name": evil, evil: evil}]}))
        }
        "events" => Says::Streams(vec![json!({"event": evil, "name": evil})], json!({})),
        "lock.show" => Says::Done(json!({"name": evil})),
        _ => Says::Done(json!({"hub": evil, "deep": {evil: [evil, {"a": evil}]}})),
    });
    for line in [
        "lock list",
        "status",
        "events --count 1",
        "lock show 0101010101010101",
    ] {
        for json in ["", " --json"] {
            let ran = home.run(&format!("{line}{json} --socket {}", word(&socket)));
            assert_eq!(ran.exit, 0, "{line}: {ran:?}");
            let shown = ran.shown();
            let steering = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            assert!(!shown.contains(steering), "{line}{json}: {shown:?}");
            assert!(shown.contains("Front"), "{line}: it is shown all the same");
            if !json.is_empty() {
                assert!(ran.json().to_string().contains("Front"));
            }
        }
    }
    let table = home
        .run(&format!("lock list --socket {}", word(&socket)))
        .out;
    assert_eq!(table.lines().count(), 2, "{table}");
}

// Guards (S22): a daemon of another release, or something else that listens on the socket.
#[test]
fn s22_answers_that_are_none_are_errors_not_success() {
    for raw in [
        "",
        "{}",
        "[]",
        "not json",
        r#"{"id":1,"status":"ok","data":{},"id":1}"#,
        r#"{"id":9,"status":"ok"}"#,
    ] {
        let home = Home::new();
        let socket = home.path("s");
        play(&socket, move |_, _| Says::Raw(raw));
        let ran = home.run(&format!("status --json --socket {}", word(&socket)));
        assert_eq!(ran.exit, 1, "{raw}: {ran:?}");
        assert_eq!(ran.json()["error"]["code"], "malformed_answer", "{raw}");
    }
    let home = Home::new();
    let socket = home.path("s");
    play(&socket, |_, _| Says::HangsUp);
    let ran = home.run(&format!("status --socket {}", word(&socket)));
    assert_eq!(ran.exit, 4, "{ran:?}");
    let ran = home.run(&format!(
        "lock remove 0101010101010101 --yes --socket {}",
        word(&socket)
    ));
    assert_eq!(ran.exit, 3, "it may have been removed: {ran:?}");
}
