//! S21 through the daemon and the command line: the wrong broker, and the wrong certificate.
//!
//! Guards: an unchecked server, a message that sends its reader in circles, and local control that
//! dies with the broker.

use drawbridge_support::mosquitto::{Mosquitto, Setup};
use drawbridge_support::pki::{BadClient, BadServer};
use serde_json::json;

use crate::home::{Home, QUICK};

/// What a run against a broker must come to.
struct Case {
    what: &'static str,
    reason: &'static str,
    advice: &'static str,
}

#[test]
fn s21_every_wrong_server_is_named_by_hub_and_command_line_and_local_control_goes_on() {
    let mut home = Home::paired(&[("Front", QUICK)]);
    let case = |how, what, reason, advice| {
        (
            how,
            Case {
                what,
                reason,
                advice,
            },
        )
    };
    let cases = [
        case(
            BadServer::OtherCa,
            "another CA",
            "not signed by a CA in our CA file",
            "into the CA file",
        ),
        case(
            BadServer::WrongName,
            "another host",
            "not for 'localhost' but for",
            "as its certificate spells it",
        ),
        case(
            BadServer::Expired,
            "expired",
            "expired on 2021-01-01",
            "renew the broker's certificate",
        ),
        case(
            BadServer::NotYetValid,
            "not yet valid",
            "not valid before 2090-01-01",
            "check this machine's clock",
        ),
        case(
            BadServer::SelfSigned,
            "self-signed",
            "self-signed",
            "signed by your CA",
        ),
    ];
    let mut port = home.broker.port();
    for (how, case) in cases {
        let server = home.pki.bad_server(how).unwrap();
        let setup = Setup {
            server: Some(server),
            ..Setup::default()
        };
        let broker = Mosquitto::start(&home.pki, &setup).unwrap();
        let to = broker.port();
        let from = home.reconfigure(&[(format!("port = {port}"), format!("port = {to}"))]);
        port = to;
        check(&home, &case, from, to);
        let log = broker.log();
        for word in [
            "Received CONNECT",
            "New client connected",
            "Received PUBLISH",
        ] {
            assert!(!log.contains(word), "{}: MQTT was spoken: {log}", case.what);
        }
    }
}

#[test]
fn s21_every_wrong_certificate_of_ours_is_named_and_local_control_goes_on() {
    let mut home = Home::paired(&[("Front", QUICK)]);
    let kinds = [
        (BadClient::OtherCa, "our certificate from another CA"),
        (BadClient::Expired, "our certificate expired"),
        (BadClient::NotYetValid, "our certificate not yet valid"),
        (BadClient::SelfSigned, "our certificate self-signed"),
    ];
    let old = std::fs::read_to_string(&home.hub.config).unwrap();
    for (how, what) in kinds {
        let mine = home.pki.bad_client("h1", how).unwrap();
        let changed = old
            .lines()
            .map(|line| match line.split(" = ").next() {
                Some("cert") => format!("cert = {:?}", mine.cert),
                Some("key") => format!("key = {:?}", mine.key),
                _ => line.to_owned(),
            })
            .collect::<Vec<_>>()
            .join("\n");
        std::fs::write(&home.hub.config, changed).unwrap();
        let from = home.hub.start_again().unwrap();
        let line = home.hub.wait_for_log("broker_down", from, 20).unwrap();
        println!("{what}: {line}");
        assert!(line.contains("certificate"), "{what}: {line}");
        assert!(!line.contains("advice=\"\""), "{what}: no advice in {line}");
        let said = home.done(&["lock", "Front", "--local"]);
        assert_eq!(said["proven"], json!(true), "{what}: {said}");
        // The command line with that certificate.
        let words = [
            "status",
            "--cert",
            mine.cert.to_str().unwrap(),
            "--key",
            mine.key.to_str().unwrap(),
        ];
        let said = home.owner.run(&words).unwrap();
        assert!(matches!(said.code, 2 | 4), "{what}: {said:?}");
        let text = format!("{}{}", said.out, said.err);
        assert!(
            text.contains("certificate") && text.contains("next"),
            "{what}: {said:?}"
        );
    }
}

/// A certificate file that is not there: named by `--check`, by the hub's log, by the command line.
#[test]
fn s21_a_missing_certificate_is_named_with_its_file() {
    let mut home = Home::paired(&[("Front", QUICK)]);
    let text = std::fs::read_to_string(&home.hub.config).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("cert = "))
        .unwrap()
        .to_owned();
    let missing = home.folder.path().join("no-such.pem");
    let from = home.reconfigure(&[(line, format!("cert = {missing:?}"))]);
    let check = std::process::Command::new(
        drawbridge_support::household::Programs::shared().path("drawbridged"),
    )
    .args(["--check", "--config"])
    .arg(&home.hub.config)
    .output()
    .unwrap();
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert_eq!(check.status.code(), Some(2), "{said}");
    assert!(
        said.contains("[broker] cert") && said.contains("no-such.pem"),
        "{said}"
    );
    let down = home.hub.wait_for_log("broker_down", from, 20).unwrap();
    assert!(down.contains("no-such.pem"), "{down}");
    let done = home.done(&["lock", "Front", "--local"]);
    assert_eq!(done["proven"], json!(true));
    let words = ["status", "--cert", missing.to_str().unwrap()];
    let said = home.owner.run(&words).unwrap();
    assert!(matches!(said.code, 2 | 4), "{said:?}");
    assert!(
        said.err.contains("no-such.pem") || said.out.contains("no-such.pem"),
        "{said:?}"
    );
}

fn check(home: &Home, case: &Case, from: usize, port: u16) {
    let line = home.hub.wait_for_log("broker_down", from, 20).unwrap();
    assert!(line.contains(case.reason), "{}: {line}", case.what);
    assert!(line.contains(case.advice), "{}: {line}", case.what);
    let before = home.lock("Front").motor_starts().unwrap();
    let said = home.done(&["lock", "Front", "--local"]);
    assert_eq!(said["proven"], json!(true), "{}: {said}", case.what);
    assert_eq!(home.lock("Front").motor_starts().unwrap(), before + 1);
    let port = port.to_string();
    for words in [
        ["unlock", "Front", "--port", &port].as_slice(),
        &["status", "--port", &port],
    ] {
        let said = home.owner.run(words).unwrap();
        assert_eq!(said.code, 4, "{}: {said:?}", case.what);
        let text = format!("{}{}", said.out, said.err);
        assert!(
            text.contains(case.reason) && text.contains(case.advice),
            "{}: {said:?}",
            case.what
        );
    }
    let said = home.owner.run(&["doctor", "--port", &port]).unwrap();
    assert_eq!(said.code, 1, "{}: {said:?}", case.what);
    assert!(said.out.contains(case.reason), "{}: {said:?}", case.what);
    assert_eq!(home.lock("Front").motor_starts().unwrap(), before + 1);
}
