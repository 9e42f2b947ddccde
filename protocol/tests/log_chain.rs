//! A log shows every record that is missing, added, changed or out of order.
//!
//! Guards: log evasion (Ho et al. 2016): a carrier that drops the entry of its own misuse.

use drawbridge_protocol::ids::Digest32;
use drawbridge_protocol::log_record::{ChainError, LogCursor, LogRecord};
use drawbridge_protocol::tunnel::LogRecords;

use crate::fixture::{self, Shape, bytes};

fn log(len: u64) -> Vec<Vec<u8>> {
    let mut previous = Digest32::ZERO;
    (1..=len)
        .map(|seq| {
            let record = LogRecord {
                seq,
                previous,
                time_ms: seq * 1_000,
                boot: 1 + (seq / 4) as u32,
                ..fixture::log_record(Shape::Plain, &[])
            };
            let encoded = bytes(|out| record.encode(out));
            previous = Digest32::of(&encoded);
            encoded
        })
        .collect()
}

fn follow<'b>(records: impl IntoIterator<Item = &'b Vec<u8>>) -> Result<LogCursor, ChainError> {
    let mut cursor = LogCursor::START;
    for record in records {
        cursor.follow(record)?;
    }
    Ok(cursor)
}

#[test]
fn an_honest_log_ends_at_the_signed_head() {
    let log = log(12);
    let cursor = follow(&log).unwrap();
    assert_eq!((cursor.seq, cursor.head), (12, Digest32::of(&log[11])));
}

#[test]
fn any_dropped_repeated_or_swapped_record_shows() {
    let log = log(12);
    for at in 0..log.len() - 1 {
        let mut dropped = log.clone();
        dropped.remove(at);
        let (expected, found) = (at as u64 + 1, at as u64 + 2);
        assert_eq!(follow(&dropped), Err(ChainError::Gap { expected, found }));
        let mut repeated = log.clone();
        repeated.insert(at, log[at].clone());
        assert!(matches!(follow(&repeated), Err(ChainError::Gap { .. })));
        let mut swapped = log.clone();
        swapped.swap(at, at + 1);
        assert!(matches!(follow(&swapped), Err(ChainError::Gap { .. })));
    }
    // The newest one withheld is what the head in every answer is for.
    assert_ne!(follow(&log[..11]).unwrap(), follow(&log).unwrap());
}

#[test]
fn a_record_of_another_history_breaks_the_chain() {
    let log = log(6);
    let forged = LogRecord {
        seq: 4,
        previous: Digest32::of(&log[1]),
        ..fixture::log_record(Shape::Plain, &[])
    };
    let forged = bytes(|out| forged.encode(out));
    let mut cursor = follow(&log[..3]).unwrap();
    let before = cursor;
    assert_eq!(cursor.follow(&forged), Err(ChainError::Broken { seq: 4 }));
    assert_eq!(cursor, before, "a refusal moves nothing");
    assert_eq!(cursor.follow(b""), Err(ChainError::Malformed));
    cursor.follow(&log[3]).unwrap();
}

#[test]
fn the_last_number_there_is_does_not_wrap() {
    let mut cursor = LogCursor {
        seq: u64::MAX,
        head: fixture::LOG_HEAD,
    };
    let record = fixture::log_record(Shape::Full, &[]);
    let record = bytes(|out| record.encode(out));
    let before = cursor;
    let followed = cursor.follow(&record);
    assert!(followed.is_err(), "the last record came again");
    assert_eq!(cursor, before);
}

#[test]
fn a_batch_yields_its_records_and_an_error_where_it_is_cut() {
    let log = log(3);
    let mut batch = Vec::new();
    for record in &log {
        batch.extend((record.len() as u16).to_be_bytes());
        batch.extend(record);
    }
    let whole: Result<Vec<_>, _> = LogRecords::new(&batch).collect();
    assert_eq!(whole.unwrap(), log);
    let mut complete = 0;
    for len in 0..batch.len() {
        let (mut read, mut broken) = (0, 0);
        for item in LogRecords::new(&batch[..len]) {
            match item {
                Ok(record) => {
                    assert_eq!(record, log[read]);
                    read += 1;
                }
                Err(_) => broken += 1,
            }
        }
        assert!(broken <= 1, "an error ends the batch");
        complete += usize::from(broken == 0);
    }
    assert_eq!(complete, 3, "only the cuts between records look complete");
    assert_eq!(LogRecords::new(&[0, 0]).next(), Some(Ok(&[][..])));
}
