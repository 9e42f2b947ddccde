//! The adapter against locks that misbehave in every way a socket allows.

use std::path::Path;

use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::ids::LockId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::*;
use crate::radio::Passkey;

const ADVERT: &[u8] = b"\x0d\x00AnonceHMACHMA";
const CONNECT: &[u8] = b"\x03\x00C\xf4\x00";
const GRANTED: &[u8] = b"\x03\x00O\x64\x00";

struct Hub {
    actions: mpsc::Sender<RadioAction>,
    events: mpsc::Receiver<RadioEvent>,
    dir: tempfile::TempDir,
}

impl Hub {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (actions, taken) = mpsc::channel(16);
        let (told, events) = mpsc::channel(16);
        let mut air = VirtualAir::new(dir.path());
        air.scan_every = Duration::from_millis(20);
        air.connect_timeout = Duration::from_millis(200);
        air.send_timeout = Duration::from_millis(200);
        tokio::spawn(air.run(taken, told));
        Self {
            actions,
            events,
            dir,
        }
    }

    async fn act(&self, action: RadioAction) {
        self.actions.send(action).await.unwrap();
    }

    async fn connect(&self, link: u64, address: &str) {
        self.act(RadioAction::Connect {
            link: LinkId(link),
            address: Address::new(address).unwrap(),
            lock: LockId([0; 8]),
            passkey: Passkey::new(0),
        })
        .await;
    }

    async fn next(&mut self) -> RadioEvent {
        tokio::time::timeout(Duration::from_secs(10), self.events.recv())
            .await
            .unwrap()
            .unwrap()
    }
}

/// A lock that does as the test says.
fn lock(dir: &Path, address: &str) -> UnixListener {
    UnixListener::bind(dir.join(format!("{address}.air"))).unwrap()
}

/// Accepts and grants; gives the link's lock side.
async fn grant(listener: &UnixListener) -> UnixStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(ADVERT).await.unwrap();
    let mut wanted = [0; CONNECT.len()];
    stream.read_exact(&mut wanted).await.unwrap();
    assert_eq!(wanted, CONNECT);
    stream.write_all(GRANTED).await.unwrap();
    stream
}

const A: &str = "00000000000000aa";
const B: &str = "00000000000000bb";

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

#[test]
fn a_link_carries_packets_in_order_and_ends_after_the_last_one() {
    run(async {
        let mut hub = Hub::new();
        let listener = lock(hub.dir.path(), A);
        hub.connect(1, A).await;
        let mut lock = grant(&listener).await;
        let up = RadioEvent::LinkUp {
            link: LinkId(1),
            packet_size: 100,
        };
        assert_eq!(hub.next().await, up);
        lock.write_all(b"\x03\x00Dhi\x03\x00Dho").await.unwrap();
        for bytes in [b"hi", b"ho"] {
            let packet = RadioEvent::Packet {
                link: LinkId(1),
                bytes: bytes.to_vec(),
            };
            assert_eq!(hub.next().await, packet);
        }
        for packet in [b"one".to_vec(), b"two".to_vec()] {
            let link = LinkId(1);
            hub.act(RadioAction::Send { link, packet }).await;
        }
        hub.act(RadioAction::Disconnect { link: LinkId(1) }).await;
        let mut heard = Vec::new();
        lock.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"\x04\x00Done\x04\x00Dtwo");
        let down = RadioEvent::LinkDown {
            link: LinkId(1),
            reason: LinkFault::Closed,
        };
        assert_eq!(hub.next().await, down);
    });
}

/// S05, F18: whatever a lock answers to a connect, the hub is told once and why.
#[test]
fn s05_a_connect_fails_once_with_its_reason() {
    let answers: [(&[u8], LinkFault); 11] = [
        (b"", LinkFault::Closed),
        (b"\x0d", LinkFault::Closed),
        (b"\x00\x00", LinkFault::Protocol),
        (b"\x59\x02", LinkFault::Protocol),
        (b"\xff\xffA", LinkFault::Protocol),
        (b"\x03\x00O\x64\x00", LinkFault::Protocol),
        (b"\x0c\x00AnonceHMACHM", LinkFault::Protocol),
        (b"\x0d\x00AnonceHMACHMA\x01\x00B", LinkFault::Busy),
        (b"\x0d\x00AnonceHMACHMA\x02\x00B!", LinkFault::Protocol),
        // More than was wanted, and less than any message needs.
        (
            b"\x0d\x00AnonceHMACHMA\x03\x00O\xf5\x00",
            LinkFault::Protocol,
        ),
        (
            b"\x0d\x00AnonceHMACHMA\x03\x00O\x13\x00",
            LinkFault::Protocol,
        ),
    ];
    run(async {
        let mut hub = Hub::new();
        let listener = lock(hub.dir.path(), A);
        for (number, (answer, reason)) in (1..).zip(answers) {
            hub.connect(number, A).await;
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
            let failed = RadioEvent::ConnectFailed {
                link: LinkId(number),
                reason,
            };
            assert_eq!(hub.next().await, failed, "{answer:?}");
        }
    });
}

#[test]
fn a_lock_that_is_silent_gone_or_no_address_is_told_apart() {
    run(async {
        let mut hub = Hub::new();
        let silent = lock(hub.dir.path(), A);
        for (link, address, expected) in [
            (1, A, LinkFault::Timeout),
            (2, B, LinkFault::Unreachable),
            (3, "../00000000000000", LinkFault::Unreachable),
            (4, "/tmp/x", LinkFault::Unreachable),
        ] {
            hub.connect(link, address).await;
            let failed = RadioEvent::ConnectFailed {
                link: LinkId(link),
                reason: expected,
            };
            assert_eq!(hub.next().await, failed, "{address}");
        }
        drop(silent);
    });
}

#[test]
fn a_disconnect_while_connecting_is_answered() {
    run(async {
        let mut hub = Hub::new();
        let _silent = lock(hub.dir.path(), A);
        hub.connect(1, A).await;
        hub.act(RadioAction::Disconnect { link: LinkId(1) }).await;
        let failed = RadioEvent::ConnectFailed {
            link: LinkId(1),
            reason: LinkFault::Closed,
        };
        assert_eq!(hub.next().await, failed);
    });
}

/// S05: hostile bytes on a link end that link and no other.
#[test]
fn s05_hostile_bytes_end_only_their_own_link() {
    let hostile: [&[u8]; 6] = [
        b"\x00\x00",
        b"\x01\x00D",
        b"\x59\x02D",
        b"\x0d\x00AnonceHMACHMA",
        b"\x01\x00B",
        // Longer than the packets that were granted.
        &[&[102, 0, b'D'][..], &[7; 101]].concat(),
    ];
    run(async {
        let mut hub = Hub::new();
        let (good, bad) = (lock(hub.dir.path(), A), lock(hub.dir.path(), B));
        hub.connect(1, A).await;
        let mut good = grant(&good).await;
        assert!(matches!(hub.next().await, RadioEvent::LinkUp { .. }));
        for (number, bytes) in (2..).zip(hostile) {
            let link = LinkId(number);
            hub.connect(number, B).await;
            let mut bad = grant(&bad).await;
            assert!(matches!(hub.next().await, RadioEvent::LinkUp { .. }));
            bad.write_all(bytes).await.unwrap();
            let reason = LinkFault::Protocol;
            assert_eq!(hub.next().await, RadioEvent::LinkDown { link, reason });
        }
        good.write_all(b"\x03\x00Dok").await.unwrap();
        assert!(matches!(
            hub.next().await,
            RadioEvent::Packet {
                link: LinkId(1),
                ..
            }
        ));
    });
}

/// I7: a lock that reads nothing loses its link; another one's packets pass meanwhile.
#[test]
fn i7_a_lock_that_reads_nothing_blocks_nobody() {
    run(async {
        let mut hub = Hub::new();
        let (deaf, good) = (lock(hub.dir.path(), A), lock(hub.dir.path(), B));
        hub.connect(1, A).await;
        let _deaf = grant(&deaf).await;
        assert!(matches!(hub.next().await, RadioEvent::LinkUp { .. }));
        hub.connect(2, B).await;
        let mut good = grant(&good).await;
        assert!(matches!(hub.next().await, RadioEvent::LinkUp { .. }));
        // More than a socket's buffer and the queue take together.
        for _ in 0..20_000 {
            let (link, packet) = (LinkId(1), vec![9; 100]);
            hub.act(RadioAction::Send { link, packet }).await;
        }
        let (link, packet) = (LinkId(2), b"still here".to_vec());
        hub.act(RadioAction::Send { link, packet }).await;
        let mut heard = [0; 13];
        good.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"\x0b\x00Dstill here");
        assert!(matches!(
            hub.next().await,
            RadioEvent::LinkDown {
                link: LinkId(1),
                reason: LinkFault::Timeout
            }
        ));
    });
}

/// F19: a lock that floods gets its turn and no more: another's packet comes through while the
/// flood goes on and nobody takes events quickly.
#[test]
fn f19_a_flooding_lock_does_not_silence_another() {
    run(async {
        let mut hub = Hub::new();
        let (loud, quiet) = (lock(hub.dir.path(), A), lock(hub.dir.path(), B));
        hub.connect(1, A).await;
        let mut loud = grant(&loud).await;
        hub.connect(2, B).await;
        let mut quiet = grant(&quiet).await;
        tokio::spawn(async move { while loud.write_all(b"\x03\x00D!!").await.is_ok() {} });
        // Let the flood fill every queue there is before the quiet one speaks.
        let mut flood = 0;
        while flood < 1_000 {
            flood += usize::from(matches!(
                hub.next().await,
                RadioEvent::Packet {
                    link: LinkId(1),
                    ..
                }
            ));
        }
        quiet.write_all(b"\x03\x00Dme").await.unwrap();
        let mut before = 0;
        while !matches!(
            hub.next().await,
            RadioEvent::Packet {
                link: LinkId(2),
                ..
            }
        ) {
            before += 1;
        }
        // The channel's 16, and a few that were ahead in its line.
        assert!(before <= 64, "{before} packets of the flood came first");
    });
}

#[test]
fn scanning_hears_locks_again_and_again_ignores_what_is_none_and_stops() {
    run(async {
        let mut hub = Hub::new();
        let speaking = lock(hub.dir.path(), A);
        // A socket nobody listens on any more, a plain file, and one that talks nonsense.
        drop(lock(hub.dir.path(), "00000000000000cc"));
        std::fs::write(hub.dir.path().join("00000000000000dd.air"), "x").unwrap();
        let nonsense = lock(hub.dir.path(), B);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = nonsense.accept().await {
                stream.write_all(b"\x01\x00B").await.unwrap();
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = speaking.accept().await {
                stream.write_all(ADVERT).await.unwrap();
            }
        });
        hub.act(RadioAction::Scan { on: true }).await;
        hub.act(RadioAction::Scan { on: true }).await;
        for _ in 0..3 {
            let seen = RadioEvent::Seen {
                address: Address::new(A).unwrap(),
                beacon: Beacon(*b"nonceHMACHMA"),
            };
            assert_eq!(hub.next().await, seen);
        }
        hub.act(RadioAction::Scan { on: false }).await;
        // A connect is answered after the scan was stopped, so nothing that is heard later was late.
        hub.connect(9, "00000000000000ee").await;
        while !matches!(hub.next().await, RadioEvent::ConnectFailed { .. }) {}
        let quiet = tokio::time::timeout(Duration::from_millis(200), hub.events.recv()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    });
}
