//! Bad input at pairing and at the door: each has its own words, nothing is lost, nothing moves.

use serde_json::json;

use crate::home::{Home, QUICK};
use drawbridge_support::household::{Cli, Said};

/// What the command line said, both streams.
fn text(said: &Said) -> String {
    format!("{}{}", said.out, said.err)
}

/// It said no with this exit code, these words, and what to do next.
fn assert_no(said: &Said, codes: &[i32], words: &str) {
    assert!(codes.contains(&said.code), "{said:?}");
    assert!(text(said).contains(words), "no '{words}' in {said:?}");
    assert!(text(said).contains("next"), "no next step in {said:?}");
}

#[test]
fn wrong_codes_and_closed_windows_are_refused_in_words_and_pair_nothing() {
    let home = Home::new(&[("Front", QUICK), ("Back", QUICK)]);
    let (front, back) = (home.lock("Front"), home.lock("Back"));
    let owned = |door: &str| {
        home.lock(door).ask(&json!({"do": "status"})).unwrap()["core"]["owned"].clone()
    };

    assert_no(
        &home.claim("Front", "https://example.org/"),
        &[2],
        "begins with DB1:",
    );
    let short = front.code.get(..front.code.len() - 9).unwrap();
    assert_no(
        &home.claim("Front", short),
        &[2],
        "characters are missing or wrong",
    );
    let last = front.code.len() - 20;
    let other = if front.code.as_bytes()[last] == b'A' {
        "B"
    } else {
        "A"
    };
    let mut mistyped = front.code.clone();
    mistyped.replace_range(last..=last, other);
    assert_no(
        &home.claim("Front", &mistyped),
        &[2],
        "a character was misread",
    );
    let words = [
        "owner",
        "claim",
        "--name",
        "Front",
        "--code-file",
        "-",
        "--expect",
        &back.id,
    ];
    let said = home.owner.run_with(&words, &front.code).unwrap();
    assert_no(&said, &[2], "scan the code of the lock that you mean");

    // The window of another lock is open, nobody pressed the button of this one. The hub waits for
    // it as long as a window would last.
    back.press_button().unwrap();
    let said = home.claim("Front", &front.code);
    assert_no(&said, &[1], "press the button inside");
    assert_eq!(
        (owned("Front"), owned("Back")),
        (json!(false), json!(false))
    );

    // After all that the right code still pairs.
    front.press_button().unwrap();
    home.claim("Front", &front.code).done("claim").unwrap();
    assert_eq!((owned("Front"), owned("Back")), (json!(true), json!(false)));
    let said = home.done(&["lock", "Front"]);
    assert_eq!(said["proven"], json!(true));
    assert_eq!(front.motor_starts().unwrap(), 1);
    assert_eq!(back.motor_starts().unwrap(), 0);
}

#[test]
fn a_lock_that_is_owned_is_nobody_elses_and_unknown_locks_have_a_way_on() {
    let home = Home::paired(&[("Front", QUICK)]);
    let front = home.lock("Front");
    // Somebody else with the code, a key of his own, and the button.
    let folder = home.folder.path().join("stranger");
    std::fs::create_dir_all(&folder).unwrap();
    let way = drawbridge_support::household::Broker::new(
        home.broker.port(),
        &home.pki,
        home.sends.clone(),
    );
    let stranger = Cli::new(
        drawbridge_support::household::Programs::shared(),
        &folder,
        crate::home::HUB,
        &home.hub.socket,
        &way,
    )
    .unwrap();
    stranger
        .run(&["owner", "init"])
        .unwrap()
        .done("init")
        .unwrap();
    front.press_button().unwrap();
    let words = ["owner", "claim", "--name", "Mine", "--code-file", "-"];
    let said = stranger.run_with(&words, &front.code).unwrap();
    println!("{said:?}");
    assert_no(&said, &[1], "");
    assert!(
        text(&said).contains("remove") || text(&said).contains("owned"),
        "{said:?}"
    );
    // Also when the hub has forgotten the lock: then the lock itself says no.
    home.done(&["lock", "remove", "Front", "--yes", "--local"]);
    front.press_button().unwrap();
    let said = stranger.run_with(&words, &front.code).unwrap();
    println!("{said:?}");
    assert_no(&said, &[1], "own");
    assert_no(
        &stranger.run(&["unlock", "Front"]).unwrap(),
        &[1, 2],
        "Front",
    );
    assert_eq!(front.motor_starts().unwrap(), 0);
    assert_eq!(
        front.ask(&json!({"do": "status"})).unwrap()["core"]["owned"],
        json!(true)
    );

    for words in [
        ["unlock", "Nowhere"].as_slice(),
        &["lock", "show", "Nowhere", "--local"],
        &["lock", "rename", "Nowhere", "Else", "--local"],
        &["lock", "remove", "00112233445566ff", "--yes", "--local"],
        &["state", "00112233445566ff"],
    ] {
        assert_no(&home.owner.run(words).unwrap(), &[1, 2], "");
    }
    assert_eq!(front.motor_starts().unwrap(), 0);
}

#[test]
fn a_typo_in_the_configuration_is_shown_with_its_line_and_the_word_that_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drawbridge.toml");
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let mut answers = Vec::new();
        for more in [["--check"].as_slice(), &[]] {
            let output = std::process::Command::new(
                drawbridge_support::household::Programs::shared().path("drawbridged"),
            )
            .arg("--config")
            .arg(&path)
            .args(more)
            .output()
            .unwrap();
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            answers.push(String::from_utf8(output.stderr).unwrap());
        }
        answers.join("\n")
    };
    let said = check("[hub]\nid = \"h1\"\n\n[radio]\nbluezz = false\n");
    assert!(
        said.contains("line 5") && said.contains("did you mean `bluez`"),
        "{said}"
    );
    let said = check("[hub]\nid = \"h1\"\n[brokr]\nhost = \"x\"\n");
    assert!(
        said.contains("line 3") && said.contains("did you mean `broker`"),
        "{said}"
    );
    let said = check("[hub]\nid = \"a/b\"\n");
    assert!(
        said.contains("line 2") && said.contains("[hub] id"),
        "{said}"
    );
    let said = check("[hub\nid = 1\n");
    assert!(said.contains("line 1"), "{said}");
    std::fs::remove_file(&path).unwrap();
    let none = std::process::Command::new(
        drawbridge_support::household::Programs::shared().path("drawbridged"),
    )
    .args(["--check", "--config"])
    .arg(&path)
    .output()
    .unwrap();
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&none.stderr).contains("drawbridge.toml"));
}
