//! S31: open broker (seen at Ultraloq). With the access list that ships, one hub's certificate
//! reads and writes nothing of another hub, whatever it subscribes to, while traffic flows.
//!
//! mosquitto 2.0 answers such a SUBSCRIBE with 0 and filters at delivery, so what counts is what
//! is delivered. Controls show that the traffic exists and that the listener hears its own tree.

use std::time::{Duration, Instant};

use drawbridge_behaviour::hub::{Hub, config, message, run};
use drawbridge_daemon::cloud::{CloudAction, CloudEvent, Priority};
use drawbridge_support::foreign::{self, Listener, Sent};
use drawbridge_support::mosquitto::{Mosquitto, Setup};
use drawbridge_support::pki::{BadClient, Pki};

const FULL: u64 = 60;

/// 60 s in the full lane, 3 s in the quick one (`DRAWBRIDGE_LANE`, quick when unset).
fn seconds() -> u64 {
    match std::env::var("DRAWBRIDGE_LANE").as_deref() {
        Ok("full") => FULL,
        Ok("quick") | Err(_) => 3,
        Ok(other) => panic!("DRAWBRIDGE_LANE is '{other}', wanted full or quick"),
    }
}

#[test]
fn s31_hub_a_hears_nothing_of_hub_b_and_cannot_speak_for_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let pki = Pki::create(dir.path()).expect("a CA");
    let broker =
        Mosquitto::start(&pki, &Setup::default().with_app("app:b1", "h2")).expect("mosquitto");
    let client = |name| pki.client(name).expect("a certificate");
    let (hub_a, hub_b, app_a, app_b) = (
        client("h1"),
        client("h2"),
        client("app:a1"),
        client("app:b1"),
    );
    run(async {
        // Hub B is our own plane; its app commands it; its state documents are retained.
        let mut b = Hub::start(config(&pki, &hub_b, "h2", broker.port(), dir.path()));
        b.up().await;
        for topic in ["info", "locks", "lock/l1/state"] {
            let mut out = message(1, &format!("drawbridge/h2/{topic}"), b"retained");
            out.retain = true;
            b.send(CloudAction::Publish(out));
        }
        let filters = [
            "#",
            "+/+",
            "+/+/#",
            "$SYS/#",
            "$share/g/#",
            "$share/g/drawbridge/h2/#",
            "drawbridge/#",
            "drawbridge/+/lock/+/command",
            "drawbridge/h2/#",
            "drawbridge/h2/lock/l1/command",
        ];
        let spy = Listener::start(&broker, &hub_a, &filters).expect("a listener");
        println!(
            "S31 the broker's answer to hub A: {}",
            subscribed(&spy.chatter())
        );

        let wanted = Duration::from_secs(seconds());
        let seed = std::env::var("DRAWBRIDGE_SEED").unwrap_or_else(|_| "0".to_owned());
        println!(
            "COUNT s31_seconds {} {} of {FULL} seed {seed}",
            lane(),
            wanted.as_secs()
        );
        let until = Instant::now() + wanted;
        let (mut sent, mut acked, mut commands) = (0_u64, 0_u64, 0_u64);
        let mut next_command = Instant::now();
        while Instant::now() < until {
            let mut out = message(sent, "drawbridge/h2/lock/l1/event", b"b's event");
            out.priority = Priority::Telemetry;
            if b.sender.try_send(CloudAction::Publish(out)).is_ok() {
                sent += 1;
            }
            while let Ok(event) = b.events.try_recv() {
                match event {
                    CloudEvent::Published { .. } => acked += 1,
                    CloudEvent::Message { ack, .. } => {
                        commands += 1;
                        ack.ack();
                    }
                    CloudEvent::Down { reason, .. } => panic!("hub B lost its broker: {reason}"),
                    _ => {}
                }
            }
            if Instant::now() >= next_command {
                next_command += Duration::from_millis(500);
                let topic = "drawbridge/h2/lock/l1/command";
                let result = foreign::publish(&broker, &app_b, topic, b"command", &[]);
                assert_eq!(result.expect("mosquitto_pub"), Sent::Accepted);
                let own =
                    foreign::publish(&broker, &app_a, "drawbridge/h1/req/lock.pair", b"x", &[]);
                assert_eq!(own.expect("mosquitto_pub"), Sent::Accepted);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(
            acked > 50 && commands > 3,
            "too little traffic: {acked} acked, {commands} commands"
        );
        let seen = spy.seen();
        let own = seen
            .iter()
            .filter(|m| m.topic.starts_with("drawbridge/h1/"))
            .count();
        let foreign: Vec<_> = seen
            .iter()
            .filter(|m| !m.topic.starts_with("drawbridge/h1/"))
            .collect();
        println!(
            "S31 {acked} events and {commands} commands of hub B; hub A heard {own} of its own, {} foreign",
            foreign.len()
        );
        assert!(own > 0, "the spy hears nothing at all: {}", spy.chatter());
        assert!(foreign.is_empty(), "hub A heard {foreign:?}");
        drop(spy);

        // Speaking for hub B.
        for topic in [
            "drawbridge/h2/state",
            "drawbridge/h2/lock/l1/command",
            "drawbridge/h2/lock/l1/result",
            "drawbridge/h2/res/lock.list",
            "drawbridge/state",
            "$SYS/broker/log",
        ] {
            let result = foreign::publish(&broker, &hub_a, topic, b"forged", &[]);
            let Sent::Refused(said) = result.expect("mosquitto_pub") else {
                panic!("{topic}: accepted from hub A");
            };
            println!("S31 publish to {topic}: {}", said.trim());
        }
        while let Ok(event) = b.events.try_recv() {
            if let CloudEvent::Message { payload, .. } = event {
                assert_ne!(payload, b"forged", "hub B got hub A's forgery");
            }
        }
    });
}

// Guards: the plane must say "not authorised", and not as something that time heals.
#[test]
fn s31_our_own_plane_reports_a_refused_publish_as_permanent() {
    let dir = tempfile::tempdir().expect("a folder");
    let pki = Pki::create(dir.path()).expect("a CA");
    let broker = Mosquitto::start(&pki, &Setup::default()).expect("mosquitto");
    let who = pki.client("h1").expect("a certificate");
    run(async {
        let mut hub = Hub::start(config(&pki, &who, "h1", broker.port(), dir.path()));
        hub.up().await;
        hub.publish(5, "drawbridge/h2/state", b"forged");
        let (reason, temporary) = hub
            .wait("refusal", Duration::from_secs(10), |event| match event {
                CloudEvent::PublishFailed {
                    ticket: 5,
                    reason,
                    is_temporary,
                    ..
                } => Some((reason, is_temporary)),
                CloudEvent::Published { ticket: 5 } => panic!("accepted"),
                _ => None,
            })
            .await;
        assert!(reason.contains("NotAuthorized") && !temporary, "{reason}");
    });
}

// Guards (S33): a broker that lets in certificates it should not, and a hub that hides why.
#[test]
fn s33_broker_refuses_foreign_and_expired_certificates() {
    let dir = tempfile::tempdir().expect("a folder");
    let pki = Pki::create(dir.path()).expect("a CA");
    let broker = Mosquitto::start(&pki, &Setup::default()).expect("mosquitto");
    for how in [
        BadClient::OtherCa,
        BadClient::SelfSigned,
        BadClient::Expired,
    ] {
        let who = pki.bad_client("h1", how).expect("a certificate");
        let result = foreign::publish(&broker, &who, "drawbridge/h1/state", b"x", &[]);
        assert!(
            matches!(result.expect("mosquitto_pub"), Sent::Refused(_)),
            "{how:?}"
        );
    }
    run(async {
        let who = pki
            .bad_client("h1", BadClient::OtherCa)
            .expect("a certificate");
        let mut hub = Hub::start(config(&pki, &who, "h1", broker.port(), dir.path()));
        let reason = hub.down(Duration::from_secs(10)).await;
        assert!(
            reason.contains("the broker refused our certificate"),
            "{reason}"
        );
    });
}

fn lane() -> &'static str {
    if seconds() == FULL { "full" } else { "quick" }
}

fn subscribed(chatter: &str) -> String {
    chatter
        .lines()
        .find(|line| line.contains("Subscribed"))
        .unwrap_or("nothing")
        .to_owned()
}
