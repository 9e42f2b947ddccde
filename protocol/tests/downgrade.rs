//! S06: whoever edits a hello on the way gets no session.
//!
//! Guards: KNOB and its kin: a relay that talks both ends down to what it can break.

use drawbridge_protocol::hello::{InitiatorHello, LockHello, Purpose};
use drawbridge_protocol::noise::HandshakeError;
use drawbridge_protocol::version;

use crate::fixture::{self, Shape, bytes};
use crate::lane::Rounds;

/// A handshake in which each side has its own view of the two hellos.
fn fails_at_the_first_tag(seen_by_hub: (&[u8], &[u8]), seen_by_lock: (&[u8], &[u8])) {
    let hub = fixture::prologue(seen_by_hub.0, seen_by_hub.1);
    let lock = fixture::prologue(seen_by_lock.0, seen_by_lock.1);
    let (_, message1) = fixture::start(&hub);
    assert_eq!(
        fixture::read(&lock, &message1).unwrap_err(),
        HandshakeError::NotAuthentic,
        "{seen_by_hub:02x?} against {seen_by_lock:02x?}"
    );
}

#[test]
fn s06_no_edited_bit_of_either_hello_survives_the_handshake() {
    let shaken = fixture::shake();
    let (lock, hub) = (shaken.lock_hello, shaken.initiator_hello);
    for bit in 0..lock.len() * 8 {
        let mut edited = lock.clone();
        edited[bit / 8] ^= 1 << (bit % 8);
        fails_at_the_first_tag((&edited, &hub), (&lock, &hub));
    }
    for bit in 0..hub.len() * 8 {
        let mut edited = hub.clone();
        edited[bit / 8] ^= 1 << (bit % 8);
        fails_at_the_first_tag((&lock, &hub), (&lock, &edited));
    }
}

#[test]
fn s06_no_other_version_feature_or_purpose_survives_the_handshake() {
    let lock = fixture::lock_hello(Shape::Plain);
    let hub = fixture::initiator_hello(Shape::Plain);
    let write_lock = |hello: LockHello| bytes(|out| hello.encode(out));
    let write_hub = |hello: InitiatorHello| bytes(|out| hello.encode(out));
    let (lock_bytes, hub_bytes) = (write_lock(lock), write_hub(hub));
    let mut edited_lock = Vec::new();
    let mut edited_hub = vec![InitiatorHello {
        purpose: Purpose::Pair,
        ..hub
    }];
    for number in (0..=u8::MAX).filter(|number| *number != version::CURRENT) {
        edited_lock.push(LockHello {
            min_version: number,
            ..lock
        });
        edited_lock.push(LockHello {
            max_version: number,
            ..lock
        });
        edited_hub.push(InitiatorHello {
            version: number,
            ..hub
        });
    }
    for bit in 0..32 {
        let features = 1 << bit;
        edited_lock.push(LockHello { features, ..lock });
        edited_hub.push(InitiatorHello { features, ..hub });
    }
    for edited in edited_lock {
        fails_at_the_first_tag((&write_lock(edited), &hub_bytes), (&lock_bytes, &hub_bytes));
    }
    for edited in edited_hub {
        fails_at_the_first_tag((&lock_bytes, &hub_bytes), (&lock_bytes, &write_hub(edited)));
    }
}

#[test]
fn s06_no_range_makes_us_speak_a_version_that_we_or_the_peer_do_not() {
    let mut agreed = 0;
    for min in 0..=u8::MAX {
        for max in 0..=u8::MAX {
            let Some(version) = version::agree(min, max) else {
                let common = min <= version::CURRENT && max >= version::MIN && min <= max;
                assert!(!common, "{min}..={max} has a version in common with us");
                continue;
            };
            assert!((version::MIN..=version::CURRENT).contains(&version));
            assert!((min..=max).contains(&version));
            agreed += 1;
        }
    }
    assert!(agreed > 0);
}

#[test]
fn s06_two_hellos_cannot_be_cut_elsewhere_into_the_same_prologue() {
    // Guards: a prologue without lengths, where bytes move from one hello into the other.
    let rounds = Rounds::of("s06 prologue splits", 49 * 49, 49 * 49);
    let all = [0xa5; 96];
    let mut seen = std::collections::BTreeSet::new();
    for first in 0..=48 {
        for second in 0..=48 {
            let prologue = fixture::prologue(&all[..first], &all[..second]);
            seen.insert(prologue.as_bytes().to_vec());
        }
    }
    assert_eq!(seen.len() as u64, rounds.run);
}
