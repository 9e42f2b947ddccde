//! What else the layers promise: numbers, names, and edges that are easily off by one.

use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::codec::{CodecError, decode_report};
use drawbridge_protocol::frame::{Fragmenter, FrameError, MIN_PACKET};
use drawbridge_protocol::grant::Rights;
use drawbridge_protocol::hello::Prologue;
use drawbridge_protocol::ids::{LockId, Nonce, OwnershipId};
use drawbridge_protocol::link_message::{LinkMessage, MAX_LINK_MESSAGE};
use drawbridge_protocol::log_record::{LogEvent, LogRecord};
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::report::{Cause, Report};
use drawbridge_protocol::secret::BeaconKey;
use drawbridge_protocol::session::Label;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub};

use crate::examples;
use crate::fixture::{self, Shape};
use crate::lane::Dice;

#[test]
fn every_message_number_stands_first_in_its_bytes() {
    for example in examples::hub_to_lock(Shape::Plain) {
        let message = HubToLock::decode(&example.bytes).unwrap();
        assert_eq!(
            example.bytes[..2],
            [0x82, message.number()],
            "{}",
            example.name
        );
    }
}

/// Guards: a request of a later version that costs its sender the link, and "unsupported" as an
/// answer to bytes that are no request at all.
#[test]
fn a_number_of_a_later_version_is_told_from_a_broken_message() {
    for number in 0..=u8::MAX {
        let head: &[u8] = if number < 24 {
            &[number]
        } else {
            &[0x18, number]
        };
        for body in [&[0x80][..], &[0x81, 0], &[0x82, 0xa1, 1, 2, 0x41, 9]] {
            let bytes = [&[0x82], head, body].concat();
            let unknown = (!(1..=10).contains(&number)).then_some(number);
            assert_eq!(HubToLock::unknown_number(&bytes), unknown);
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(HubToLock::unknown_number(&longer), None);
            assert_eq!(HubToLock::unknown_number(&bytes[..bytes.len() - 1]), None);
        }
        let no_fields = [&[0x82], head, &[0xa0]].concat();
        assert_eq!(HubToLock::unknown_number(&no_fields), None);
    }
    for example in examples::hub_to_lock(Shape::Full) {
        assert_eq!(HubToLock::unknown_number(&example.bytes), None);
    }
    assert_eq!(HubToLock::unknown_number(&[0x82, 0x19, 1, 0, 0x80]), None);
    let deep = [&[0x82, 0x0b][..], &vec![0x81; 100_000]].concat();
    assert_eq!(HubToLock::unknown_number(&deep), None);
}

#[test]
fn unknown_message_numbers_are_refused() {
    for number in (0..=u8::MAX).filter(|number| !(1..=10).contains(number)) {
        for body in [&[0x80][..], &[0x81, 0], &[0xa0]] {
            let mut bytes = vec![0x82];
            bytes.extend(if number < 24 {
                vec![number]
            } else {
                vec![0x18, number]
            });
            bytes.extend(body);
            assert_eq!(HubToLock::decode(&bytes), Err(CodecError::Malformed));
            if number != 11 {
                assert_eq!(LockToHub::decode(&bytes), Err(CodecError::Malformed));
            }
        }
    }
}

#[test]
fn a_message_is_refused_with_bytes_after_it() {
    for example in examples::hub_to_lock(Shape::Full) {
        let longer = [&example.bytes[..], &[0]].concat();
        assert!(HubToLock::decode(&longer).is_err(), "{}", example.name);
        assert!(HubToLock::decode(&example.bytes[..example.bytes.len() - 1]).is_err());
    }
    for example in examples::lock_to_hub(Shape::Full) {
        let longer = [&example.bytes[..], &[0]].concat();
        assert!(LockToHub::decode(&longer).is_err(), "{}", example.name);
        assert!(LockToHub::decode(&example.bytes[..example.bytes.len() - 1]).is_err());
    }
}

#[test]
fn s22_deep_and_endless_cbor_ends_quickly() {
    // Guards: a decoder that recurses into what it skips, and declared lengths that are believed.
    for byte in [0x81_u8, 0x9f, 0xbf, 0xa1, 0xc1, 0xd8, 0x5f, 0x7f] {
        let deep = vec![byte; 100_000];
        assert!(HubToLock::decode(&deep).is_err());
        assert!(LockToHub::decode(&deep).is_err());
        assert!(decode_report::<Nonce>(&deep).is_err());
        let unknown_field = [&[0x82, 0x0b, 0x82, 0x01][..], &deep].concat();
        assert!(LockToHub::decode(&unknown_field).is_err());
    }
    for huge in [[0x9b; 9], [0x5b; 9], [0xbb; 9], [0x7b; 9]] {
        let mut huge = huge.to_vec();
        huge[1..].fill(0xff);
        assert!(HubToLock::decode(&huge).is_err());
        let inside = [&[0x82, 0x02, 0x81][..], &huge].concat();
        assert!(HubToLock::decode(&inside).is_err());
    }
}

#[test]
fn every_reason_says_whether_it_may_have_moved_the_bolt() {
    for number in 0..=u8::MAX {
        let Some(reason) = Reason::from_number(number) else {
            continue;
        };
        assert_eq!(reason.number(), number);
        let moved = matches!(
            reason,
            Reason::Jammed | Reason::Interrupted | Reason::Forgotten
        );
        assert_eq!(reason.may_have_succeeded(), moved, "{reason:?}");
    }
    assert!(Verdict::Done.is_final() && Verdict::NotExecuted.is_final());
    assert!(!Verdict::NotSeen.is_final() && !Verdict::Forgotten.is_final());
}

/// Guards: a lock with one reason more than its hub, whose signed outcomes and whole log the hub can
/// no longer read; and a hub that takes a verdict it does not know for `done`.
#[test]
fn numbers_of_a_later_version_are_read_kept_and_trusted_with_nothing() {
    let lock = fixture::lock_identity();
    for number in 0..=u8::MAX {
        let reason = Reason::from_number(number).unwrap_or(Reason::Other(number));
        let verdict = Verdict::from_number(number).unwrap_or(Verdict::Other(number));
        let cause = Cause::from_number(number).unwrap_or(Cause::Other(number));
        let event = LogEvent::from_number(number).unwrap_or(LogEvent::Other(number));
        assert_eq!(
            [
                reason.number(),
                verdict.number(),
                cause.number(),
                event.number()
            ],
            [number; 4]
        );

        let mut outcome = fixture::outcome(Shape::Full);
        (outcome.reason, outcome.verdict) = (reason, verdict);
        let signed = fixture::bytes(|out| outcome.sign(&lock, out));
        assert_eq!(Outcome::verify(&signed, &lock.public()), Ok(outcome));
        let mut report = fixture::report(Shape::Full);
        report.cause = cause;
        let signed = fixture::bytes(|out| report.sign(&lock, out));
        assert_eq!(Report::verify(&signed, &lock.public()), Ok(report));
        // A record is strict: it is read only if what was understood gives the same bytes again.
        let mut record = fixture::log_record(Shape::Full, &[7; 200]);
        (record.event, record.cause, record.reason) = (event, cause, Some(reason));
        let bytes = fixture::bytes(|out| record.encode(out));
        assert_eq!(LogRecord::decode(&bytes), Ok(record));

        if let Verdict::Other(_) = verdict {
            assert!(!verdict.is_final() && verdict != Verdict::Done);
            assert_eq!(verdict.to_string(), format!("other_{number}"));
        }
        if let Reason::Other(_) = reason {
            assert!(reason.may_have_succeeded() && !reason.is_temporary());
            assert_eq!(reason.to_string(), format!("other_{number}"));
        } else {
            assert_eq!(reason.to_string(), reason.name());
        }
    }
}

#[test]
fn rights_are_separate_and_named() {
    let lock_only = Rights::LOCK.union(Rights::VIEW);
    assert!(lock_only.contains(Rights::LOCK) && !lock_only.contains(Rights::UNLOCK));
    assert!(!lock_only.contains(Rights::LOCK.union(Rights::UNLOCK)));
    assert_eq!(lock_only.names().collect::<Vec<_>>(), ["view", "lock"]);
    let mut all = Rights::default();
    for name in Rights::ALL.names() {
        let right = Rights::from_name(name).unwrap();
        assert!(!all.contains(right), "{name} is a bit of its own");
        all = all.union(right);
    }
    assert_eq!(all, Rights::ALL);
    assert_eq!(Rights::from_name("root"), None);
}

#[test]
fn identifiers_are_read_from_exactly_their_digits() {
    let id: LockId = "a1b2c3d4e5f60718".parse().unwrap();
    assert_eq!(id, fixture::LOCK);
    assert_eq!(id.to_string(), "a1b2c3d4e5f60718");
    assert_eq!("A1B2C3D4E5F60718".parse(), Ok(id));
    // S26: nothing that is no digit reaches a topic or a path.
    for wrong in [
        "",
        "a1b2c3d4e5f6071",
        "a1b2c3d4e5f607188",
        "a1b2c3d4e5f6071g",
        "+1b2c3d4e5f60718",
        "a1b2c3d4e5f6/../",
        "a1b2c3d4e5f607\u{0}8",
        "\u{ff11}1b2c3d4e5f60",
        "# # # # # # # # ",
        "\u{202e}1b2c3d4e5f607",
    ] {
        assert!(wrong.parse::<LockId>().is_err(), "{wrong:?}");
    }
    assert_eq!(OwnershipId::of_claim(b"").to_string(), "e3b0c44298fc1c14");
}

#[test]
fn a_beacon_is_found_by_its_key_and_no_other() {
    let (key, other) = (BeaconKey::new([1; 16]), BeaconKey::new([2; 16]));
    let mut dice = Dice::new("beacons");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let beacon = Beacon::generate(&key, &mut dice);
        assert!(beacon.is_from(&key) && !beacon.is_from(&other));
        for bit in 0..Beacon::LEN * 8 {
            let mut changed = beacon;
            changed.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!changed.is_from(&key));
        }
        assert!(seen.insert(beacon.0[4..].to_vec()), "a tag came again");
    }
}

#[test]
fn bounds_hold_at_their_edge() {
    let mut scratch = [0; 2_048];
    let mut cut = |message: &[u8], packet| {
        let mut pieces = 0;
        Fragmenter::new()
            .cut(message, &mut scratch, packet, |_| pieces += 1)
            .map(|()| pieces)
    };
    assert_eq!(cut(&[], 244), Err(FrameError::Unsendable));
    assert_eq!(
        cut(&[0; MAX_LINK_MESSAGE + 1], 244),
        Err(FrameError::Unsendable)
    );
    assert_eq!(cut(&[0; 10], MIN_PACKET - 1), Err(FrameError::Unsendable));
    assert_eq!(cut(&[0; 10], 4_096), Err(FrameError::Unsendable));
    assert_eq!(cut(&[0; 17], MIN_PACKET), Ok(1));
    assert_eq!(cut(&[0; 18], MIN_PACKET), Ok(2));
    assert!(cut(&[0; MAX_LINK_MESSAGE], 244).is_ok());

    assert!(Prologue::new(fixture::LOCK, &[0; 48], &[0; 48]).is_ok());
    assert!(Prologue::new(fixture::LOCK, &[0; 49], &[]).is_err());
    assert!(Prologue::new(fixture::LOCK, &[], &[0; 49]).is_err());
    assert!(LinkMessage::Record(&[0; 9]).encode(&mut [0; 9]).is_err());
    for len in (0..64).filter(|len| *len != Label::LEN) {
        assert_eq!(Label::from_bytes(&vec![0; len]), None);
    }
}
