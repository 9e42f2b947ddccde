//! S21: TLS not validated (seen at Nuki, CVE-2022-32509). Against each kind of wrong server the
//! hub must refuse, say exactly why, and not send one byte of MQTT.
//!
//! The server here is a real TLS server that counts the plaintext bytes it receives; the hub's own
//! cloud plane is the client. A positive control shows that the counter counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use drawbridge_behaviour::hub::{Hub, config, run};
use drawbridge_daemon::cloud::CloudEvent;
use drawbridge_support::pki::{BadServer, Identity, Pki};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

struct CountingServer {
    port: u16,
    handshakes: Arc<AtomicUsize>,
    mqtt_bytes: Arc<AtomicUsize>,
}

async fn serve(
    pki: &Pki,
    identity: &Identity,
    versions: &[&'static SupportedProtocolVersion],
    ask_for_certificate: bool,
) -> CountingServer {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .expect("protocol versions");
    let builder = if ask_for_certificate {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(pki.ca_file()).expect("CA"))
            .expect("CA");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().expect("verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let chain = vec![CertificateDer::from_pem_file(&identity.cert).expect("certificate")];
    let key = PrivateKeyDer::from_pem_file(&identity.key).expect("key");
    let acceptor = TlsAcceptor::from(Arc::new(
        builder.with_single_cert(chain, key).expect("server"),
    ));
    let listener = TcpListener::bind(("localhost", 0)).await.expect("a port");
    let server = CountingServer {
        port: listener.local_addr().expect("address").port(),
        handshakes: Arc::default(),
        mqtt_bytes: Arc::default(),
    };
    let (handshakes, mqtt_bytes) = (
        Arc::clone(&server.handshakes),
        Arc::clone(&server.mqtt_bytes),
    );
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, handshakes, mqtt_bytes) = (
                acceptor.clone(),
                Arc::clone(&handshakes),
                Arc::clone(&mqtt_bytes),
            );
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(tcp).await else {
                    return;
                };
                handshakes.fetch_add(1, Ordering::SeqCst);
                let mut buffer = [0; 1024];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    mqtt_bytes.fetch_add(count, Ordering::SeqCst);
                }
            });
        }
    });
    server
}

/// The reason and advice of the first failure, after three failed attempts.
async fn refusal(pki: &Pki, server: &CountingServer) -> (String, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let who = pki.client("h1").expect("a certificate");
    let mut hub = Hub::start(config(pki, &who, "h1", server.port, dir.path()));
    let mut all = Vec::new();
    while all.len() < 3 {
        let down = hub
            .wait("refusal", Duration::from_secs(15), |event| match event {
                CloudEvent::Down { reason, advice, .. } => {
                    Some((reason, advice.unwrap_or_default().to_owned()))
                }
                CloudEvent::Up { .. } => panic!("the hub accepted this server"),
                _ => None,
            })
            .await;
        all.push(down);
    }
    assert!(
        all.iter().all(|down| down == &all[0]),
        "the reason changes: {all:?}"
    );
    all.swap_remove(0)
}

const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

#[test]
fn s21_every_wrong_server_is_refused_with_its_own_reason_and_zero_mqtt_bytes() {
    run(async {
        let dir = tempfile::tempdir().expect("a folder");
        let pki = Pki::create(dir.path()).expect("a CA");
        let good = pki.server().expect("a certificate");
        let bad = |how| pki.bad_server(how).expect("a certificate");
        let matrix = [
            (
                "wrong CA",
                bad(BadServer::OtherCa),
                TLS13,
                true,
                "not signed by a CA in our CA file",
            ),
            (
                "wrong name",
                bad(BadServer::WrongName),
                TLS13,
                true,
                "not for 'localhost' but for",
            ),
            (
                "expired",
                bad(BadServer::Expired),
                TLS13,
                true,
                "expired on 2021-01-01",
            ),
            (
                "not yet",
                bad(BadServer::NotYetValid),
                TLS13,
                true,
                "not valid before 2090-01-01",
            ),
            (
                "self-signed",
                bad(BadServer::SelfSigned),
                TLS13,
                true,
                "self-signed",
            ),
            (
                "TLS 1.2",
                good.clone(),
                TLS12,
                true,
                "only speaks an older version",
            ),
            (
                "no request",
                good,
                TLS13,
                false,
                "did not ask for a client certificate",
            ),
        ];
        let mut reasons = Vec::new();
        for (case, identity, versions, asks, wanted) in &matrix {
            let server = serve(&pki, identity, versions, *asks).await;
            let (reason, advice) = refusal(&pki, &server).await;
            assert!(reason.contains(wanted), "{case}: {reason}");
            assert!(!advice.is_empty(), "{case} comes without advice");
            assert_eq!(
                server.mqtt_bytes.load(Ordering::SeqCst),
                0,
                "{case}: MQTT bytes sent"
            );
            println!("S21 {case}: 0 MQTT bytes; {reason}");
            reasons.push(reason);
        }
        reasons.sort();
        reasons.dedup();
        assert_eq!(
            reasons.len(),
            matrix.len(),
            "two cases share a text: {reasons:?}"
        );
    });
}

// Guards: a counter that never counts would make the test above green for any client.
#[test]
fn s21_control_a_good_server_does_get_mqtt_bytes() {
    run(async {
        let dir = tempfile::tempdir().expect("a folder");
        let pki = Pki::create(dir.path()).expect("a CA");
        let identity = pki.server().expect("a certificate");
        let server = serve(&pki, &identity, TLS13, true).await;
        let who = pki.client("h1").expect("a certificate");
        let mut config = config(&pki, &who, "h1", server.port, dir.path());
        config.timing.handshake = Duration::from_secs(1);
        let mut hub = Hub::start(config);
        let reason = hub.down(Duration::from_secs(10)).await;
        assert!(reason.contains("CONNACK"), "{reason}");
        assert_eq!(server.handshakes.load(Ordering::SeqCst), 1);
        assert!(server.mqtt_bytes.load(Ordering::SeqCst) > 20);
    });
}

// Guards: a plain MQTT port behind the configured address must not get our CONNECT in clear.
#[test]
fn s21_server_without_tls_is_told_apart() {
    run(async {
        let dir = tempfile::tempdir().expect("a folder");
        let pki = Pki::create(dir.path()).expect("a CA");
        let listener = TcpListener::bind(("localhost", 0)).await.expect("a port");
        let port = listener.local_addr().expect("address").port();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                // A plain broker answers with a CONNACK-like packet.
                let _ = tokio::io::AsyncWriteExt::write_all(&mut tcp, b"\x20\x02\x00\x05").await;
                let _ = tokio::io::AsyncWriteExt::write_all(&mut tcp, &[0; 64]).await;
            }
        });
        let who = pki.client("h1").expect("a certificate");
        let mut hub = Hub::start(config(&pki, &who, "h1", port, dir.path()));
        let reason = hub.down(Duration::from_secs(10)).await;
        assert!(reason.contains("does not speak TLS"), "{reason}");
    });
}
