//! One value, one encoding: what a signer signed is what every verifier reads.
//!
//! Guards: two decoders that read the same signed bytes differently (duplicate keys, RFC 8949
//! section 5.6), and fields that an old verifier skips although they restrict.

use drawbridge_protocol::codec::{CodecError, decode_exact};
use drawbridge_protocol::cose::{CoseError, Envelope, Kind, MAX_PAYLOAD};
use drawbridge_protocol::hello::{InitiatorHello, LockHello};
use drawbridge_protocol::log_record::LogRecord;
use drawbridge_protocol::psk::PskRing;
use drawbridge_protocol::ticket::PairingTicket;
use minicbor::Decoder;

use crate::examples;
use crate::fixture::{self, Shape, bytes};
use crate::kinds::{payload, reseal, signer, verify};

/// A key and its value, as bytes.
type Pair = (Vec<u8>, Vec<u8>);

/// The pairs of a map of at most 23 pairs, as bytes.
fn pairs(map: &[u8]) -> Vec<Pair> {
    let mut decoder = Decoder::new(map);
    let len = decoder.map().unwrap().expect("a definite length");
    assert!(len <= 22);
    (0..len)
        .map(|_| {
            let mut item = || {
                let start = decoder.position();
                decoder.skip().unwrap();
                map[start..decoder.position()].to_vec()
            };
            (item(), item())
        })
        .collect()
}

fn map(pairs: &[Pair]) -> Vec<u8> {
    let mut out = vec![0xa0 + pairs.len() as u8];
    for (key, value) in pairs {
        out.extend(key);
        out.extend(value);
    }
    out
}

/// The same map in every way that is not the one way; with a name for each.
fn deviations(valid: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let pairs = pairs(valid);
    assert_eq!(map(&pairs), valid);
    let with = |change: &dyn Fn(&mut Vec<Pair>)| {
        let mut changed = pairs.clone();
        change(&mut changed);
        map(&changed)
    };
    let body = &valid[1..];
    let longer_head = |value: &[u8]| -> Vec<u8> {
        match value[0] {
            // A number or length below 24 in one byte more.
            head @ (0x00..=0x17 | 0x40..=0x57 | 0xa0..=0xb7) => {
                [&[head & 0xe0 | 0x18, head & 0x1f], &value[1..]].concat()
            }
            // One of two bytes in three, and so on.
            head @ (0x18 | 0x58) => [&[head + 1, 0], &value[1..]].concat(),
            head @ 0x19 => [&[head + 1, 0, 0], &value[1..]].concat(),
            head @ 0x1a => [&[head + 1, 0, 0, 0, 0], &value[1..]].concat(),
            _ => Vec::new(),
        }
    };
    let mut all = vec![
        ("nothing", Vec::new()),
        ("an empty map", vec![0xa0]),
        ("unknown key", with(&|p| p.push((vec![0x18, 99], vec![0])))),
        ("negative key", with(&|p| p.push((vec![0x20], vec![0])))),
        ("text key", with(&|p| p.push((vec![0x61, b'a'], vec![0])))),
        ("key 0", with(&|p| p.insert(0, (vec![0], vec![0])))),
        (
            "duplicate of the first",
            with(&|p| p.insert(0, p[0].clone())),
        ),
        (
            "duplicate of the last",
            with(&|p| p.push(p[p.len() - 1].clone())),
        ),
        ("keys out of order", with(&|p| p.swap(0, 1))),
        ("longer first key", with(&|p| p[0].0 = vec![0x18, 1])),
        ("first field missing", with(&|p| drop(p.remove(0)))),
        ("one byte after it", [valid, &[0]].concat()),
        ("itself after it", [valid, valid].concat()),
        (
            "longer head of the map",
            [&[0xb8, pairs.len() as u8], body].concat(),
        ),
        ("map without end", [&[0xbf], body, &[0xff]].concat()),
        ("an array", [&[0x80 + pairs.len() as u8], body].concat()),
        ("a tag around it", [&[0xd8, 0x18], valid].concat()),
        (
            "one pair more than there is",
            [&[valid[0] + 1], body].concat(),
        ),
        (
            "one pair fewer than there is",
            [&[valid[0] - 1], body].concat(),
        ),
        (
            "more pairs than memory",
            [
                &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                body,
            ]
            .concat(),
        ),
    ];
    for at in 0..pairs.len() {
        let value = &pairs[at].1;
        let longer = longer_head(value);
        if !longer.is_empty() {
            all.push((
                "longer head of a value",
                with(&|p| p[at].1.clone_from(&longer)),
            ));
        }
        if (0x40..=0x5b).contains(&value[0]) {
            let in_pieces = [&[0x5f], value.as_slice(), &[0xff]].concat();
            all.push(("bytes in pieces", with(&|p| p[at].1.clone_from(&in_pieces))));
            // Keys, hashes and nonces have their length; the evidence of a log record has any.
            if value.len() <= 34 {
                all.push(("no bytes", with(&|p| p[at].1 = vec![0x40])));
            }
        }
        for (name, other) in [
            ("NaN", &[0xf9, 0x7e, 0x00][..]),
            ("a double", &[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]),
            ("null", &[0xf6]),
            ("undefined", &[0xf7]),
            ("a negative number", &[0x20]),
            ("a text", &[0x61, b'x']),
            ("a bignum", &[0xc2, 0x41, 0x01]),
        ] {
            all.push((name, with(&|p| p[at].1 = other.to_vec())));
        }
    }
    all
}

#[test]
fn a_signed_statement_has_exactly_one_encoding() {
    let strict = [
        Kind::Command,
        Kind::Grant,
        Kind::Claim,
        Kind::Receipt,
        Kind::AuditAck,
    ];
    let mut tried = 0;
    for kind in strict {
        for shape in [Shape::Plain, Shape::Full] {
            let valid = payload(kind, shape);
            let secret = signer(kind);
            for (name, changed) in deviations(&valid) {
                if changed.len() > MAX_PAYLOAD {
                    continue; // nobody seals that
                }
                let statement = reseal(kind, &changed, &secret);
                let verdict = verify(kind, &statement, &secret.public(), &fixture::claim_key());
                assert_eq!(verdict, Err(CoseError::Form), "{kind:?} with {name}");
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "{tried}");
}

#[test]
fn structures_that_are_hashed_or_stored_have_exactly_one_encoding() {
    type Reads = fn(&[u8]) -> Result<(), CodecError>;
    let readers: [(&str, Reads); 5] = [
        ("hello.lock", |bytes| LockHello::decode(bytes).map(drop)),
        ("hello.initiator", |bytes| {
            InitiatorHello::decode(bytes).map(drop)
        }),
        ("log_record", |bytes| LogRecord::decode(bytes).map(drop)),
        ("ticket", |bytes| PairingTicket::decode(bytes).map(drop)),
        ("psk_ring", |bytes| decode_exact::<PskRing>(bytes).map(drop)),
    ];
    for shape in [Shape::Plain, Shape::Full] {
        let all = examples::all(shape);
        for (name, read) in readers {
            let Some(example) = all.iter().find(|example| example.name == name) else {
                panic!("no example {name}");
            };
            assert_eq!(read(&example.bytes), Ok(()));
            for (deviation, changed) in deviations_of(name, &example.bytes) {
                assert!(read(&changed).is_err(), "{name} with {deviation}");
            }
        }
    }
}

/// A ring of one pair has nothing to put out of order.
fn deviations_of(name: &str, valid: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    if name == "psk_ring" && valid[0] == 0xa1 {
        vec![
            (
                "unknown key",
                [&[0xa2], &valid[1..], &[0x18, 99, 0]].concat(),
            ),
            ("one byte after it", [valid, &[0]].concat()),
        ]
    } else {
        deviations(valid)
    }
}

#[test]
fn a_report_may_say_more_than_this_version_knows() {
    // An old hub must understand a new lock: what a report adds restricts nobody.
    for kind in [Kind::SessionInfo, Kind::Outcome, Kind::Report] {
        let secret = fixture::lock_identity();
        let mut pairs = pairs(&payload(kind, Shape::Plain));
        for unknown in [
            &[0x00][..],
            &[0xf6],
            &[0x63, b'n', b'e', b'w'],
            &[0x83, 0x01, 0x82, 0x02, 0x03, 0xa1, 0x01, 0x40],
            &[0xf9, 0x7e, 0x00],
        ] {
            pairs.push((vec![0x18, 99], unknown.to_vec()));
            let statement = reseal(kind, &map(&pairs), &secret);
            pairs.pop();
            assert!(
                examples::verifies(kind, Shape::Plain, &statement),
                "{kind:?} with {unknown:02x?}"
            );
        }
    }
}

#[test]
fn a_report_is_still_refused_where_it_is_not_a_report() {
    let tolerated = [
        "unknown key",
        "negative key",
        "text key",
        "key 0",
        "duplicate of the first",
        "duplicate of the last",
        "keys out of order",
        "longer first key",
        "longer head of the map",
        "longer head of a value",
        "map without end",
        "null",
    ];
    for kind in [Kind::SessionInfo, Kind::Outcome, Kind::Report] {
        let secret = fixture::lock_identity();
        for (name, changed) in deviations(&payload(kind, Shape::Full)) {
            let statement = reseal(kind, &changed, &secret);
            let verdict = verify(kind, &statement, &secret.public(), &fixture::claim_key());
            if !tolerated.contains(&name) {
                assert_eq!(verdict, Err(CoseError::Form), "{kind:?} with {name}");
            }
        }
    }
}

#[test]
fn an_envelope_has_exactly_one_encoding() {
    for kind in Kind::ALL {
        let valid = examples::statement(kind, Shape::Plain);
        let tag = valid[0] - 0xc0;
        let payload = payload(kind, Shape::Plain);
        let at_payload = 11;
        assert_eq!(valid[10], 0xa0, "the unprotected header");
        let after_head = if payload.len() < 256 { 2 } else { 3 };
        let in_place = |at: usize, byte: u8| {
            let mut changed = valid.clone();
            changed[at] = byte;
            changed
        };
        let length = (payload.len() as u32).to_be_bytes();
        let long_head = [
            &valid[..at_payload],
            &[0x5a],
            &length,
            &valid[at_payload + after_head..],
        ]
        .concat();
        let deviations = [
            ("no tag", valid[1..].to_vec()),
            ("a longer tag", [&[0xd8, tag], &valid[1..]].concat()),
            ("another tag", in_place(0, 0xd0)),
            (
                "self-described",
                [&[0xd9, 0xd9, 0xf7], valid.as_slice()].concat(),
            ),
            ("a shorter array", in_place(1, 0x83)),
            (
                "an array without end",
                [&valid[..1], &[0x9f], &valid[2..], &[0xff]].concat(),
            ),
            ("another algorithm", in_place(5, 0x27)),
            (
                "an unprotected header",
                [&valid[..10], &[0xa1, 1, 0x32], &valid[11..]].concat(),
            ),
            ("a longer payload head", long_head),
            ("a byte after it", [valid.as_slice(), &[0]].concat()),
            ("no seal", valid[..valid.len() - 1].to_vec()),
        ];
        for (name, changed) in deviations {
            let key = signer(kind).public();
            assert_eq!(
                verify(kind, &changed, &key, &fixture::claim_key()),
                Err(CoseError::Form),
                "{kind:?} with {name}"
            );
        }
    }
}

#[test]
fn every_bound_holds_what_it_must_at_its_largest() {
    use drawbridge_protocol::command::MAX_COMMAND;
    use drawbridge_protocol::cose::MAX_STATEMENT;
    use drawbridge_protocol::hello::MAX_HELLO;
    use drawbridge_protocol::link_message::MAX_PLAINTEXT;
    use drawbridge_protocol::log_record::MAX_LOG_RECORD;
    use drawbridge_protocol::ticket::MAX_TICKET;
    for kind in Kind::ALL {
        assert!(payload(kind, Shape::Full).len() <= MAX_PAYLOAD, "{kind:?}");
        assert!(examples::statement(kind, Shape::Full).len() <= MAX_STATEMENT);
    }
    assert!(examples::statement(Kind::Command, Shape::Full).len() <= MAX_COMMAND);
    for example in examples::hub_to_lock(Shape::Full) {
        assert!(example.bytes.len() <= MAX_PLAINTEXT, "{}", example.name);
    }
    for example in examples::lock_to_hub(Shape::Full) {
        assert!(example.bytes.len() <= MAX_PLAINTEXT, "{}", example.name);
    }
    let longest_command = vec![0; MAX_COMMAND];
    let record = fixture::log_record(Shape::Full, &longest_command);
    assert!(bytes(|out| record.encode(out)).len() <= MAX_LOG_RECORD);
    let mut ticket = fixture::code().ticket();
    (ticket.model, ticket.passkey) = (u16::MAX, u32::MAX);
    assert!(bytes(|out| ticket.encode(out)).len() <= MAX_TICKET);
    assert!(bytes(|out| fixture::lock_hello(Shape::Full).encode(out)).len() <= MAX_HELLO);
}

#[test]
fn payload_over_its_bound_is_no_envelope() {
    // Guards: a verifier that takes in more than any signer seals, in buffers made for less.
    for kind in Kind::ALL {
        let valid = examples::statement(kind, Shape::Full);
        // Tag, array, protected headers as a string, no others: the same for every payload.
        let head = valid.get(..11).unwrap();
        let seal: &[u8] = if kind == Kind::Claim {
            &[&[0x58, 32][..], &[7; 32]].concat()
        } else {
            &[&[0x58, 64][..], &[7; 64]].concat()
        };
        for (len, taken) in [(MAX_PAYLOAD, true), (MAX_PAYLOAD + 1, false)] {
            let long = (len as u16).to_be_bytes();
            let bytes = [head, &[0x59], &long, &vec![0; len], seal].concat();
            assert_eq!(
                Envelope::parse(kind, &bytes).is_ok(),
                taken,
                "{kind:?}, {len}"
            );
        }
    }
}
