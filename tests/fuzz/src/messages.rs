//! What the two ends say to each other: link messages, messages inside a session, log batches.
//!
//! The first byte chooses the decoder.

use drawbridge_daemon::owner::log_reading::{Line, LogReading};
use drawbridge_protocol::ids::Digest32;
use drawbridge_protocol::link_message::{LinkMessage, MAX_LINK_MESSAGE};
use drawbridge_protocol::log_record::{LogCursor, LogRecord};
use drawbridge_protocol::tunnel::{HubToLock, LockToHub, LogRecords};

/// Whatever is read is written back as the same meaning, never longer than it came; a log record
/// as the same bytes.
///
/// # Panics
/// When one of that does not hold.
pub fn messages(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    match choice % 5 {
        0 => to_lock(bytes),
        1 => to_hub(bytes),
        2 => link(bytes),
        3 => record(bytes),
        _ => chain(bytes),
    }
}

fn to_lock(bytes: &[u8]) {
    let Ok(message) = HubToLock::decode(bytes) else {
        return;
    };
    let mut out = vec![0; bytes.len()];
    let again = message.encode(&mut out).expect("ours is the shortest form");
    assert_eq!(HubToLock::decode(again), Ok(message));
}

fn to_hub(bytes: &[u8]) {
    let Ok(message) = LockToHub::decode(bytes) else {
        return;
    };
    let mut out = vec![0; bytes.len()];
    let again = message.encode(&mut out).expect("ours is the shortest form");
    assert_eq!(LockToHub::decode(again), Ok(message.clone()));
    if let LockToHub::LogBatch { records, .. } = message {
        chain(records);
    }
}

fn link(bytes: &[u8]) {
    let Ok(message) = LinkMessage::decode(bytes) else {
        return;
    };
    let mut out = [0; MAX_LINK_MESSAGE];
    assert_eq!(message.encode(&mut out), Ok(bytes));
}

fn record(bytes: &[u8]) {
    let Ok(record) = LogRecord::decode(bytes) else {
        return;
    };
    let mut out = vec![0; bytes.len()];
    assert_eq!(record.encode(&mut out), Ok(bytes));
}

/// A batch of records is followed by the lock's rule: a refused one moves nothing.
fn chain(bytes: &[u8]) {
    let mut cursor = LogCursor::START;
    let mut reading = LogReading::behind(None);
    let mut total = 0;
    let mut followed = 0;
    for record in LogRecords::new(bytes) {
        let Ok(record) = record else { break };
        total += 2 + record.len();
        let before = cursor;
        match cursor.follow(record) {
            Ok(read) => {
                assert_eq!((read.seq, read.previous), (before.seq + 1, before.head));
                assert_eq!(cursor.head, Digest32::of(record));
                followed += 1;
            }
            Err(_) => assert_eq!(cursor, before),
        }
        reading.take(record);
    }
    assert!(total <= bytes.len());
    let entries = reading
        .lines()
        .iter()
        .filter(|line| matches!(line, Line::Entry(_)));
    assert!(entries.count() >= followed);
    // Nobody signed a head here but the start's own.
    let forged = LogCursor {
        seq: cursor.seq,
        head: Digest32([0x77; 32]),
    };
    assert!(reading.verdict(forged).is_err());
}
