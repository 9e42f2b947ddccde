//! The cloud plane against mosquitto: what "published", "acknowledged" and "connected" mean.

use std::time::{Duration, Instant};

use drawbridge_behaviour::hub::{Hub, config, message, run};
use drawbridge_daemon::cloud::{CloudAction, CloudEvent, probe};
use drawbridge_support::foreign::{self, Listener, Sent};
use drawbridge_support::mosquitto::{Mosquitto, Setup};
use drawbridge_support::pki::{BadClient, Pki};

const SOON: Duration = Duration::from_secs(10);

struct Bench {
    dir: tempfile::TempDir,
    pki: Pki,
    broker: Mosquitto,
}

fn bench(setup: &Setup) -> Bench {
    let dir = tempfile::tempdir().expect("a folder");
    let pki = Pki::create(dir.path()).expect("a CA");
    let broker = Mosquitto::start(&pki, setup).expect("mosquitto");
    Bench { dir, pki, broker }
}

impl Bench {
    fn hub(&self) -> Hub {
        let who = self.pki.client("h1").expect("a certificate");
        Hub::start(config(
            &self.pki,
            &who,
            "h1",
            self.broker.port(),
            self.dir.path(),
        ))
    }
}

fn published(ticket: u64) -> impl FnMut(CloudEvent) -> Option<()> {
    move |event| match event {
        CloudEvent::Published { ticket: got } if got == ticket => Some(()),
        _ => None,
    }
}

// Guards: an outbox that deletes what the broker never had.
#[test]
fn published_only_after_the_broker_has_it() {
    let bench = bench(&Setup::default());
    let app = bench.pki.client("app:a1").expect("a certificate");
    run(async {
        let listener = Listener::start(
            &bench.broker,
            &app,
            &["drawbridge/h1/lock/#", "drawbridge/h1/state"],
        )
        .expect("a foreign listener");
        let mut hub = bench.hub();
        hub.up().await;
        let seen = |topic: &'static str, payload: &'static [u8]| {
            listener.wait_for(SOON, move |m| m.topic == topic && m.payload == payload)
        };
        assert!(seen("drawbridge/h1/state", b"online").is_some());
        hub.publish(7, "drawbridge/h1/lock/l1/event", b"one");
        hub.wait("PUBACK", SOON, published(7)).await;
        assert!(seen("drawbridge/h1/lock/l1/event", b"one").is_some());

        // Frozen, the broker has nothing: no "published" may come.
        bench.broker.freeze().expect("SIGSTOP");
        hub.publish(8, "drawbridge/h1/lock/l1/event", b"two");
        let (reason, unsure) = hub
            .wait("failure", SOON, |event| match event {
                CloudEvent::PublishFailed {
                    ticket: 8,
                    reason,
                    is_temporary,
                    may_have_succeeded,
                } => {
                    assert!(is_temporary);
                    Some((reason, may_have_succeeded))
                }
                CloudEvent::Published { ticket } => panic!("{ticket} published to a frozen broker"),
                _ => None,
            })
            .await;
        assert!(unsure, "{reason}");
        bench.broker.thaw().expect("SIGCONT");
        hub.up().await;
        hub.send(CloudAction::Shutdown {
            drain: Duration::from_secs(1),
        });
        assert!(seen("drawbridge/h1/state", b"offline").is_some());
    });
}

// Guards: a command acknowledged before it is on disk is lost with the power (accepted means
// durable).
#[test]
fn unacknowledged_command_comes_again_after_reconnecting_and_an_acknowledged_one_does_not() {
    let mut bench = bench(&Setup::default());
    let app = bench.pki.client("app:a1").expect("a certificate");
    let topic = "drawbridge/h1/lock/l1/command";
    run(async {
        let mut hub = bench.hub();
        assert!(!hub.up().await, "a new session");
        for payload in [b"first".as_slice(), b"second"] {
            let more = ["-D", "publish", "correlation-data", "c1"];
            let sent = foreign::publish(&bench.broker, &app, topic, payload, &more);
            assert_eq!(sent.expect("mosquitto_pub"), Sent::Accepted);
        }
        let next = |event| match event {
            CloudEvent::Message {
                topic,
                payload,
                dup,
                correlation,
                retain,
                ack,
                ..
            } => Some((topic, payload, dup, correlation, retain, ack)),
            _ => None,
        };
        let (got, payload, _, correlation, retain, ack) = hub.wait("command", SOON, next).await;
        assert_eq!(
            (got.as_str(), payload.as_slice(), retain),
            (topic, b"first".as_slice(), false)
        );
        assert_eq!(correlation.as_deref(), Some(b"c1".as_slice()));
        ack.ack();
        let (_, payload, _, _, _, stale) = hub.wait("command", SOON, next).await;
        assert_eq!(payload, b"second");

        // The receipt of the first must be out before the broker goes.
        hub.publish(1, "drawbridge/h1/health", b"x");
        hub.wait("PUBACK", SOON, published(1)).await;
        bench.broker.start_again().expect("a restart");
        hub.down(SOON).await;
        // A resumed session delivers before it answers our SUBSCRIBE, so before `Up`.
        let (_, payload, dup, _, _, ack) = hub.wait("redelivery", SOON, next).await;
        assert!(hub.up().await, "the broker kept the session");
        assert_eq!((payload.as_slice(), dup), (b"second".as_slice(), true));
        // A token of the old connection acknowledges nothing here.
        stale.ack();
        ack.ack();
        hub.publish(2, "drawbridge/h1/health", b"y");
        hub.wait(
            "PUBACK without another redelivery",
            SOON,
            |event| match event {
                CloudEvent::Published { ticket: 2 } => Some(()),
                CloudEvent::Message { payload, .. } => panic!("{payload:?} came again"),
                _ => None,
            },
        )
        .await;
    });
}

// Guards (F07): a broker that forgot our session answers CONNECT and never sends a command again.
#[test]
fn f07_forgotten_session_is_subscribed_and_publishing_again_within_5_s() {
    let mut bench = bench(&Setup::default());
    let app = bench.pki.client("app:a1").expect("a certificate");
    run(async {
        let mut hub = bench.hub();
        hub.up().await;
        bench.broker.start_again_empty().expect("a restart");
        let back = Instant::now();
        hub.down(SOON).await;
        assert!(
            !hub.up().await,
            "the broker must have forgotten the session"
        );
        let topic = "drawbridge/h1/lock/l1/command";
        let sent = foreign::publish(&bench.broker, &app, topic, b"go", &[]);
        assert_eq!(sent.expect("mosquitto_pub"), Sent::Accepted);
        hub.wait("command", SOON, |event| match event {
            CloudEvent::Message { ack, .. } => {
                ack.ack();
                Some(())
            }
            _ => None,
        })
        .await;
        hub.publish(3, "drawbridge/h1/lock/l1/result", b"done");
        hub.wait("PUBACK", SOON, published(3)).await;
        let took = back.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        println!("F07 forgotten session: working again after {took:?}, goal 5 s");
    });
}

// Guards: one oversized document that ends every connection for ever (rumqttc's poison message).
#[test]
fn oversized_publish_is_refused_here_and_harms_nobody() {
    let setup = Setup::default().with_replaced("max_packet_size 262144", "max_packet_size 2000");
    let bench = bench(&setup);
    run(async {
        let mut hub = bench.hub();
        let max = hub
            .wait("connection", SOON, |event| match event {
                CloudEvent::Up { max_packet, .. } => Some(max_packet),
                _ => None,
            })
            .await;
        assert_eq!(max, 2000, "the broker's limit from CONNACK");
        hub.publish(1, "drawbridge/h1/health", &[b'x'; 2000]);
        hub.publish(2, "drawbridge/h1/+/oops", b"wildcard");
        hub.publish(3, "drawbridge/h1/health", b"small");
        let mut failed = Vec::new();
        hub.wait("PUBACK of the small one", SOON, |event| match event {
            CloudEvent::PublishFailed {
                ticket,
                reason,
                is_temporary,
                may_have_succeeded,
            } => {
                assert!(!is_temporary && !may_have_succeeded);
                failed.push((ticket, reason));
                None
            }
            CloudEvent::Published { ticket: 3 } => Some(()),
            CloudEvent::Down { reason, .. } => panic!("the connection ended: {reason}"),
            _ => None,
        })
        .await;
        assert_eq!(failed.iter().map(|f| f.0).collect::<Vec<_>>(), [1, 2]);
        assert!(failed[0].1.contains("2000 are allowed"), "{failed:?}");
        assert!(failed[1].1.contains("not a valid topic"), "{failed:?}");
    });
}

// Guards (F08): the kernel of a hung broker still acknowledges TCP, so only MQTT can notice.
#[test]
fn f08_half_open_broker_is_noticed_within_10_s_and_left_once_it_answers() {
    let bench = bench(&Setup::default());
    run(async {
        let mut hub = bench.hub();
        hub.up().await;
        // Past the first exchange, so that nothing is under way when the broker stops.
        tokio::time::sleep(Duration::from_secs(2)).await;
        bench.broker.freeze().expect("SIGSTOP");
        let frozen = Instant::now();
        let reason = hub.down(Duration::from_secs(15)).await;
        let took = frozen.elapsed();
        println!("F08 half-open broker: noticed after {took:?}, goal 10 s ({reason})");
        assert!(took <= Duration::from_secs(10), "{took:?}");
        bench.broker.thaw().expect("SIGCONT");
        hub.up().await;
    });
}

// Guards (F06): reconnecting that needs luck, or sleeps through the broker's return.
#[test]
fn f06_broker_restart_reconnects_within_5_s() {
    let mut bench = bench(&Setup::default());
    run(async {
        let mut hub = bench.hub();
        hub.up().await;
        let mut times = Vec::new();
        for round in 0..3 {
            bench.broker.kill().expect("SIGKILL");
            hub.down(SOON).await;
            hub.publish(round, "drawbridge/h1/health", b"x");
            hub.wait("refusal while down", SOON, |event| match event {
                CloudEvent::PublishFailed {
                    ticket,
                    is_temporary: true,
                    ..
                } => (ticket == round).then_some(()),
                _ => None,
            })
            .await;
            bench.broker.start_again().expect("a restart");
            let back = Instant::now();
            hub.up().await;
            times.push(back.elapsed());
        }
        println!("F06 3 of 100 restarts: {times:?}, goal p99 5 s");
        assert!(
            times.iter().all(|time| *time <= Duration::from_secs(5)),
            "{times:?}"
        );
    });
}

// Guards (F19): commands' answers that wait behind a flood of telemetry.
#[test]
fn f19_urgent_message_overtakes_queued_telemetry() {
    let bench = bench(&Setup::default());
    run(async {
        let mut hub = bench.hub();
        hub.up().await;
        for ticket in 0..200 {
            let mut out = message(ticket, "drawbridge/h1/health", &[b'x'; 4000]);
            out.priority = drawbridge_daemon::cloud::Priority::Telemetry;
            hub.send(CloudAction::Publish(out));
        }
        hub.publish(1000, "drawbridge/h1/lock/l1/result", b"done");
        let mut before = 0;
        hub.wait("PUBACK of the result", SOON, |event| match event {
            CloudEvent::Published { ticket: 1000 } => Some(()),
            CloudEvent::Published { .. } => {
                before += 1;
                None
            }
            _ => None,
        })
        .await;
        println!("F19 telemetry before the urgent one: {before} of 200");
        assert!(
            before < 100,
            "{before} of 200 telemetry messages came first"
        );
    });
}

// Guards: `doctor` that says "TLS failed" where it could say what to do.
#[test]
fn probe_tells_each_step_and_where_it_ends() {
    let bench = bench(&Setup::default());
    let who = bench.pki.client("h1").expect("a certificate");
    run(async {
        let good = config(
            &bench.pki,
            &who,
            "h1",
            bench.broker.port(),
            bench.dir.path(),
        );
        let findings = probe::probe(&good).await;
        let names: Vec<_> = findings
            .iter()
            .map(|f| (f.step.name(), f.result.is_ok()))
            .collect();
        let all = ["files", "dns", "tcp", "tls", "mqtt"].map(|name| (name, true));
        assert_eq!(names, all, "{findings:?}");
        let tls = findings[3].result.as_ref().expect("TLS");
        for part in ["TLSv1_3", "X25519", "TLS13_", "2049-12-31"] {
            assert!(tls.contains(part), "{tls}");
        }

        let refused = bench
            .pki
            .bad_client("h1", BadClient::OtherCa)
            .expect("a certificate");
        let bad = config(
            &bench.pki,
            &refused,
            "h1",
            bench.broker.port(),
            bench.dir.path(),
        );
        let findings = probe::probe(&bad).await;
        let last = findings
            .last()
            .expect("a finding")
            .result
            .clone()
            .expect_err("refused");
        assert!(
            last.reason.contains("the broker refused our certificate"),
            "{last:?}"
        );

        let mut gone = good;
        gone.endpoint.port = drawbridge_support::mosquitto::free_port().expect("a port");
        let findings = probe::probe(&gone).await;
        assert_eq!(
            findings.len(),
            3,
            "nothing after the failed step: {findings:?}"
        );
        assert!(
            findings[2]
                .result
                .as_ref()
                .is_err_and(|p| p.advice.contains("firewall"))
        );
    });
}
