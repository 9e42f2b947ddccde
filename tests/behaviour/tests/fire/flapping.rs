//! F06: a broker that lets the hub in and throws it out, or does not let it in.
//!
//! Guards: a hub that answers "go away" with a TLS handshake every few milliseconds, and a journal
//! that only says "connection lost".

use std::time::Duration;

use drawbridge_support::proxy::{Door, Proxy, Rules};
use drawbridge_support::raw_broker::{Heard, Peer, RawBroker, connack, packet};

use crate::home::{Ca, House};

/// How long each broker is watched.
const WATCHED: Duration = Duration::from_secs(8);
/// Attempts in that time that chance cannot bring about: the waits are uniform up to 0.2, 0.4, 0.8
/// and then 1.5 s, so that 14 are expected. A loop without a wait makes thousands.
const PATIENT: usize = 45;
/// After a refusal the waits are uniform up to 5, 10, 20 s, ...
const MEEK: usize = 8;

/// What the hub must say, and how many attempts it may make.
struct Case {
    id: &'static str,
    what: &'static str,
    reason: &'static str,
    advice: &'static str,
    most: usize,
}

fn case(id: &'static str, what: &'static str, reason: &'static str, most: usize) -> Case {
    Case {
        id,
        what,
        reason,
        advice: "",
        most,
    }
}

/// Watches a hub that was started a moment ago.
fn watch(case: &Case, house: &mut House, least: usize) {
    std::thread::sleep(WATCHED);
    let attempts = house.count("cloud_down", 0);
    let told = house.count("broker_down", 0);
    println!(
        "F06 {}: {attempts} attempts in {WATCHED:?}, {told} lines about it",
        case.what
    );
    assert!(
        (least..=case.most).contains(&attempts),
        "{}: {attempts} attempts; {}",
        case.what,
        house.hub.log_tail()
    );
    let (line, _) = house.wait_for("broker_down", 0, 10);
    assert!(line.contains(case.reason), "{}: {line}", case.what);
    assert!(line.contains(case.advice), "{}: {line}", case.what);
    assert!(house.hub.is_running(), "{}", case.what);
}

#[test]
fn f06_broker_behind_a_closed_door_is_asked_patiently_with_the_reason_told_once() {
    let ca = Ca::new();
    let cases = [
        (
            Door::Refuse,
            Case {
                advice: "check that the broker runs",
                ..case("h31", "nobody listens", "Connection refused", PATIENT)
            },
        ),
        (
            Door::Slam,
            case("h32", "closed before TLS", "starting TLS", PATIENT),
        ),
    ];
    std::thread::scope(|scope| {
        for (door, case) in &cases {
            let ca = &ca;
            scope.spawn(move || {
                let proxy = Proxy::start(1, 1).unwrap();
                proxy.set(Rules {
                    door: *door,
                    ..Rules::default()
                });
                std::thread::sleep(Duration::from_millis(50));
                let mut house = House::new(ca, case.id, proxy.port(), &[]);
                watch(case, &mut house, 3);
                // The same reason again is no news.
                assert!(
                    house.count("broker_down", 0) <= 4,
                    "{}",
                    house.hub.log_tail()
                );
            });
        }
    });
}

#[test]
fn f06_broker_that_accepts_and_throws_out_is_no_busy_loop() {
    let ca = Ca::new();
    type Serve = fn(&mut Peer) -> std::io::Result<()>;
    let cases: [(Case, Serve); 3] = [
        (
            case("h41", "closed after TLS", "closed the connection", PATIENT),
            |_| Ok(()),
        ),
        (
            case(
                "h42",
                "closed once all is proven",
                "closed the connection",
                PATIENT,
            ),
            |peer| {
                serve_until_proven(peer)?;
                // What was written last must arrive before the end does.
                peer.obey_until(Duration::from_millis(200), |_| false)?;
                Ok(())
            },
        ),
        (
            Case {
                advice: "copied certificate",
                ..case(
                    "h43",
                    "another client with our id",
                    "SessionTakenOver",
                    PATIENT,
                )
            },
            |peer| {
                serve_until_proven(peer)?;
                peer.obey_until(Duration::from_millis(200), |_| false)?;
                peer.send(&packet(0xE0, &[0x8E, 0]))?;
                peer.obey_until(Duration::from_secs(5), |_| false)?;
                Ok(())
            },
        ),
    ];
    std::thread::scope(|scope| {
        for (case, serve) in &cases {
            let (ca, serve) = (&ca, *serve);
            scope.spawn(move || {
                let broker = RawBroker::start(&ca.pki, serve).unwrap();
                let mut house = House::new(ca, case.id, broker.port(), &[]);
                watch(case, &mut house, 3);
                assert!(broker.accepted() <= case.most + 1);
            });
        }
    });
}

/// Until the hub has its own message back.
fn serve_until_proven(peer: &mut Peer) -> std::io::Result<()> {
    let proven =
        |heard: &Heard| matches!(heard, Heard::Publish { topic, .. } if topic.ends_with("/live"));
    peer.obey_until(Duration::from_secs(10), proven)?;
    Ok(())
}

#[test]
fn f06_refusal_in_connack_is_named_and_answered_with_long_waits() {
    let ca = Ca::new();
    let cases: [(u8, Case); 6] = [
        (
            0x86,
            Case {
                advice: "certificate has a user there",
                ..case("h51", "bad user name", "BadUserNamePassword", MEEK)
            },
        ),
        (
            0x87,
            Case {
                advice: "certificate has a user there",
                ..case("h52", "not authorised", "NotAuthorized", MEEK)
            },
        ),
        (0x89, case("h53", "server busy", "ServerBusy", MEEK)),
        (0x97, case("h54", "quota exceeded", "QuotaExceeded", MEEK)),
        (
            0x9F,
            case("h55", "rate exceeded", "ConnectionRateExceeded", MEEK),
        ),
        (
            0x84,
            Case {
                advice: "the broker must speak MQTT 5",
                ..case("h56", "no MQTT 5", "ProtocolVersion", MEEK)
            },
        ),
    ];
    std::thread::scope(|scope| {
        for (code, case) in &cases {
            let (ca, code) = (&ca, *code);
            scope.spawn(move || {
                let broker = RawBroker::start(&ca.pki, move |peer| {
                    peer.hear(Duration::from_secs(10))?;
                    peer.send(&connack(code, &[]))?;
                    peer.obey_until(Duration::from_secs(5), |_| false)?;
                    Ok(())
                })
                .unwrap();
                let mut house = House::new(ca, case.id, broker.port(), &[]);
                watch(case, &mut house, 1);
            });
        }
    });
}
