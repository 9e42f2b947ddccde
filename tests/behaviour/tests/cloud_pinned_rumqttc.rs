//! What rumqttc 0.25.1 does, and we rely on or work around. When an upgrade changes one of these,
//! the test fails and `daemon/src/cloud` must be looked at again.
//!
//! The broker is a few lines on a Unix socket: it answers what a test scripts and nothing else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::mqttbytes::{Error as MqttError, QoS};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, timeout};

const CONNACK_NEW_SESSION: &[u8] = &[0x20, 3, 0, 0, 0];
/// CONNACK with Maximum Packet Size 100 (property 0x27).
const CONNACK_MAX_100: &[u8] = &[0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 100];
/// CONNACK with Server Keep Alive 0 (property 0x13).
const CONNACK_KEEP_ALIVE_0: &[u8] = &[0x20, 6, 0, 0, 3, 0x13, 0, 0];

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(async {
            timeout(Duration::from_secs(20), test)
                .await
                .expect("20 s are enough")
        })
}

struct Script {
    listener: UnixListener,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Script {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("s");
        Self {
            listener: UnixListener::bind(&path).expect("a socket"),
            path,
            _dir: dir,
        }
    }

    async fn accept(&self, connack: &[u8]) -> UnixStream {
        let (mut stream, _) = self.listener.accept().await.expect("a connection");
        assert_eq!(packet(&mut stream).await.expect("CONNECT").0, 0x10);
        stream.write_all(connack).await.expect("CONNACK");
        stream
    }
}

/// The next packet: first byte and body.
async fn packet(stream: &mut UnixStream) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = stream.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((first, body))
}

fn client(path: &Path) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new("pinned", path.to_string_lossy(), 0);
    options.set_transport(rumqttc::Transport::Unix);
    options.set_clean_start(false);
    options.set_manual_acks(true);
    options.set_outgoing_inflight_upper_limit(16);
    AsyncClient::new(options, 64)
}

async fn until_connected(eventloop: &mut EventLoop) {
    loop {
        if let Event::Incoming(Packet::ConnAck(_)) = eventloop.poll().await.expect("CONNACK") {
            return;
        }
    }
}

// Our tunnel stands on this: MQTT over a Unix socket.
#[test]
fn transport_unix_speaks_mqtt_5_over_a_socket_path() {
    run(async {
        let script = Script::new();
        let (client, mut eventloop) = client(&script.path);
        let (mut broker, ()) = tokio::join!(
            script.accept(CONNACK_NEW_SESSION),
            until_connected(&mut eventloop)
        );
        client
            .try_publish("a/b", QoS::AtLeastOnce, false, "x")
            .expect("room");
        let (sent, got) = tokio::join!(eventloop.poll(), packet(&mut broker));
        sent.expect("sent");
        assert_eq!(
            got.expect("PUBLISH"),
            (0x32, b"\0\x03a/b\0\x01\0x".to_vec())
        );
    });
}

// So: a fresh client per connection, and the store's outbox as the only memory.
#[test]
fn new_session_drops_publishes_that_were_accepted_and_not_acknowledged() {
    run(async {
        let script = Script::new();
        let (client, mut eventloop) = client(&script.path);
        let (broker, ()) = tokio::join!(
            script.accept(CONNACK_NEW_SESSION),
            until_connected(&mut eventloop)
        );
        client
            .try_publish("a/lost", QoS::AtLeastOnce, false, "x")
            .expect("room");
        eventloop.poll().await.expect("sent");
        drop(broker);
        eventloop.poll().await.expect_err("the connection is gone");
        let (mut broker, ()) = tokio::join!(
            script.accept(CONNACK_NEW_SESSION),
            until_connected(&mut eventloop)
        );
        let quiet = async {
            loop {
                eventloop.poll().await.expect("connected");
            }
        };
        let resent = tokio::select! {
            () = quiet => unreachable!("poll never ends by itself"),
            got = timeout(Duration::from_millis(500), packet(&mut broker)) => got,
        };
        assert!(resent.is_err(), "resent after all: {resent:?}");
    });
}

// So: sizes are checked before the library sees the message.
#[test]
fn oversized_publish_poisons_every_following_connection() {
    run(async {
        let script = Script::new();
        let (client, mut eventloop) = client(&script.path);
        let (broker, ()) = tokio::join!(
            script.accept(CONNACK_MAX_100),
            until_connected(&mut eventloop)
        );
        client
            .try_publish("a/big", QoS::AtLeastOnce, false, vec![0; 200])
            .expect("room");
        assert!(
            too_large(&eventloop.poll().await),
            "the connection should end"
        );
        drop(broker);
        // The broker says that it kept the session: the message is tried again, and again.
        let connack_resumed = [0x20, 8, 1, 0, 5, 0x27, 0, 0, 0, 100];
        for round in 0..3 {
            let (_broker, ()) = tokio::join!(
                script.accept(&connack_resumed),
                until_connected(&mut eventloop)
            );
            assert!(too_large(&eventloop.poll().await), "round {round}");
        }
    });
}

fn too_large(result: &Result<Event, ConnectionError>) -> bool {
    matches!(
        result,
        Err(ConnectionError::MqttState(
            StateError::OutgoingPacketTooLarge { .. } | StateError::Deserialization(_)
        ))
    )
}

// So: our own backoff between fresh clients; the library's poll is never called after an error.
#[test]
fn poll_after_an_error_reconnects_at_once() {
    run(async {
        let script = Script::new();
        let (_client, mut eventloop) = client(&script.path);
        let begun = Instant::now();
        let accept = async {
            for _ in 0..20 {
                drop(script.accept(CONNACK_NEW_SESSION).await);
            }
        };
        let polls = async {
            loop {
                let _ = eventloop.poll().await;
            }
        };
        tokio::select! { () = accept => {}, () = polls => {} }
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?}",
            begun.elapsed()
        );
    });
}

// So: the window never lets a publish take a packet id that is in flight.
#[test]
fn failed_puback_during_an_id_collision_is_never_released() {
    run(async {
        let script = Script::new();
        let (client, mut eventloop) = client(&script.path);
        let (mut broker, ()) = tokio::join!(
            script.accept(CONNACK_NEW_SESSION),
            until_connected(&mut eventloop)
        );
        for count in 0..16 {
            client
                .try_publish("a/b", QoS::AtLeastOnce, false, vec![count])
                .expect("room");
            eventloop.poll().await.expect("sent");
            packet(&mut broker).await.expect("PUBLISH");
        }
        // Acknowledge id 2 only: the next publish takes id 1, which is still in flight.
        broker.write_all(&[0x40, 2, 0, 2]).await.expect("PUBACK 2");
        eventloop.poll().await.expect("PUBACK 2");
        client
            .try_publish("a/b", QoS::AtLeastOnce, false, "collides")
            .expect("room");
        eventloop.poll().await.expect("parked");
        assert!(eventloop.state.collision.is_some());
        // PUBACK 1 with "quota exceeded" frees the id, but not the parked publish.
        broker
            .write_all(&[0x40, 3, 0, 1, 0x97])
            .await
            .expect("PUBACK 1");
        eventloop.poll().await.expect("PUBACK 1");
        assert!(
            eventloop.state.collision.is_some(),
            "released: the window can be simplified"
        );
    });
}

// So: our poll task puts the keep-alive back after each CONNACK.
#[test]
fn server_keep_alive_of_zero_replaces_ours() {
    run(async {
        let script = Script::new();
        let (_client, mut eventloop) = client(&script.path);
        let (_broker, ()) = tokio::join!(
            script.accept(CONNACK_KEEP_ALIVE_0),
            until_connected(&mut eventloop)
        );
        assert_eq!(eventloop.options.keep_alive(), Duration::ZERO);
    });
}

// So: the poll task ends a connection at the first topic alias. We allow none (no Topic Alias
// Maximum in CONNECT), and the library keeps each one all the same, with the packet it came in.
#[test]
fn s36_topic_alias_that_was_never_allowed_is_kept() {
    run(async {
        let script = Script::new();
        let (_client, mut eventloop) = client(&script.path);
        let (mut broker, ()) = tokio::join!(
            script.accept(CONNACK_NEW_SESSION),
            until_connected(&mut eventloop)
        );
        // PUBLISH a/b with Topic Alias 1 (property 0x23).
        let named = [0x30, 9, 0, 3, b'a', b'/', b'b', 3, 0x23, 0, 1];
        broker.write_all(&named).await.expect("PUBLISH");
        eventloop.poll().await.expect("PUBLISH");
        let kept = format!("{:?}", eventloop.state);
        assert!(kept.contains(r#"{1: b"a/b"}"#), "{kept}");
    });
}

// We rely on it (S36): the limit that we tell the broker is also kept by the library, from the
// fixed header on, before a byte of the packet is waited for.
#[test]
fn s36_packet_over_our_limit_is_refused_by_its_header() {
    run(async {
        let script = Script::new();
        let mut options = MqttOptions::new("pinned", script.path.to_string_lossy(), 0);
        options.set_transport(rumqttc::Transport::Unix);
        options.set_max_packet_size(Some(1_000));
        let (_client, mut eventloop) = AsyncClient::new(options, 4);
        let (mut broker, ()) = tokio::join!(
            script.accept(CONNACK_NEW_SESSION),
            until_connected(&mut eventloop)
        );
        broker
            .write_all(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F])
            .await
            .expect("a header");
        let ended = eventloop.poll().await.expect_err("refused");
        assert!(
            matches!(
                ended,
                ConnectionError::MqttState(StateError::Deserialization(
                    MqttError::PayloadSizeLimitExceeded { max: 1_000, .. }
                ))
            ),
            "{ended}"
        );
    });
}
