//! The demo's embedded broker lets in nobody without a certificate, keeps roles apart by the
//! shipped access list, and speaks the hybrid key exchange with the hub's own plane (S31, S33).

use std::time::Duration;

use drawbridge_behaviour::hub::{Hub, config, message, run};
use drawbridge_daemon::cloud::{CloudAction, CloudEvent};
use drawbridge_support::broker::Broker;
use drawbridge_support::mosquitto::find_program;
use drawbridge_support::pki::{BadClient, Identity, Pki};

const SOON: Duration = Duration::from_secs(10);

// Guards: a demo broker that only looks like the real one.
#[test]
fn embedded_broker_carries_a_command_and_its_result_over_the_hybrid_exchange() {
    run(async {
        let dir = tempfile::tempdir().expect("a folder");
        let pki = Pki::create(dir.path()).expect("a CA");
        let broker = Broker::start(&pki, "").await.expect("a broker");
        let (hub_cert, app_cert) = (
            pki.client("h1").expect("hub"),
            pki.client("app:a1").expect("app"),
        );
        let mut hub = Hub::start(config(&pki, &hub_cert, "h1", broker.port(), dir.path()));
        let group = hub
            .wait("connection", SOON, |event| match event {
                CloudEvent::Up { tls_group, .. } => Some(tls_group),
                CloudEvent::Down { reason, .. } => panic!("{reason}"),
                _ => None,
            })
            .await;
        assert_eq!(group, "X25519MLKEM768");

        // A foreign app (mosquitto_pub) sends a command with its own certificate.
        let topic = "drawbridge/h1/lock/l1/command";
        let said = publish_as(&pki, &app_cert, broker.port(), topic).await;
        assert_eq!(said, "", "the command was refused");
        hub.wait("command", SOON, |event| match event {
            CloudEvent::Message {
                topic: got,
                payload,
                ack,
                ..
            } => {
                assert_eq!(
                    (got.as_str(), payload.as_slice()),
                    (topic, b"go".as_slice())
                );
                {
                    ack.ack();
                    Some(())
                }
            }
            _ => None,
        })
        .await;
        let said = publish_as(
            &pki,
            &app_cert,
            broker.port(),
            "drawbridge/h1/lock/l1/state",
        )
        .await;
        assert!(
            said.contains("Not authorized"),
            "an app forged a lock's state: {said:?}"
        );

        hub.publish(1, "drawbridge/h1/lock/l1/result", b"done");
        hub.wait("PUBACK", SOON, |event| match event {
            CloudEvent::Published { ticket: 1 } => Some(()),
            _ => None,
        })
        .await;
    });
}

// Guards (S31): the embedded broker as the open broker of the demo.
#[test]
fn s31_embedded_broker_keeps_hubs_apart() {
    run(async {
        let dir = tempfile::tempdir().expect("a folder");
        let pki = Pki::create(dir.path()).expect("a CA");
        let broker = Broker::start(&pki, "").await.expect("a broker");
        let who = pki.client("h1").expect("a certificate");
        for filter in ["#", "+/+", "$share/g/#", "drawbridge/h2/#"] {
            let mut config = config(&pki, &who, "h1", broker.port(), dir.path());
            config.filters = vec![filter.to_owned()];
            let reason = Hub::start(config).down(SOON).await;
            assert!(reason.contains("refused"), "{filter}: {reason}");
        }
        let mut hub = Hub::start(config(&pki, &who, "h1", broker.port(), dir.path()));
        hub.up().await;
        hub.send(CloudAction::Publish(message(
            9,
            "drawbridge/h2/state",
            b"forged",
        )));
        hub.wait("refusal", SOON, |event| match event {
            CloudEvent::PublishFailed {
                ticket: 9,
                is_temporary: false,
                ..
            } => Some(()),
            CloudEvent::Published { ticket: 9 } => panic!("accepted"),
            _ => None,
        })
        .await;
    });
}

// Guards (S33): somebody else's client id, or no certificate of our CA.
#[test]
fn s33_embedded_broker_ties_client_id_to_certificate() {
    run(async {
        let dir = tempfile::tempdir().expect("a folder");
        let pki = Pki::create(dir.path()).expect("a CA");
        let broker = Broker::start(&pki, "").await.expect("a broker");
        let who = pki.client("h2").expect("a certificate");
        let mut thief = config(&pki, &who, "h2", broker.port(), dir.path());
        thief.client_id = "h1".to_owned();
        let reason = Hub::start(thief).down(SOON).await;
        assert!(reason.contains("ClientIdentifierNotValid"), "{reason}");
        for how in [BadClient::OtherCa, BadClient::SelfSigned] {
            let who = pki.bad_client("h1", how).expect("a certificate");
            let stranger = config(&pki, &who, "h1", broker.port(), dir.path());
            let reason = Hub::start(stranger).down(SOON).await;
            assert!(
                reason.contains("refused our certificate"),
                "{how:?}: {reason}"
            );
        }
    });
}

/// Publishes `go` with QoS 1; returns what the program complained about.
async fn publish_as(pki: &Pki, who: &Identity, port: u16, topic: &str) -> String {
    let output = tokio::process::Command::new(find_program("mosquitto_pub").expect("installed"))
        .args([
            "-V",
            "5",
            "-h",
            "localhost",
            "-p",
            &port.to_string(),
            "-i",
            &who.name,
        ])
        .arg("--cafile")
        .arg(pki.ca_file())
        .arg("--cert")
        .arg(&who.cert)
        .arg("--key")
        .arg(&who.key)
        .args(["-q", "1", "-t", topic, "-m", "go"])
        .output()
        .await
        .expect("mosquitto_pub runs");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
