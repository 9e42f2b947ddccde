use std::fs;

use super::*;

const SHIPPED: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../config/drawbridge.toml"
));

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/drawbridge/drawbridge.toml"))
}

/// An operator mistypes a key, and a daemon that ignores it runs with a default nobody chose.
#[test]
fn f18_typo_names_file_line_key_and_the_nearest_one() {
    let error =
        parse("[hub]\nid = \"home\"\n\n[broker]\nhost = \"b.example\"\nserver_nam = \"a\"\n")
            .unwrap_err();
    let ConfigError::Parse {
        line,
        column,
        suggestion,
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(
        (*line, *column, suggestion.as_deref()),
        (6, 1, Some("server_name"))
    );
    let text = error.to_string();
    for part in [
        "/etc/drawbridge/drawbridge.toml",
        "line 6",
        "`server_nam`",
        "did you mean `server_name`?",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let suggestions = [
        ("[hub]\nid=\"a\"\n[broker]\nprot=1\nhost=\"a\"", 4, "port"),
        ("[hub]\nid=\"a\"\n[brokr]\nhost=\"a\"", 3, "broker"),
        ("[hub]\nid=\"a\"\nstatedir=\"/x\"", 3, "state_dir"),
        ("[hub]\nid=\"a\"\n[log]\nlevel=\"inf\"", 4, "info"),
        (
            "[hub]\nid=\"a\"\n[radio]\nvirtualair=\"/x\"",
            4,
            "virtual_air",
        ),
    ];
    for (text, at, near) in suggestions {
        let error = parse(text).unwrap_err();
        let ConfigError::Parse {
            line, suggestion, ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!((*line, suggestion.as_deref()), (at, Some(near)), "{error}");
    }
    let far = parse("[hub]\nid=\"a\"\nqqqq=1").unwrap_err();
    assert!(
        matches!(
            far,
            ConfigError::Parse {
                line: 3,
                suggestion: None,
                ..
            }
        ),
        "no wild guess: {far}"
    );
    for broken in [
        "[hub\nid=\"a\"",
        "[hub]\nid=\"a\"\nid=\"b\"",
        "[hub]\nid=7",
        "\u{0}",
    ] {
        assert!(
            matches!(parse(broken), Err(ConfigError::Parse { .. })),
            "{broken:?}"
        );
    }
    assert!(
        parse("[log]\nlevel=\"info\"")
            .unwrap_err()
            .to_string()
            .contains("missing field `hub`")
    );
}

/// Values that parse but cannot work are all told at once, with the line and what to do.
#[test]
fn f18_bad_values_are_told_together_with_lines_and_advice() {
    let text = "[hub]\nid = \"home/1\"\nstate_dir = \"var\"\n[broker]\nhost = \"mqtts://b:8883\"\nport = 1883\n[control]\ngroup = \"a b\"\n[radio]\nbluez = false\nadapters = [\"00:11:22:33:44:55\", \"hci0\"]\n";
    let error = parse(text).unwrap_err();
    let ConfigError::Invalid { problems, .. } = &error else {
        panic!("{error:?}")
    };
    let told: Vec<_> = problems
        .iter()
        .map(|problem| (problem.line, problem.key.as_str()))
        .collect();
    let expected = [
        (Some(2), "[hub] id"),
        (Some(3), "[hub] state_dir"),
        (Some(5), "[broker] host"),
        (Some(6), "[broker] port"),
        (Some(11), "[radio] adapters"),
        (Some(10), "[radio] bluez"),
        (Some(8), "[control] group"),
    ];
    assert_eq!(told, expected);
    assert!(problems.iter().all(|problem| !problem.advice.is_empty()));
    assert!(
        error.to_string().contains("line 5: [broker] host"),
        "{error}"
    );
}

/// What the shipped file says of a default must be what the code does.
#[test]
fn shipped_file_documents_every_default_truthfully() {
    let shipped = parse(SHIPPED).expect("the shipped file works as it is");
    // Every `#key = value` is a default: switched on, it must change nothing.
    let mut all = String::new();
    let mut documented = 0;
    for line in SHIPPED.lines() {
        match line.strip_prefix('#') {
            Some(default) if !default.starts_with(' ') && default.contains(" = ") => {
                all.push_str(default);
                documented += 1;
            }
            Some(header) if header.starts_with('[') => all.push_str(header),
            // The one key of that section without a default.
            Some(host) if host.starts_with(" host = ") => all.push_str(host),
            _ => all.push_str(line),
        }
        all.push('\n');
    }
    let broker = "[broker]\nhost = \"broker.example\"\n";
    let bare = parse(&format!("[hub]\nid = \"{}\"\n{broker}", shipped.hub.id)).unwrap();
    assert_eq!(
        parse(&all).unwrap(),
        bare,
        "switched on, the documented defaults differ from the code's"
    );
    assert_eq!(documented, 11, "defaults documented");
    for optional in ["crl", "server_name", "virtual_air", "socket"] {
        assert!(
            SHIPPED.contains(&format!("# {optional} = ")),
            "{optional} is not explained"
        );
    }
    assert_eq!(
        shipped.broker, None,
        "out of the box the hub does not dial anywhere"
    );
}

#[test]
fn missing_and_exposed_files_are_told_with_advice() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let (ca, key) = (file("ca.pem", b"x"), file("hub.key", b"x"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let cert = folder.path().join("absent.pem").display().to_string();
    let empty = file("crl.pem", b"");
    let text = format!(
        "[hub]\nid=\"a\"\n[broker]\nhost=\"b\"\nca=\"{ca}\"\ncert=\"{cert}\"\nkey=\"{key}\"\ncrl=\"{empty}\"\n"
    );
    let problems = parse(&text).unwrap().check_files();
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].contains("absent.pem does not exist"), "{told:?}");
    assert!(
        told[1].contains("read by every user") && told[1].contains("chmod 0600"),
        "{told:?}"
    );
    assert!(told[2].contains("is empty"), "{told:?}");
}
