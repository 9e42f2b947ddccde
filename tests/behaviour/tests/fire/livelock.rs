//! F07: brokers that stop rumqttc for good, first with the library as an application would use it,
//! then with the hub.
//!
//! Guards: a client that pings, reconnects, looks alive in every graph, and never publishes again.
//! Seen: rumqtt #1056 and #1014 (a publish that waits for a packet id outlives the session in which
//! that id would be given back).

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use drawbridge_support::raw_broker::{Heard, Peer, RawBroker, connack, puback, publish};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};

use crate::home::{Ca, House};

const GOAL: Duration = Duration::from_secs(5);
/// What a busy machine may add.
const ROOM: Duration = Duration::from_secs(4);
/// CONNACK property: Receive Maximum 4.
const FOUR_IN_FLIGHT: &[u8] = &[0x21, 0, 4];

/// What a broker saw, per kind, after its first connection.
#[derive(Debug, Default)]
struct Book {
    first_publishes: AtomicUsize,
    publishes: AtomicUsize,
    pings: AtomicUsize,
    /// When the trouble began, and when a request that came after it was answered.
    trouble: Mutex<Option<Instant>>,
    answered: Mutex<Option<Instant>>,
}

impl Book {
    fn note(&self, heard: &Heard) {
        match heard {
            Heard::Publish { topic, .. } => {
                self.publishes.fetch_add(1, Ordering::SeqCst);
                if topic.ends_with("/res/status") {
                    self.answered.lock().unwrap().get_or_insert(Instant::now());
                }
            }
            Heard::Ping => {
                self.pings.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
    }

    fn publishes(&self) -> usize {
        self.publishes.load(Ordering::SeqCst)
    }
}

/// On the first connection the second publish in flight is acknowledged before the first, then the
/// connection ends; every later one is a new session of a lawful broker.
fn acknowledges_out_of_order_and_forgets(peer: &mut Peer, book: &Book) -> io::Result<()> {
    if peer.number > 0 {
        return serve_lawfully(peer, book);
    }
    let mut in_flight = Vec::new();
    let mut has_acked = false;
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        match peer.hear(Duration::from_millis(100))? {
            Some(Heard::Connect) => peer.send(&connack(0, FOUR_IN_FLIGHT))?,
            Some(Heard::Publish { id, .. }) => {
                book.first_publishes.fetch_add(1, Ordering::SeqCst);
                in_flight.push(id);
                if in_flight.len() >= 3 && !has_acked {
                    has_acked = true;
                    peer.send(&puback(in_flight[1]))?;
                }
            }
            Some(other) => obey_and_ask(peer, &other, 6)?,
            None => {}
        }
    }
    book.trouble.lock().unwrap().get_or_insert(Instant::now());
    Ok(())
}

/// On the first connection nothing is acknowledged, and pings are answered.
fn never_acknowledges(peer: &mut Peer, book: &Book) -> io::Result<()> {
    if peer.number > 0 {
        return serve_lawfully(peer, book);
    }
    loop {
        match peer.hear(Duration::from_secs(60))? {
            Some(Heard::Connect) => peer.send(&connack(0, FOUR_IN_FLIGHT))?,
            Some(Heard::Publish { .. }) => {
                book.first_publishes.fetch_add(1, Ordering::SeqCst);
                book.trouble.lock().unwrap().get_or_insert(Instant::now());
            }
            Some(ping @ Heard::Ping) => {
                book.note(&ping);
                peer.obey(&ping)?;
            }
            Some(other) => obey_and_ask(peer, &other, 6)?,
            None => {}
        }
    }
}

/// A lawful broker, at which somebody asks the hub how it is once it is subscribed.
fn serve_lawfully(peer: &mut Peer, book: &Book) -> io::Result<()> {
    loop {
        let Some(heard) = peer.hear(Duration::from_secs(60))? else {
            continue;
        };
        book.note(&heard);
        obey_and_ask(peer, &heard, 1)?;
    }
}

/// Once the hub is subscribed, somebody asks it so many times how it is: that fills its window.
fn obey_and_ask(peer: &mut Peer, heard: &Heard, times: u16) -> io::Result<()> {
    peer.obey(heard)?;
    if matches!(heard, Heard::Subscribe { .. }) {
        for id in 1..=times {
            let topic = "drawbridge/h1/req/status";
            let request = br#"{"transaction":"t"}"#;
            peer.send(&publish(topic, request, Some(id), &[]))?;
        }
    }
    Ok(())
}

/// rumqttc as its own examples use it: one task polls for ever, another one publishes. Tells how
/// many publishes it took in, and how often `poll` failed.
fn plain_client(port: u16, time: Duration) -> (usize, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut options = MqttOptions::new("plain", "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(5));
        let (client, mut eventloop) = AsyncClient::new(options, 10);
        let (taken, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let poll = async {
            loop {
                if eventloop.poll().await.is_err() {
                    failed.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        };
        let app = async {
            loop {
                let sent = client.publish("a/b", QoS::AtLeastOnce, false, "x").await;
                sent.expect("the event loop lives");
                taken.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = poll => {}
            () = app => {}
            () = tokio::time::sleep(time) => {}
        }
        (taken.into_inner(), failed.into_inner())
    })
}

/// The library alone: after the broker forgot the session it connects, pings, gives up, connects,
/// and publishes nothing ever again.
#[test]
fn f07_plain_client_is_stuck_for_good_after_a_lost_session() {
    let book = Arc::new(Book::default());
    let kept = Arc::clone(&book);
    let broker =
        RawBroker::start_plain(move |peer| acknowledges_out_of_order_and_forgets(peer, &kept))
            .unwrap();
    // The second ping with a publish that waits ends the connection: after 2 s of trouble, 10 s.
    let (taken, failed) = plain_client(broker.port(), Duration::from_secs(16));
    println!(
        "F07 plain client: {taken} taken in, {} published before, {} after; {} connections, {} pings, {failed} errors",
        book.first_publishes.load(Ordering::SeqCst),
        book.publishes(),
        broker.accepted(),
        book.pings.load(Ordering::SeqCst)
    );
    assert!(broker.accepted() >= 3, "it gave up and connected again");
    assert!(book.pings.load(Ordering::SeqCst) >= 1, "it looks alive");
    assert_eq!(
        book.publishes(),
        0,
        "rumqttc publishes again: the connection task can be simplified"
    );
    assert!(taken >= 14, "and its queue is full: {taken}");
}

/// The library alone: a broker that acknowledges nothing and answers pings holds it for ever.
#[test]
fn f07_plain_client_waits_for_ever_when_its_window_is_full() {
    let book = Arc::new(Book::default());
    let kept = Arc::clone(&book);
    let broker = RawBroker::start_plain(move |peer| never_acknowledges(peer, &kept)).unwrap();
    let (_, failed) = plain_client(broker.port(), Duration::from_secs(12));
    assert_eq!(book.first_publishes.load(Ordering::SeqCst), 4);
    assert!(book.pings.load(Ordering::SeqCst) >= 2);
    assert_eq!(
        (failed, broker.accepted()),
        (0, 1),
        "rumqttc noticed: the time limit on acknowledgements can be looked at again"
    );
}

/// The hub under the same two brokers.
#[test]
fn f07_hub_publishes_again_within_5_s_where_the_plain_client_is_stuck() {
    type Serve = fn(&mut Peer, &Book) -> io::Result<()>;
    let cases: [(&str, Serve); 2] = [
        (
            "acknowledged out of order, then forgotten",
            acknowledges_out_of_order_and_forgets,
        ),
        ("nothing acknowledged", never_acknowledges),
    ];
    let ca = Ca::new();
    std::thread::scope(|scope| {
        for (what, serve) in cases {
            let ca = &ca;
            scope.spawn(move || {
                let book = Arc::new(Book::default());
                let kept = Arc::clone(&book);
                let broker = RawBroker::start(&ca.pki, move |peer| serve(peer, &kept)).unwrap();
                let house = House::new(ca, "h1", broker.port(), &[]);
                let deadline = Instant::now() + Duration::from_secs(30);
                let answered = loop {
                    if let Some(answered) = *book.answered.lock().unwrap() {
                        break answered;
                    }
                    assert!(
                        Instant::now() < deadline,
                        "{what}: {book:?}; {}",
                        house.hub.log_tail()
                    );
                    std::thread::sleep(Duration::from_millis(10));
                };
                let trouble = book.trouble.lock().unwrap().unwrap();
                let took = answered.duration_since(trouble);
                println!(
                    "F07 {what}: the hub answered a request {took:?} after the trouble began, goal {GOAL:?}"
                );
                assert!(took <= GOAL + ROOM, "{what}: {took:?}");
                let first = book.first_publishes.load(Ordering::SeqCst);
                assert!(first >= 3, "{what}: only {first} publishes at first");
                // Everything that was in flight, and the documents besides.
                let deadline = Instant::now() + Duration::from_secs(5);
                while book.publishes() < first {
                    assert!(Instant::now() < deadline, "{what}: {book:?}");
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
        }
    });
}
