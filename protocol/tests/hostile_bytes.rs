//! S05: each length and each flipped bit of what is valid: an error, and nothing has changed.
//!
//! Guards: TTLock's firmware, which trusted a length that nobody had authenticated.

use drawbridge_protocol::cose::{CoseError, Kind};
use drawbridge_protocol::frame::{Fragmenter, FrameError, Reassembler};
use drawbridge_protocol::hello::{InitiatorHello, LockHello};
use drawbridge_protocol::link_message::{LinkMessage, MAX_LINK_MESSAGE, MAX_RECORD};
use drawbridge_protocol::log_record::{LogCursor, LogRecord};
use drawbridge_protocol::noise::{HandshakeError, MESSAGE_1, MESSAGE_2};
use drawbridge_protocol::qr::QrCode;
use drawbridge_protocol::session::{Session, SessionError};
use drawbridge_protocol::ticket::PairingTicket;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub, LogRecords};
use proptest::collection::vec;
use proptest::prelude::any;

use crate::examples;
use crate::fixture::{self, Shape, bytes};
use crate::kinds::{signer, verify};
use crate::lane::{Dice, Rounds, runner};
use drawbridge_protocol::entropy::Entropy;

/// Default packet size of a link, in bytes.
const MTU: usize = 244;

/// Every byte string that differs from `valid` in one bit.
fn flips(valid: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..valid.len() * 8).map(|bit| {
        let mut changed = valid.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    })
}

/// `valid` cut or continued to each length from 0 to one above the larger of it and [`MTU`],
/// except its own.
fn lengths(valid: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..=valid.len().max(MTU) + 1)
        .filter(|len| *len != valid.len())
        .map(|len| {
            let mut changed = valid.to_vec();
            changed.resize(len, 0x5a);
            changed
        })
}

fn cut(message: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    Fragmenter::new()
        .cut(message, &mut [0; MTU], MTU, |piece| {
            pieces.push(piece.to_vec())
        })
        .unwrap();
    pieces
}

#[test]
fn s05_a_refused_fragment_changes_nothing_and_the_right_one_still_fits() {
    let mut message = [0; 600];
    Dice::new("fragments").fill(&mut message);
    let pieces = cut(&message);
    assert_eq!(pieces.len(), 3);
    let (mut refused, mut taken) = (0, 0);
    for at in 0..pieces.len() {
        for hostile in flips(&pieces[at]).chain(lengths(&pieces[at])) {
            let mut reassembler = Reassembler::new();
            for piece in &pieces[..at] {
                assert_eq!(reassembler.push(piece), Ok(None));
            }
            match reassembler.push(&hostile) {
                Err(_) => {
                    refused += 1;
                    for piece in &pieces[at..pieces.len() - 1] {
                        assert_eq!(reassembler.push(piece), Ok(None));
                    }
                    let last = reassembler.push(&pieces[pieces.len() - 1]);
                    assert_eq!(last, Ok(Some(message.as_slice())));
                }
                // A changed payload is for the session to notice: frames promise order and bounds.
                Ok(None) => taken += 1,
                Ok(Some(other)) => {
                    assert_ne!(other, message);
                    taken += 1;
                }
            }
        }
    }
    assert!(
        refused > 150 && taken > 1_000,
        "{refused} refused, {taken} taken"
    );
}

#[test]
fn s05_each_flipped_bit_of_a_fragment_header_is_refused() {
    let pieces = cut(&[0x11; 600]);
    for at in 0..pieces.len() {
        for bit in 0..8 {
            let mut reassembler = Reassembler::new();
            for piece in &pieces[..at] {
                reassembler.push(piece).unwrap();
            }
            let mut changed = pieces[at].clone();
            changed[0] ^= 1 << bit;
            let error = reassembler.push(&changed).unwrap_err();
            assert!(matches!(
                error,
                FrameError::OutOfOrder | FrameError::Malformed
            ));
        }
    }
}

#[test]
fn s05_every_declared_length_is_checked_before_the_buffer_is_touched() {
    for length in 0..=u16::MAX {
        let [low, high] = length.to_le_bytes();
        let pushed = Reassembler::new().push(&[0x80, low, high, 0xaa]).is_ok();
        assert_eq!(
            pushed,
            (1..=MAX_LINK_MESSAGE).contains(&usize::from(length)),
            "{length}"
        );
    }
    assert_eq!(Reassembler::new().push(&[]), Err(FrameError::Malformed));
    assert_eq!(Reassembler::new().push(&[0x80]), Err(FrameError::Malformed));
    assert_eq!(
        Reassembler::new().push(&[0x80, 9, 0]),
        Err(FrameError::Malformed)
    );
}

#[test]
fn s05_a_fragment_replayed_or_out_of_turn_ends_the_link() {
    let pieces = cut(&[0x22; 600]);
    let mut reassembler = Reassembler::new();
    assert_eq!(reassembler.push(&pieces[1]), Err(FrameError::OutOfOrder));
    reassembler.push(&pieces[0]).unwrap();
    assert_eq!(reassembler.push(&pieces[0]), Err(FrameError::OutOfOrder));
    assert_eq!(reassembler.push(&pieces[2]), Err(FrameError::OutOfOrder));
    reassembler.push(&pieces[1]).unwrap();
    assert!(matches!(reassembler.push(&pieces[2]), Ok(Some(_))));
}

#[test]
fn s05_messages_of_every_length_cross_in_packets_of_every_size() {
    let rounds = Rounds::of("s05 messages in packets", 2_000, 40_000);
    let mut dice = Dice::new("s05 packets");
    let (mut fragmenter, mut reassembler) = (Fragmenter::new(), Reassembler::new());
    for _ in 0..rounds.run {
        let mut message = vec![0; 1 + dice.below(MAX_LINK_MESSAGE)];
        dice.fill(&mut message);
        let packet = 20 + dice.below(MAX_LINK_MESSAGE);
        let mut whole = None;
        fragmenter
            .cut(&message, &mut vec![0; packet], packet, |piece| {
                assert!(piece.len() <= packet && whole.is_none());
                whole = reassembler.push(piece).unwrap().map(<[u8]>::to_vec);
            })
            .unwrap();
        assert_eq!(whole, Some(message));
    }
}

#[test]
fn s05_link_messages_of_every_type_and_length_never_panic() {
    for kind in 0..=u8::MAX {
        for len in (0..=MTU + 1).chain([MAX_LINK_MESSAGE - 1, MAX_LINK_MESSAGE, 70_000]) {
            let mut message = vec![0x33; len + 1];
            message[0] = kind;
            let read = LinkMessage::decode(&message);
            let known = matches!(kind, 1..=5) && len < MAX_LINK_MESSAGE;
            let denied = kind == 15 && len == 0;
            assert_eq!(read.is_ok(), known || denied, "{kind} {len}");
            if let Ok(read) = read {
                assert_eq!(bytes_of(&read), message);
            }
        }
    }
    assert!(LinkMessage::decode(&[]).is_err());
}

fn bytes_of(message: &LinkMessage<'_>) -> Vec<u8> {
    let mut out = vec![0; MAX_LINK_MESSAGE];
    message.encode(&mut out).unwrap().to_vec()
}

/// Opens `hostile` and asserts the one error class of a peer without proof, no plaintext left
/// behind and an unchanged session.
fn refuses(session: &mut Session, hostile: &[u8], secret: &[u8]) {
    let before = format!("{session:?}");
    let mut out = [0; MAX_RECORD];
    let error = session.open(hostile, &mut out).unwrap_err();
    assert!(
        matches!(error, SessionError::NotMine | SessionError::NotAuthentic),
        "{error:?} tells a stranger more than no"
    );
    assert!(!out.windows(secret.len()).any(|window| window == secret));
    assert_eq!(format!("{session:?}"), before);
}

#[test]
fn s05_no_changed_record_is_opened_or_moves_a_session() {
    let shaken = fixture::shake();
    let (mut hub, mut lock) = (shaken.hub, shaken.lock);
    let text = b"a text that must not leak before it is authentic";
    let here = bytes(|out| hub.seal(text, out));
    assert!(hub.resume());
    let moved = bytes(|out| hub.seal(text, out));
    let back = bytes(|out| lock.seal(text, out));
    let mut tried = 0;
    for record in [&here, &moved] {
        for hostile in flips(record).chain(lengths(record)) {
            refuses(&mut lock, &hostile, text);
            tried += 1;
        }
    }
    // What the lock sent on its old link is not for the new one, changed or not.
    for hostile in flips(&back).chain(lengths(&back)) {
        refuses(&mut hub, &hostile, text);
    }
    assert!(tried > 1_500);
    let mut out = [0; 200];
    assert_eq!(lock.open(&here, &mut out).unwrap().plaintext, text);
    assert!(lock.open(&moved, &mut out).unwrap().moved);
}

#[test]
fn s05_a_record_is_not_opened_into_a_buffer_that_is_too_small() {
    let shaken = fixture::shake();
    let (mut hub, mut lock) = (shaken.hub, shaken.lock);
    let record = bytes(|out| hub.seal(b"thirty bytes of something here", out));
    for len in 0..30 {
        let mut out = vec![0; len];
        assert_eq!(lock.open(&record, &mut out), Err(SessionError::TooLong));
    }
    let mut out = [0; 30];
    assert!(lock.open(&record, &mut out).is_ok());
}

#[test]
fn s05_no_changed_handshake_message_is_accepted() {
    let shaken = fixture::shake();
    let prologue = shaken.prologue();
    for hostile in flips(&shaken.message1).chain(lengths(&shaken.message1)) {
        let error = fixture::read(&prologue, &hostile).unwrap_err();
        let expected = if hostile.len() == MESSAGE_1 {
            HandshakeError::NotAuthentic
        } else {
            HandshakeError::Length
        };
        assert_eq!(error, expected);
    }
    for hostile in flips(&shaken.message2).chain(lengths(&shaken.message2)) {
        let (initiator, _) = fixture::start(&prologue);
        let error = initiator.finish(&hostile).unwrap_err();
        let expected = if hostile.len() == MESSAGE_2 {
            HandshakeError::NotAuthentic
        } else {
            HandshakeError::Length
        };
        assert_eq!(error, expected);
    }
}

#[test]
fn s05_no_changed_statement_verifies() {
    for kind in Kind::ALL {
        let valid = examples::statement(kind, Shape::Plain);
        let key = signer(kind).public();
        let claim_key = fixture::claim_key();
        assert_eq!(verify(kind, &valid, &key, &claim_key), Ok(()));
        for hostile in flips(&valid).chain(lengths(&valid)) {
            let error = verify(kind, &hostile, &key, &claim_key).unwrap_err();
            assert!(matches!(error, CoseError::Form | CoseError::NotAuthentic));
        }
    }
}

#[test]
fn s05_no_changed_log_record_keeps_the_head() {
    let [first, second] = examples::chain();
    let mut honest = LogCursor::START;
    honest.follow(&first).unwrap();
    honest.follow(&second).unwrap();
    for hostile in flips(&first).chain(lengths(&first)) {
        let mut cursor = LogCursor::START;
        let followed = cursor.follow(&hostile).is_ok();
        if !followed {
            assert_eq!(cursor, LogCursor::START, "a refusal moves nothing");
            continue;
        }
        assert!(
            cursor.follow(&second).is_err(),
            "the next one names another"
        );
    }
    for hostile in flips(&second).chain(lengths(&second)) {
        let mut cursor = LogCursor::START;
        cursor.follow(&first).unwrap();
        if cursor.follow(&hostile).is_ok() {
            assert_ne!(cursor.head, honest.head, "the signed head shows it");
        }
    }
}

/// Hands bytes to every reader of the crate. None may panic; what is read is not looked at.
fn read_with_everything(input: &[u8]) {
    let lock = fixture::lock_identity().public();
    for kind in Kind::ALL {
        assert!(verify(kind, input, &lock, &fixture::claim_key()).is_err());
    }
    let _ = HubToLock::decode(input);
    let _ = LockToHub::decode(input);
    let _ = LockHello::decode(input);
    let _ = InitiatorHello::decode(input);
    let _ = LogRecord::decode(input);
    let _ = PairingTicket::decode(input);
    let _ = LinkMessage::decode(input);
    let _ = Reassembler::new().push(input);
    let _ = QrCode::from_text(&String::from_utf8_lossy(input));
    // A batch ends, whatever its lengths say.
    assert!(LogRecords::new(input).count() <= input.len() / 2 + 1);
}

#[test]
fn s05_no_reader_panics_on_bytes_from_anywhere() {
    let rounds = Rounds::of("s05 random bytes to every reader", 4_000, 100_000);
    runner(&rounds)
        .run(&vec(any::<u8>(), 0..MTU + 2), |input| {
            read_with_everything(&input);
            Ok(())
        })
        .unwrap();
}

#[test]
fn s05_no_reader_panics_on_what_is_nearly_valid() {
    // Splices of real structures reach deeper than noise does.
    let rounds = Rounds::of("s05 spliced structures to every reader", 4_000, 100_000);
    let pool: Vec<_> = [Shape::Plain, Shape::Full]
        .into_iter()
        .flat_map(examples::all)
        .map(|example| example.bytes)
        .collect();
    let mut dice = Dice::new("s05 splices");
    for _ in 0..rounds.run {
        let (one, other) = (&pool[dice.below(pool.len())], &pool[dice.below(pool.len())]);
        let mut spliced = one[..dice.below(one.len() + 1)].to_vec();
        spliced.extend(&other[dice.below(other.len() + 1)..]);
        if spliced.is_empty() || pool.contains(&spliced) {
            continue;
        }
        let at = dice.below(spliced.len());
        spliced[at] ^= dice.next() as u8;
        if pool.contains(&spliced) {
            continue;
        }
        read_with_everything(&spliced);
    }
}
