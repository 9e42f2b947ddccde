//! S26: names that would be a topic, a path, a log line or a terminal's command.

use serde_json::json;

use crate::home::{Home, QUICK, files, raw_request};

/// Names that must not be taken: they break lines, or turn the reading direction.
const NEVER: [&str; 8] = [
    "a\nWARN forged",
    "a\u{0}b",
    "a\u{1b}[2Jb",
    "a\u{202e}b",
    "a\u{2066}b",
    "",
    " a",
    "a\rb",
];

/// Names that are odd and harmless where a name is only ever a value.
const ODD: [&str; 6] = [
    "+",
    "#",
    "a/b/../../etc",
    "$SYS/broker",
    "../../../tmp/x",
    "%s%n {} \" ' \\",
];

#[test]
fn s26_names_reach_no_topic_no_path_and_no_log_line() {
    let home = Home::paired(&[("Front", QUICK)]);
    let id = home.lock("Front").id.clone();
    let everything = drawbridge_support::foreign::Listener::start(
        &home.broker,
        &home.operator,
        &[&home.topic("#")],
    )
    .unwrap();
    let before = files(&home.hub.state);
    for name in NEVER {
        let request = json!({"id": 1, "verb": "lock.rename", "data": {"lock": id, "name": name}});
        let answer = raw_request(&home.hub.socket, request.to_string().as_bytes()).unwrap();
        assert!(
            answer["error"]["advice"].as_str().is_some(),
            "{name:?}: {answer}"
        );
        if !name.contains('\0') {
            let said = home
                .owner
                .run(&["lock", "rename", "Front", name, "--local"])
                .unwrap();
            assert_ne!(said.code, 0, "{name:?}: {said:?}");
            home.lock("Front").press_button().unwrap();
            let said = home.claim(name, &home.lock("Front").code);
            assert_ne!(said.code, 0, "{name:?}: {said:?}");
        }
    }
    for name in ODD {
        let request = json!({"id": 1, "verb": "lock.rename", "data": {"lock": id, "name": name}});
        let answer = raw_request(&home.hub.socket, request.to_string().as_bytes()).unwrap();
        assert!(answer.to_string().contains(&id), "{name:?}: {answer}");
        // It is a value like any other: found by it, shown by it.
        let shown = json!({"id": 2, "verb": "lock.show", "data": {"lock": name}});
        let shown = raw_request(&home.hub.socket, shown.to_string().as_bytes()).unwrap();
        assert!(shown.to_string().contains(&id), "{name:?}: {shown}");
        let listed = home.done(&["lock", "list", "--local"]);
        assert!(listed.to_string().contains(&id), "{name:?}: {listed}");
    }
    let said = home.done(&["lock", "--lock", &id, "--local"]);
    assert_eq!(said["proven"], json!(true));
    for seen in everything.seen() {
        let rest = seen.topic.strip_prefix("drawbridge/h1/").unwrap();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
        assert!(
            rest.bytes().all(plain) && !rest.contains(".."),
            "{}",
            seen.topic
        );
    }
    assert!(!everything.seen().is_empty());
    let log = std::fs::read(&home.hub.log).unwrap();
    let log = String::from_utf8(log).unwrap();
    for line in log.lines() {
        let level = ["ERROR ", "WARN ", "INFO ", "DEBUG ", "TRACE "];
        assert!(
            level.iter().any(|level| line.starts_with(level)),
            "a forged line: {line}"
        );
        assert!(
            !line.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{line:?}"
        );
        assert!(!line.starts_with("WARN forged"), "{line}");
    }
    let new: Vec<_> = files(&home.hub.state)
        .into_iter()
        .filter(|path| !before.contains(path))
        .filter(|path| !path.starts_with(home.hub.state.join("db")))
        .collect();
    assert!(new.is_empty(), "new files: {new:?}");
}
