use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::log_record::MAX_LOG_RECORD;

use super::super::audit::acknowledge;
use super::super::keys::{Kernel, OwnerBook};
use super::super::test_lock::TestLock;
use super::*;

/// Records 1 to `count`, and the head.
fn chain(count: u64) -> (Vec<Vec<u8>>, LogCursor) {
    let mut cursor = LogCursor::START;
    let mut records = Vec::new();
    for seq in 1..=count {
        let record = LogRecord {
            seq,
            previous: cursor.head,
            boot: 1,
            time_ms: seq * 1_000,
            event: LogEvent::Intent,
            cause: Cause::Command,
            actor: None,
            grant: None,
            command: None,
            reason: None,
            position: Some(Position::Locked),
            count: None,
            evidence: None,
        };
        let mut out = [0; MAX_LOG_RECORD];
        let bytes = record.encode(&mut out).unwrap().to_vec();
        cursor = LogCursor {
            seq,
            head: Digest32::of(&bytes),
        };
        records.push(bytes);
    }
    (records, cursor)
}

fn read<'a>(mark: Option<LogCursor>, records: impl IntoIterator<Item = &'a Vec<u8>>) -> LogReading {
    let mut reading = LogReading::behind(mark);
    records.into_iter().for_each(|record| reading.take(record));
    reading
}

#[test]
fn a_whole_log_reaches_its_signed_head_and_may_be_freed() {
    let (records, head) = chain(20);
    let reached = read(None, &records).verdict(head).unwrap();
    let lock = TestLock::new(1);
    let book = OwnerBook::new(&mut Kernel);
    let record = lock.owned_record("Front", &book);
    let ack = acknowledge(&book.keys, &record, &reached).unwrap();
    let ack = AuditAck::verify(&ack, &book.keys.audit.public()).unwrap();
    assert_eq!((ack.seq, ack.head), (20, head.head));
    assert_eq!(Some(ack.ownership), record.ownership());
    assert!(acknowledge(&book.keys, &lock.record("not proven"), &reached).is_err());
}

// Guards (S18, R8): a hub that drops a record, wherever it is, and hopes that nobody counts.
#[test]
fn s18_every_single_dropped_record_shows() {
    let (records, head) = chain(12);
    for missing in 1..=12u64 {
        let kept = records.iter().zip(1..).filter(|(_, seq)| *seq != missing);
        let reading = read(None, kept.map(|(record, _)| record));
        let shown = reading.lines().iter().any(|line| {
            matches!(line, Line::Gap { from, to } | Line::Earlier { from, to }
                if (*from, *to) == (missing, missing))
        });
        match missing {
            // Before the first that is left: shown, and possibly freed by right.
            1 => assert!(shown && reading.verdict(head).is_ok()),
            12 => assert_eq!(
                reading.verdict(head),
                Err(NotWhole::Short {
                    reached: 11,
                    signed: 12
                })
            ),
            _ => assert!(
                shown && reading.verdict(head) == Err(NotWhole::Gaps(1)),
                "{missing}"
            ),
        }
    }
}

// Guards (S25): a hub that edits history and leaves the numbers as they were.
#[test]
fn s25_every_flipped_bit_breaks_the_chain() {
    let (records, head) = chain(5);
    for at in 0..records.len() {
        for byte in 0..records[at].len() {
            let mut bad = records.clone();
            bad[at][byte] ^= 0x04;
            assert!(
                read(None, &bad).verdict(head).is_err(),
                "record {at}, byte {byte}"
            );
        }
    }
}

// Guards: a repeated or reordered batch that is taken for new history.
#[test]
fn repeats_and_swaps_are_flaws() {
    let (records, head) = chain(4);
    let order = |numbers: &[usize]| {
        let picked: Vec<_> = numbers.iter().map(|at| &records[*at]).collect();
        read(None, picked).verdict(head)
    };
    assert!(order(&[0, 1, 2, 3]).is_ok());
    assert!(order(&[0, 1, 1, 2, 3]).is_err());
    assert!(order(&[0, 2, 1, 3]).is_err());
}

// Guards: the owner's mark ignored, so that a rewritten past below it goes unnoticed.
#[test]
fn reading_goes_on_from_the_owners_mark_and_nowhere_else() {
    let (records, head) = chain(10);
    let mark = LogCursor {
        seq: 6,
        head: Digest32::of(&records[5]),
    };
    let reading = read(Some(mark), &records[6..]);
    assert_eq!(reading.verdict(head).map(|v| v.cursor()), Ok(head));
    assert_eq!(
        read(Some(head), []).verdict(head).map(|v| v.cursor()),
        Ok(head),
        "nothing new"
    );
    let other = LogCursor {
        seq: 6,
        head: Digest32([7; 32]),
    };
    assert!(read(Some(other), &records[6..]).verdict(head).is_err());
    // A lock that signs less than it signed before has lost history.
    let back = LogCursor {
        seq: 3,
        head: Digest32::of(&records[2]),
    };
    assert!(read(Some(mark), []).verdict(back).is_err());
}
