//! F07, F18: a broker whose limits are as small as the standard lets them be.
//!
//! Guards: a hub that works with the one broker that it was tried with. A publish over the limit
//! ends the connection by the standard, and a library that tries it again ends each one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drawbridge_support::raw_broker::{Heard, RawBroker, connack, puback, publish};

use crate::home::{Ca, House};

const RECEIVE_MAXIMUM: u8 = 0x21;
const MAXIMUM_PACKET_SIZE: u8 = 0x27;

/// With Receive Maximum 1 every publish waits for the one before it.
#[test]
fn f07_receive_maximum_of_one_is_kept_and_everything_is_published_all_the_same() {
    let ca = Ca::new();
    let topics = Arc::new(Mutex::new(Vec::<String>::new()));
    let overlapping = Arc::new(AtomicUsize::new(0));
    let (seen, both) = (Arc::clone(&topics), Arc::clone(&overlapping));
    let broker = RawBroker::start(&ca.pki, move |peer| {
        peer.hear(Duration::from_secs(10))?;
        peer.send(&connack(0, &[RECEIVE_MAXIMUM, 0, 1]))?;
        loop {
            let Some(heard) = peer.hear(Duration::from_secs(60))? else {
                continue;
            };
            let Heard::Publish { topic, payload, id } = heard else {
                peer.obey(&heard)?;
                continue;
            };
            // Whatever comes before the acknowledgement is one too many.
            let mut waiting = Vec::new();
            while let Some(early) = peer.hear(Duration::from_millis(30))? {
                if matches!(early, Heard::Publish { .. }) {
                    both.fetch_add(1, Ordering::SeqCst);
                }
                waiting.push(early);
            }
            peer.send(&puback(id))?;
            if topic.ends_with("/live") {
                peer.send(&publish(&topic, &payload, Some(7), &[]))?;
            }
            seen.lock().unwrap().push(topic);
            for heard in waiting {
                peer.obey(&heard)?;
            }
        }
    })
    .unwrap();
    let house = House::new(&ca, "h61", broker.port(), &["Front"]);
    house.wait_for("broker_up", 0, 30);
    house.act_locally("lock");
    let wanted = ["/state", "/live", "/info", "/locks", "/result", "/audit"];
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let topics = topics.lock().unwrap().clone();
        let has = |leaf: &&str| topics.iter().any(|topic| topic.ends_with(*leaf));
        if wanted.iter().all(has) {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "of {wanted:?} only {topics:?}; {}",
            house.hub.log_tail()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(overlapping.load(Ordering::SeqCst), 0, "two at a time");
    assert_eq!(house.count("broker_down", 0), 0, "{}", house.hub.log_tail());
}

/// Nothing larger than allowed is sent, and what is small enough still goes out.
#[test]
fn f18_small_maximum_packet_size_holds_back_what_is_larger_and_nothing_else() {
    const MAX: u32 = 450;
    let ca = Ca::new();
    let published = Arc::new(Mutex::new(Vec::<(String, usize)>::new()));
    let seen = Arc::clone(&published);
    let broker = RawBroker::start(&ca.pki, move |peer| {
        peer.hear(Duration::from_secs(10))?;
        let [a, b, c, d] = MAX.to_be_bytes();
        peer.send(&connack(0, &[MAXIMUM_PACKET_SIZE, a, b, c, d]))?;
        peer.obey_until(Duration::from_secs(120), |heard| {
            if let Heard::Publish { topic, payload, .. } = heard {
                let size = topic.len() + payload.len();
                seen.lock().unwrap().push((topic.clone(), size));
            }
            false
        })?;
        Ok(())
    })
    .unwrap();
    let house = House::new(&ca, "h62", broker.port(), &["Front"]);
    house.wait_for("broker_up", 0, 30);
    for action in ["lock", "unlock", "lock"] {
        house.act_locally(action);
    }
    std::thread::sleep(Duration::from_secs(6));
    let published = published.lock().unwrap().clone();
    let largest = published.iter().map(|(_, size)| *size).max().unwrap();
    println!(
        "F18 {} publications below {MAX} bytes, the largest with {largest}",
        published.len()
    );
    assert!(largest < MAX as usize, "{published:?}");
    // Log records do not fit: they wait in the outbox, and the rest passes them by.
    assert!(published.iter().any(|(topic, _)| topic.ends_with("/locks")));
    let status = house.done(&["status", "--local"]);
    let kept = status["outbox_kept"].as_u64();
    assert!(kept.is_some_and(|kept| kept > 0), "{status}");
    assert_eq!(house.count("broker_down", 0), 0, "{}", house.hub.log_tail());
}

/// When not even the subscription fits, the journal says so, and the hub does not hammer.
#[test]
fn f18_maximum_packet_size_below_a_subscription_is_named() {
    let ca = Ca::new();
    let broker = RawBroker::start(&ca.pki, |peer| {
        peer.hear(Duration::from_secs(10))?;
        peer.send(&connack(0, &[MAXIMUM_PACKET_SIZE, 0, 0, 0, 60]))?;
        peer.obey_until(Duration::from_secs(5), |_| false)?;
        Ok(())
    })
    .unwrap();
    let house = House::new(&ca, "h63", broker.port(), &[]);
    let (line, _) = house.wait_for("broker_down", 0, 20);
    assert!(line.contains("largest packet"), "{line}");
    std::thread::sleep(Duration::from_secs(5));
    let attempts = house.count("cloud_down", 0);
    assert!(attempts <= 6, "{attempts} attempts");
}
