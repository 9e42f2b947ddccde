//! F08: a connection on which nothing moves and nobody says so.
//!
//! Guards: a hub that is "connected" for a quarter of an hour while nobody hears it. The exact
//! bound is shown on virtual time (`cloud::liveness`); here real sockets show that it is the one
//! that counts, with room for a busy machine.

use std::time::{Duration, Instant};

use drawbridge_support::mosquitto::{Mosquitto, Setup};
use drawbridge_support::proxy::{Door, Proxy, Rules, Way};
use drawbridge_support::raw_broker::{Heard, Peer, RawBroker};

use crate::home::{Ca, House};

const GOAL: Duration = Duration::from_secs(10);
/// What a busy machine may add.
const ROOM: Duration = Duration::from_secs(4);

#[test]
fn f08_stalled_connection_is_noticed_within_10_s_in_each_direction() {
    let ca = Ca::new();
    let broker = Mosquitto::start(&ca.pki, &Setup::default()).unwrap();
    let cases = [
        ("h11", "both ways stalled", Way::Stall, Way::Stall),
        ("h12", "hub to broker stalled", Way::Stall, Way::Pass),
        ("h13", "broker to hub stalled", Way::Pass, Way::Stall),
        ("h14", "both ways swallowed", Way::Swallow, Way::Swallow),
    ];
    std::thread::scope(|scope| {
        for (at, (id, what, up, down)) in cases.into_iter().enumerate() {
            let (ca, port) = (&ca, broker.port());
            scope.spawn(move || {
                let proxy = Proxy::start(port, 1).unwrap();
                let house = House::new(ca, id, proxy.port(), &[]);
                house.wait_for("broker_up", 0, 30);
                // At different moments between two pings.
                std::thread::sleep(Duration::from_millis(1_500 * at as u64));
                let from = house.hub.log_size();
                proxy.set(Rules {
                    up,
                    down,
                    ..Rules::default()
                });
                let (line, took) = house.wait_for("broker_down", from, 30);
                println!("F08 {what}: noticed after {took:?}, goal {GOAL:?}");
                assert!(took <= GOAL + ROOM, "{what}: {took:?}");
                assert!(line.contains("in time"), "{what}: {line}");
                let from = house.hub.log_size();
                proxy.set(Rules::default());
                let (_, back) = house.wait_for("broker_up", from, 30);
                println!("F08 {what}: connected again after {back:?}");
            });
        }
    });
}

#[test]
fn f08_handshake_that_never_ends_is_given_up_within_10_s_and_tried_again() {
    let ca = Ca::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let proxy = Proxy::start(1, 1).unwrap();
            proxy.set(Rules {
                door: Door::Mute,
                ..Rules::default()
            });
            let house = House::new(&ca, "h21", proxy.port(), &[]);
            given_up(
                &house,
                "TLS that never ends",
                "starting TLS: no answer in time",
            );
            let deadline = Instant::now() + GOAL + ROOM;
            while proxy.accepted() < 2 {
                assert!(Instant::now() < deadline, "it was never tried again");
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        type Serve = fn(&mut Peer) -> std::io::Result<()>;
        let cases: [(&str, &str, &str, Serve); 3] = [
            (
                "h22",
                "CONNACK that never comes",
                "no CONNACK in time",
                |peer| listen_only(peer, |_| false),
            ),
            (
                "h23",
                "SUBACK that never comes",
                "no SUBACK in time",
                |peer| listen_only(peer, |heard| matches!(heard, Heard::Connect | Heard::Ping)),
            ),
            (
                "h24",
                "PUBACK that never comes",
                "did not acknowledge in time",
                |peer| listen_only(peer, |heard| !matches!(heard, Heard::Publish { .. })),
            ),
        ];
        for (id, what, text, serve) in cases {
            let ca = &ca;
            scope.spawn(move || {
                let broker = RawBroker::start(&ca.pki, serve).unwrap();
                let house = House::new(ca, id, broker.port(), &[]);
                given_up(&house, what, text);
                let deadline = Instant::now() + GOAL + ROOM;
                while broker.accepted() < 2 {
                    assert!(Instant::now() < deadline, "{what}: never tried again");
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
}

/// The hub was started a moment ago.
fn given_up(house: &House, what: &str, text: &str) {
    let (line, took) = house.wait_for("broker_down", 0, 30);
    println!("F08 {what}: given up after {took:?}, goal {GOAL:?}");
    assert!(line.contains(text), "{what}: {line}");
    assert!(took <= GOAL + ROOM, "{what}: {took:?}");
}

/// Obeys what `answered` likes, and nothing else.
fn listen_only(peer: &mut Peer, answered: impl Fn(&Heard) -> bool) -> std::io::Result<()> {
    loop {
        if let Some(heard) = peer.hear(Duration::from_secs(60))?
            && answered(&heard)
        {
            peer.obey(&heard)?;
        }
    }
}
