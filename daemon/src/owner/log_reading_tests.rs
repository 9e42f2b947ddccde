use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::log_record::MAX_LOG_RECORD;

use super::super::audit::acknowledge;
use super::super::keys::{Kernel, OwnerBook};
use super::super::lock_record::Standing;
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

fn fed<'a>(mut reading: LogReading, records: impl IntoIterator<Item = &'a Vec<u8>>) -> LogReading {
    records.into_iter().for_each(|record| reading.take(record));
    reading
}

/// From the oldest, when the owner knows of nothing.
fn read<'a>(records: impl IntoIterator<Item = &'a Vec<u8>>) -> LogReading {
    fed(LogReading::behind(None), records)
}

fn at(records: &[Vec<u8>], seq: u64) -> LogCursor {
    let head = match seq {
        0 => Digest32::ZERO,
        _ => Digest32::of(&records[seq as usize - 1]),
    };
    LogCursor { seq, head }
}

#[test]
fn a_whole_log_reaches_its_signed_head_and_may_be_freed() {
    let (records, head) = chain(20);
    let reached = read(&records).verdict(head).unwrap();
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
        let reading = read(kept.map(|(record, _)| record));
        let shown = reading.lines().iter().any(
            |line| matches!(line, Line::Gap { from, to } if (*from, *to) == (missing, missing)),
        );
        match missing {
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

// Guards (S25): a hub that shows the end of a log only, so that the owner takes what it hides for
// freed, and signs it away.
#[test]
fn s25_the_hidden_start_of_a_log_is_a_gap_above_what_the_owner_knows() {
    let (records, head) = chain(12);
    for known in 0..=12u64 {
        for first in 1..=12u64 {
            let start = LogReading::from_oldest(at(&records, known));
            let reading = fed(start, &records[first as usize - 1..]);
            let verdict = reading.verdict(head);
            let hidden = first.saturating_sub(known + 1);
            assert_eq!(verdict.is_ok(), hidden == 0, "knows {known}, shown {first}");
            let gap = reading.lines().iter().find_map(|line| match line {
                Line::Gap { from, to } => Some((*from, *to)),
                _ => None,
            });
            let due = (hidden > 0).then_some((known + 1, first - 1));
            assert_eq!(gap, due, "knows {known}, shown {first}");
            let earlier = Line::Earlier {
                from: 1,
                to: known.min(first - 1),
            };
            assert_eq!(
                reading.lines().first() == Some(&earlier),
                known > 0 && first > 1
            );
        }
    }
}

// Guards (S25): another past shown below the record that the owner knows, or another record in its
// place, with a chain that is right in itself.
#[test]
fn s25_what_is_shown_around_the_known_record_must_fit_its_hash() {
    let (records, head) = chain(8);
    let other = LogCursor {
        seq: 4,
        head: Digest32([7; 32]),
    };
    for shown in [&records[..], &records[3..], &records[4..]] {
        let reading = fed(LogReading::from_oldest(other), shown);
        assert_eq!(reading.verdict(head), Err(NotWhole::Gaps(1)));
        let genuine = fed(LogReading::from_oldest(at(&records, 4)), shown);
        assert!(genuine.verdict(head).is_ok());
    }
    let back = fed(LogReading::from_oldest(head), &records[..6]);
    let (known, signed) = (8, 6);
    assert_eq!(
        back.verdict(at(&records, 6)),
        Err(NotWhole::Back { known, signed })
    );
    let nothing_left = LogReading::from_oldest(head);
    assert!(nothing_left.verdict(head).is_ok(), "all of it was freed");
}

// Guards: an owner who can never free a log again because the lock wrote over its start, or one
// whose decision about lost records excuses changed ones, too.
#[test]
fn only_missing_records_can_be_given_up_and_only_up_to_the_number_named() {
    let (records, head) = chain(12);
    let known = at(&records, 2);
    let start = |given_up| LogReading::from_oldest(known).giving_up(given_up);
    let given = fed(start(6), &records[6..]);
    assert!(given.verdict(head).is_ok());
    let (from, to) = (3, 6);
    assert_eq!(given.lines()[1], Line::GivenUp { from, to });
    let short = fed(start(5), &records[6..]);
    assert_eq!(short.verdict(head), Err(NotWhole::Gaps(1)));
    let (from, to) = (6, 6);
    assert_eq!(short.lines()[2], Line::Gap { from, to });
    let mut holed = records.clone();
    holed.remove(4);
    assert!(fed(start(5), &holed).verdict(head).is_ok());
    assert!(fed(start(4), &holed).verdict(head).is_err());
    let mut changed = records.clone();
    changed[4][20] ^= 1;
    assert!(fed(start(u64::MAX), &changed).verdict(head).is_err());
    let cut = fed(start(u64::MAX), &records[..9]);
    assert!(cut.verdict(head).is_err(), "its end is never given up");
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
                read(&bad).verdict(head).is_err(),
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
        read(picked).verdict(head)
    };
    assert!(order(&[0, 1, 2, 3]).is_ok());
    assert!(order(&[0, 1, 1, 2, 3]).is_err());
    assert!(order(&[0, 2, 1, 3]).is_err());
}

// Guards: the owner's mark ignored, so that a rewritten past below it goes unnoticed.
#[test]
fn reading_goes_on_from_the_owners_mark_and_nowhere_else() {
    let (records, head) = chain(10);
    let mark = at(&records, 6);
    let behind = |mark, records: &[Vec<u8>]| fed(LogReading::behind(Some(mark)), records);
    let reading = behind(mark, &records[6..]);
    assert_eq!(reading.verdict(head).map(|v| v.cursor()), Ok(head));
    assert_eq!(
        behind(head, &[]).verdict(head).map(|v| v.cursor()),
        Ok(head),
        "nothing new"
    );
    let other = LogCursor {
        seq: 6,
        head: Digest32([7; 32]),
    };
    assert!(behind(other, &records[6..]).verdict(head).is_err());
    assert!(behind(mark, &records[7..]).verdict(head).is_err());
    // A lock that signs less than it signed before has lost history.
    assert!(behind(mark, &[]).verdict(at(&records, 3)).is_err());
}

// Guards: a receipt that is not read, so that a first reading has nothing to hold on to.
#[test]
fn the_receipt_is_where_the_owners_knowledge_begins() {
    let lock = TestLock::new(1);
    let mut record = lock.owned_record("Front", &OwnerBook::new(&mut Kernel));
    let of_receipt = record.known_log();
    assert_eq!((of_receipt.seq, of_receipt.head), (2, Digest32([1; 32])));
    let mark = LogCursor {
        seq: 9,
        head: Digest32([9; 32]),
    };
    record.log = Some(mark);
    assert_eq!(record.known_log(), mark);
    record.log = None;
    if let Standing::Owned { receipt, .. } = &mut record.standing {
        receipt[40] ^= 1;
    }
    assert_eq!(record.known_log(), LogCursor::START, "not the lock's word");
    assert_eq!(lock.record("Pending").known_log(), LogCursor::START);
}
