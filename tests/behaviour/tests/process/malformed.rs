//! F18: nonsense on every input of the daemon: configuration, certificates, command line,
//! environment, folders, air, control socket, broker. (Its identity files: `damaged_store`.)
//!
//! Guards: a daemon that dies, hangs or starts half without saying what to do, and a bolt that
//! moves for bytes that nobody signed.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use drawbridge_protocol::command::Action;
use serde_json::json;

use crate::daemon::Launch;
use crate::dice::Dice;
use drawbridge_support::household::Programs;

use crate::home::{DOOR, Home, ask};
use crate::owner::in_base64;
use crate::sender::{App, Local};
use drawbridge_simulator::lane::{print_count, rounds, seed};

const LONG: Duration = Duration::from_secs(60);

/// Runs the daemon with these arguments; one that does not end within 20 s fails the test.
fn run(what: &str, arguments: &[std::ffi::OsString]) -> Output {
    let mut child = Command::new(Programs::shared().path("drawbridged"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{what}: it does not end");
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    child.wait_with_output().unwrap()
}

/// It ended by itself with this code, and with words.
fn refused(what: &str, output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{what}: {output:?}");
    assert!(!said.trim().is_empty(), "{what}: not a word");
    assert!(!said.contains("panicked"), "{what}: {said}");
    assert!(said.len() < 64 * 1024, "{what}: {} bytes", said.len());
    said
}

fn check(what: &str, config: &Path) -> Output {
    let words = ["--check".into(), "--config".into(), config.into()];
    run(what, &words)
}

#[test]
fn f18_malformed_configuration_is_refused_with_file_line_and_advice() {
    let home = Home::paired("60");
    let good = fs::read_to_string(&home.hub.config).unwrap();
    assert!(check("the good one", &home.hub.config).status.success());
    let path = home.folder.path().join("bad.toml");
    let long = format!("[hub]\nid = \"{}\"\n", "h".repeat(200_000));
    let deep = format!("[hub]\nid = {}{}", "[".repeat(50_000), "]".repeat(50_000));
    let swapped = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1).into_bytes()
    };
    let texts: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("not UTF-8", b"[hub]\nid = \"\xff\xfe\"\n".to_vec()),
        ("zeros", vec![0; 4_096]),
        ("no TOML", b"<xml/>".to_vec()),
        ("300 kB", vec![b'#'; 300_000]),
        ("a long id", long.into_bytes()),
        ("deep", deep.into_bytes()),
        ("a key twice", swapped("[broker]", "id = \"h2\"\n[broker]")),
        (
            "a section twice",
            [good.as_bytes(), b"\n[hub]\nid = \"h1\"\n"].concat(),
        ),
        (
            "an unknown key",
            swapped("[broker]", "[broker]\nhots = \"x\""),
        ),
        ("an id that is a topic", swapped("\"h1\"", "\"h1/+/#\"")),
        ("a newline in the id", swapped("\"h1\"", "\"h1\\nx\"")),
        (
            "port 0",
            swapped(&format!("port = {}", home.broker.port()), "port = 0"),
        ),
        (
            "port 70000",
            swapped(&format!("port = {}", home.broker.port()), "port = 70000"),
        ),
        (
            "a port in words",
            swapped(&format!("port = {}", home.broker.port()), "port = \"many\""),
        ),
        ("no level", swapped("level = \"debug\"", "level = \"loud\"")),
    ];
    for (what, text) in texts {
        fs::write(&path, &text).unwrap();
        let said = refused(what, &check(what, &path), 2);
        assert!(said.contains("bad.toml"), "{what}: {said}");
    }
    let missing = home.folder.path().join("nowhere.toml");
    let said = refused("missing", &check("missing", &missing), 2);
    assert!(said.contains("--config"), "{said}");
    for odd in [
        PathBuf::from("/dev/zero"),
        PathBuf::from("/dev/null"),
        home.folder.path().into(),
    ] {
        let said = refused("no file", &check("no file", &odd), 2);
        assert!(said.contains("no ordinary file"), "{said}");
    }

    let (flips, seed) = (rounds(120, 5_000), seed());
    let mut dice = Dice::new(seed);
    let mut taken = 0;
    for flip in 0..flips {
        let mut bytes = good.clone().into_bytes();
        for _ in 0..=dice.below(3) {
            let at = dice.below(bytes.len() as u64) as usize;
            match dice.below(3) {
                0 => bytes[at] = dice.below(256) as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"\"[]=\n\0,."[dice.below(8) as usize]),
            }
        }
        fs::write(&path, &bytes).unwrap();
        let what = format!("seed {seed}, flip {flip}");
        let output = check(&what, &path);
        if output.status.success() {
            taken += 1;
        } else {
            refused(&what, &output, 2);
        }
    }
    println!("EVIDENCE {flips} edited configurations, {taken} still good, the others refused");
    print_count("edited_configs", flips, 5_000, seed);
}

#[test]
fn f18_malformed_command_lines_and_folders_are_refused_in_words() {
    let home = Home::paired("60");
    let config = || std::ffi::OsString::from(&home.hub.config);
    let wild = std::ffi::OsString::from_vec(b"\xff\xfe".to_vec());
    let lines: Vec<(&str, Vec<std::ffi::OsString>)> = vec![
        ("an unknown option", vec!["--evil".into()]),
        ("no value", vec!["--config".into()]),
        (
            "twice",
            vec!["--config".into(), config(), "--config".into(), config()],
        ),
        (
            "a stray word",
            vec!["--config".into(), config(), "start".into()],
        ),
        ("not UTF-8", vec![wild.clone()]),
        ("a path that is not UTF-8", vec!["--config".into(), wild]),
        ("30 kB", vec!["x".repeat(30_000).into()]),
        ("an empty path", vec!["--config".into(), "".into()]),
    ];
    for (what, words) in lines {
        let said = refused(what, &run(what, &words), 2);
        assert!(said.contains("--"), "{what}: {said}");
    }

    // Folders that are none: said with the path, and the way back is to put them right.
    let state = &home.hub.state;
    let aside = home.folder.path().join("aside");
    let run_folder = home.hub.socket.parent().unwrap();
    for (what, place) in [
        ("state", state.clone()),
        ("store", home.db()),
        ("keys", home.identity()),
    ] {
        fs::rename(&place, &aside).unwrap();
        fs::write(&place, b"no folder").unwrap();
        let said = refused(what, &run(what, &["--config".into(), config()]), 1);
        assert!(said.contains("event=failed"), "{what}: {said}");
        fs::remove_file(&place).unwrap();
        fs::rename(&aside, &place).unwrap();
    }
    fs::write(&home.hub.socket, b"a file in the way").unwrap();
    let said = refused("socket", &run("socket", &["--config".into(), config()]), 1);
    assert!(said.contains("a file is there already"), "{said}");
    fs::remove_file(&home.hub.socket).unwrap();
    fs::set_permissions(run_folder, fs::Permissions::from_mode(0o777)).unwrap();
    let said = refused(
        "open folder",
        &run("open folder", &["--config".into(), config()]),
        1,
    );
    assert!(said.contains("chmod"), "{said}");
    fs::set_permissions(run_folder, fs::Permissions::from_mode(0o750)).unwrap();
    let _daemon = home.ready(&Launch::default());
    home.turn_locally("with its folders back");
}

#[test]
fn f18_malformed_environment_keeps_no_daemon_from_starting() {
    let home = Home::paired("60");
    let long = "/x".repeat(4_000);
    let variables = [
        ("NOTIFY_SOCKET", ""),
        ("NOTIFY_SOCKET", "@"),
        ("NOTIFY_SOCKET", "relative"),
        ("NOTIFY_SOCKET", "/nowhere/notify"),
        ("NOTIFY_SOCKET", "vsock:1:x"),
        ("NOTIFY_SOCKET", &long),
        ("WATCHDOG_USEC", "0"),
        ("WATCHDOG_USEC", "1"),
        ("WATCHDOG_USEC", "-1"),
        ("WATCHDOG_USEC", "99999999999999999999"),
        ("WATCHDOG_USEC", "soon"),
        ("WATCHDOG_PID", "nobody"),
        ("JOURNAL_STREAM", "1:2"),
        ("JOURNAL_STREAM", "\u{202e}"),
        ("JOURNAL_STREAM", &long),
        ("RUST_LOG", "trace=\"[["),
        ("RUST_BACKTRACE", "full\n"),
        ("LISTEN_FDS", "-4"),
        ("TZ", ":/dev/zero"),
        ("LANG", "\u{7}"),
        ("TMPDIR", "/nowhere"),
        ("HOME", ""),
    ];
    for (name, value) in variables {
        let what = format!("{name}={}", value.chars().take(40).collect::<String>());
        let mut daemon = home.ready(&Launch::default().env(name, value));
        ask(&home.hub.socket, "status", &json!({})).unwrap_or_else(|why| panic!("{what}: {why:?}"));
        assert!(daemon.ended().is_none(), "{what}: {}", daemon.said());
        assert!(
            !daemon.said().contains("panicked"),
            "{what}: {}",
            daemon.said()
        );
    }
    home.rest_the_lock();
    // Nothing at all: no variable, no standard input, output or error. What is opened first must
    // not become the place where errors are written.
    let words = ["sh", "-c", "exec env -i \"$@\" <&- >&- 2>&-", "sh"];
    let daemon = home.start(&Launch::through(&words));
    let deadline = Instant::now() + LONG;
    while ask(&home.hub.socket, "status", &json!({})).is_err() {
        assert!(Instant::now() < deadline, "it never answered");
        std::thread::sleep(Duration::from_millis(20));
    }
    home.turn_locally("with nothing");
    drop(daemon);
    let daemon = home.ready(&Launch::default());
    let said = daemon.said();
    assert!(said.contains("store_opened"), "{said}");
    assert!(
        !said.contains("store_lost") && !said.contains("unreadable"),
        "{said}"
    );
    home.turn_locally("after nothing");
}

#[test]
fn f18_malformed_certificates_cost_the_broker_and_not_the_door() {
    let home = Home::paired("60");
    let text = fs::read_to_string(&home.hub.config).unwrap();
    let named = |key: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{key} = ")))
            .unwrap();
        PathBuf::from(line.split('"').nth(1).unwrap())
    };
    for which in ["ca", "cert", "key"] {
        let path = named(which);
        let good = fs::read(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions();
        let other = fs::read(named(if which == "key" { "cert" } else { "key" })).unwrap();
        let mut huge = good.clone();
        huge.resize(5_000_000, b'A');
        let damages: [(&str, Vec<u8>); 6] = [
            ("empty", Vec::new()),
            ("cut", good[..good.len() / 2].to_vec()),
            ("zeros", vec![0; 2_000]),
            (
                "PEM of nothing",
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
            ),
            ("the other kind", other),
            ("5 MB", huge),
        ];
        for (how, bytes) in damages {
            let what = format!("{which}: {how}");
            fs::write(&path, &bytes).unwrap();
            let checked = check(&what, &home.hub.config);
            let mut daemon = home.ready(&Launch::default());
            if how == "5 MB" && which != "key" {
                // Bytes after the last PEM block are no certificate, and allowed (RFC 7468).
                ask(&home.hub.socket, "status", &json!({})).unwrap();
            } else {
                let down = daemon.wait_for(&["event=broker_down", "advice="], LONG);
                assert!(!down.contains("advice=\"\""), "{what}: {down}");
                assert!(!down.contains("PRIVATE"), "{what}: {down}");
            }
            assert!(checked.status.code().is_some(), "{what}: {checked:?}");
            assert!(
                !daemon.said().contains("panicked"),
                "{what}: {}",
                daemon.said()
            );
            if how == "cut" {
                home.rest_the_lock();
                home.turn_locally(&what);
            }
            fs::write(&path, &good).unwrap();
            fs::set_permissions(&path, mode.clone()).unwrap();
            if how == "the other kind" {
                // No restart: the files are read at each attempt.
                daemon.wait_for(&["event=broker_up"], 2 * LONG);
                home.turn_by_broker(&what);
            }
        }
    }
}

/// Bytes that look like what the daemon expects and are not, from every side at once.
#[test]
fn f18_edited_requests_commands_and_air_move_nothing_and_stop_nothing() {
    let home = Home::paired("60");
    let (edits, seed) = (rounds(300, 10_000), seed());
    let mut dice = Dice::new(seed);
    let air = air_folder(&home);
    let noise = Noise::new(&air, &mut dice);
    let mut daemon = home.start(&Launch::default());
    daemon.wait_for(&["event=broker_up"], LONG);
    home.turn_locally("before");
    let mut app = App::connect(&home);
    let info = home.owner.info(&home.hub.socket, &mut dice);
    let command = home.owner.sign(&info, Action::Lock, 60_000);
    let requests = [
        json!({"id": 1, "verb": "status", "data": {}}),
        json!({"id": 2, "verb": "lock.show", "data": {"lock": DOOR}}),
        json!({"id": 3, "verb": "lock.session_info", "data": {"lock": home.lock.id, "nonce": "00".repeat(16)}}),
        json!({"id": 4, "verb": "lock.command", "data": {"lock": home.lock.id, "command": in_base64(&command.bytes), "wait": false}}),
        json!({"id": 5, "verb": "lock.audit", "data": {"lock": home.lock.id, "from": 1}}),
        json!({"id": 6, "verb": "lock.audit_ack", "data": {"lock": home.lock.id, "ack": "AAAA"}}),
        json!({"id": 7, "verb": "lock.pair", "data": {"ticket": "AAAA"}}),
        json!({"id": 8, "verb": "lock.claim", "data": {"lock": home.lock.id, "claim": "AAAA"}}),
    ]
    .map(|request| request.to_string().into_bytes());
    let starts = home.starts();
    let mut answers = 0;
    for edit in 0..edits {
        let mut line = requests[dice.below(requests.len() as u64) as usize].clone();
        // The signed bytes themselves are never among the edits that might leave them whole.
        let spoilt = line
            .windows(12)
            .position(|part| part == b"\"command\":\"A")
            .map(|at| at + 12);
        if let Some(at) = line.windows(11).position(|part| part == b"\"command\":\"") {
            let at = spoilt.unwrap_or(at + 11) + 40;
            line[at] = if line[at] == b'A' { b'B' } else { b'A' };
        }
        for _ in 0..dice.below(4) {
            if line.is_empty() {
                break;
            }
            let at = dice.below(line.len() as u64) as usize;
            match dice.below(4) {
                0 => line[at] = dice.below(256) as u8,
                1 => drop(line.remove(at)),
                2 => line.truncate(at.max(1)),
                _ => line.insert(at, b"{}[]\",:9"[dice.below(8) as usize]),
            }
        }
        line.retain(|byte| *byte != b'\n');
        answers += u64::from(is_answered(&home.hub.socket, &line));
        if edit % 3 == 0 {
            let mut bytes = command.bytes.clone();
            let at = dice.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 + dice.below(255) as u8;
            app.publish_bytes(&home.lock.id, bytes);
        }
        assert!(
            daemon.ended().is_none(),
            "seed {seed}, edit {edit}: {}",
            daemon.said()
        );
    }
    app.listen(Duration::from_millis(500));
    assert_eq!(
        home.starts(),
        starts,
        "seed {seed}: edited bytes moved the bolt"
    );
    assert!(!daemon.said().contains("panicked"), "{}", daemon.said());
    // The untouched one still counts, once.
    let local = Local::at(&home.hub.socket);
    let info = home.owner.info(&home.hub.socket, &mut dice);
    let whole = home.owner.sign(&info, Action::Unlock, 60_000);
    assert_eq!(
        local.send(&whole, "the untouched one")["status"],
        json!("done")
    );
    home.turn_by_broker("after all edits");
    println!(
        "EVIDENCE {edits} edited requests, {answers} answered; {} peers of noise in the air",
        noise.peers
    );
    print_count("edited_requests", edits, 10_000, seed);
    assert!(answers * 2 > edits, "most have an answer");
}

fn air_folder(home: &Home) -> PathBuf {
    home.folder.path().join("air")
}

/// Whether one line has an answer, which is then a sound one.
fn is_answered(socket: &Path, line: &[u8]) -> bool {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    // A daemon that hangs up in the middle has said enough.
    let _ = stream
        .write_all(line)
        .and_then(|()| stream.write_all(b"\n"));
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    let Some(first) = said
        .split(|byte| *byte == b'\n')
        .find(|line| !line.is_empty())
    else {
        return false;
    };
    let answer: serde_json::Value = serde_json::from_slice(first).unwrap();
    assert!(answer["status"].is_string(), "{answer}");
    true
}

/// Files that are no locks and locks that talk nonsense, in the folder of the air.
struct Noise {
    peers: u64,
}

impl Noise {
    fn new(air: &Path, dice: &mut Dice) -> Self {
        fs::write(air.join("00112233445566aa.air"), b"no socket").unwrap();
        fs::write(air.join("not an address.air"), b"").unwrap();
        fs::create_dir(air.join("00112233445566bb.air")).unwrap();
        std::os::unix::fs::symlink("/nowhere", air.join("00112233445566cc.air")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", air.join("00112233445566dd.air")).unwrap();
        let mut noise = Self { peers: 5 };
        for peer in 0..4_u8 {
            let name = format!("00112233445566{peer:02x}.air");
            let listener = UnixListener::bind(air.join(name)).unwrap();
            let mut dice = Dice::new(dice.below(u64::MAX));
            noise.peers += 1;
            // Ends with the test: its listener is served for as long as somebody calls.
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let Ok(mut stream) = stream else { return };
                    let length = dice.below(3_000) as usize;
                    let bytes: Vec<u8> = (0..length).map(|_| dice.below(256) as u8).collect();
                    // Whoever hangs up first ends it.
                    let _ = stream.write_all(&bytes);
                }
            });
        }
        noise
    }
}
