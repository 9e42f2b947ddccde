//! Reading a lock's log to the head that it signed, and leaving it to free what was read.

use std::time::Duration;

use base64ct::{Base64, Encoding};
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::Digest32;
use drawbridge_protocol::log_record::LogCursor;
use serde_json::{Value, json};

use super::act::fresh_info;
use super::carrier::{Carrier, CarryError, base64};
use super::exit::Exit;
use super::fault::Fault;
use super::plain_text::plain;
use crate::owner::audit::acknowledge;
use crate::owner::keys::OwnerKeys;
use crate::owner::lock_record::LockRecord;
use crate::owner::log_reading::{Entry, Line, LogReading, NotWhole, Verified};

/// The most records that one run reads; a lock holds far fewer.
const MAX_RECORDS: usize = 100_000;
const ANSWER: Duration = Duration::from_secs(20);

/// What was read, and how far it is proven.
#[derive(Debug)]
pub(super) struct History {
    /// What was read.
    pub(super) reading: LogReading,
    /// The head that the lock signed for this run.
    pub(super) signed: LogCursor,
    /// Whether it is whole up to that head.
    pub(super) verdict: Result<Verified, NotWhole>,
}

/// Goes on with `reading`, one that has just begun, to a head that the lock signs now. The hub may
/// still be pulling what the lock has just signed: `wait` pauses, and says whether to ask again.
pub(super) fn read(
    carrier: &mut dyn Carrier,
    keys: &OwnerKeys,
    record: &LockRecord,
    mut reading: LogReading,
    wait: &mut dyn FnMut() -> bool,
    entropy: &mut impl Entropy,
) -> Result<History, Fault> {
    const VERB: &str = "lock.audit";
    let info = fresh_info(carrier, keys, record, entropy, ANSWER)?;
    let signed = match (info.info().log_seq, info.info().log_head) {
        (Some(seq), Some(head)) => LogCursor { seq, head },
        (Some(0), None) => LogCursor {
            seq: 0,
            head: Digest32::ZERO,
        },
        _ => {
            return Err(Fault::new(
                Exit::Refused,
                "no_right",
                "learn the log's head: the hub's grant has no right to view",
            )
            .next("drawbridge owner show (lists what the hub was granted)"));
        }
    };
    let mut taken = 0;
    while reading.next_seq() <= signed.seq {
        let from = reading.next_seq();
        let data = json!({"lock": record.id.to_string(), "from": from});
        let answer = carrier
            .ask(VERB, data, ANSWER)
            .map_err(|error| error.fault("read the log"))?;
        let records = records(&answer).map_err(|error| error.fault("read the log"))?;
        taken += records.len();
        for bytes in &records {
            // What came after the head was signed is the next run's affair.
            if reading.next_seq() <= signed.seq {
                reading.take(bytes);
            }
        }
        // No way forward: the hub has no more yet, or repeats itself. The verdict says what is missing.
        let stands = records.is_empty() || reading.next_seq() <= from;
        if taken > MAX_RECORDS || (stands && !wait()) {
            break;
        }
    }
    let verdict = reading.verdict(signed);
    Ok(History {
        reading,
        signed,
        verdict,
    })
}

fn records(answer: &Value) -> Result<Vec<Vec<u8>>, CarryError> {
    let malformed = |what: &str| CarryError::Malformed {
        verb: "lock.audit".to_owned(),
        what: what.to_owned(),
    };
    let list = answer
        .get("records")
        .and_then(Value::as_array)
        .ok_or_else(|| malformed("it has no records"))?;
    let decode = |value: &Value| {
        value
            .as_str()
            .and_then(|text| Base64::decode_vec(text).ok())
    };
    list.iter()
        .map(|value| decode(value).ok_or_else(|| malformed("a record is not base64")))
        .collect()
}

/// Signs leave to free what was read, and has it delivered.
pub(super) fn free(
    carrier: &mut dyn Carrier,
    keys: &OwnerKeys,
    record: &LockRecord,
    reached: &Verified,
) -> Result<(), Fault> {
    let ack = acknowledge(keys, record, reached).map_err(|error| {
        Fault::from_error(Exit::Refused, "no_leave", &error).next("drawbridge owner show")
    })?;
    let data = json!({"lock": record.id.to_string(), "ack": base64(&ack)});
    carrier
        .ask("lock.audit_ack", data, ANSWER)
        .map(|_| ())
        .map_err(|error| error.fault_of_change("let the lock free its records"))
}

/// For programs: one object per line of the reading.
pub(super) fn line_value(line: &Line) -> Value {
    match line {
        Line::Entry(entry) => json!({
            "kind": "record",
            "seq": entry.seq,
            "boot": entry.boot,
            "time_ms": entry.time_ms,
            "event": entry.event.to_string(),
            "cause": entry.cause.to_string(),
            "position": entry.position.map(|position| position.name()),
            "reason": entry.reason.map(|reason| reason.to_string()),
            "count": entry.count,
            "command": entry.command.map(|command| command.to_string()),
            "actor": entry.actor.map(|actor| actor.to_string()),
        }),
        Line::Earlier { from, to } => json!({"kind": "earlier", "from": from, "to": to}),
        Line::GivenUp { from, to } => json!({"kind": "given_up", "from": from, "to": to}),
        Line::Gap { from, to } => json!({"kind": "gap", "from": from, "to": to}),
        Line::Broken { seq } => json!({"kind": "broken", "seq": seq}),
    }
}

/// For people.
pub(super) fn line_text(line: &Line, keys: &OwnerKeys) -> String {
    match line {
        Line::Entry(entry) => entry_text(entry, keys),
        Line::Earlier { from, to } => {
            format!(
                "   ...  records {from} to {to} are not kept any more (freed by you, or from before the lock was yours)"
            )
        }
        Line::GivenUp { from, to } => {
            format!("   ...  records {from} to {to} are missing, and given up by you")
        }
        Line::Gap { from, to } => format!("GAP     records {from} to {to} are MISSING"),
        Line::Broken { seq: Some(seq) } => {
            format!("BROKEN  record {seq} does not fit the one before: one of them was CHANGED")
        }
        Line::Broken { seq: None } => "BROKEN  something that is no record".to_owned(),
    }
}

fn entry_text(entry: &Entry, keys: &OwnerKeys) -> String {
    let seconds = entry.time_ms / 1_000;
    let time = format!(
        "boot {} +{}:{:02}:{:02}",
        entry.boot,
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    );
    let mut text = format!(
        "{:>6}  {time:<20}  {:<13}",
        entry.seq,
        entry.event.to_string()
    );
    if let Some(position) = entry.position {
        text.push_str(&format!("  {}", position.name()));
    }
    text.push_str(&format!("  by {}", entry.cause));
    if let Some(actor) = entry.actor {
        let who = if actor == keys.identity.public() {
            "you".to_owned()
        } else {
            actor.to_string().chars().take(16).collect()
        };
        text.push_str(&format!(" of {who}"));
    }
    if let Some(reason) = entry.reason.filter(|reason| reason.name() != "none") {
        text.push_str(&format!("  ({reason})"));
    }
    if let Some(count) = entry.count {
        text.push_str(&format!("  x{count}"));
    }
    plain(text.trim_end())
}

#[cfg(test)]
mod tests {
    use drawbridge_protocol::log_record::{LogEvent, LogRecord, MAX_LOG_RECORD};
    use drawbridge_protocol::report::Cause;

    use super::super::carrier::fake::FakeHub;
    use super::*;
    use crate::owner::OwnerBook;
    use crate::owner::keys::Kernel;
    use crate::owner::test_lock::TestLock;

    fn chain(count: u64) -> (Vec<Vec<u8>>, LogCursor) {
        let mut cursor = LogCursor::START;
        let mut records = Vec::new();
        for seq in 1..=count {
            let record = LogRecord {
                seq,
                previous: cursor.head,
                boot: 1,
                time_ms: seq,
                event: LogEvent::Tamper,
                cause: Cause::Sensor,
                actor: None,
                grant: None,
                command: None,
                reason: None,
                position: None,
                count: None,
                evidence: None,
            };
            let bytes = record.encode(&mut [0; MAX_LOG_RECORD]).unwrap().to_vec();
            cursor = LogCursor {
                seq,
                head: Digest32::of(&bytes),
            };
            records.push(bytes);
        }
        (records, cursor)
    }

    /// A hub that gives `served` of the log in batches of three, under a head over all of it.
    fn run(served: &[Vec<u8>], head: LogCursor, reading: LogReading) -> (History, usize) {
        let lock = TestLock::new(2);
        let book = OwnerBook::new(&mut Kernel);
        let record = lock.owned_record("Front", &book);
        let mut asked = 0;
        let mut hub = FakeHub::new(
            |verb, data| {
                if verb == "lock.session_info" {
                    let mut info = lock.info(&record, data["nonce"].as_str().unwrap().parse().ok());
                    (info.log_seq, info.log_head) = (Some(head.seq), Some(head.head));
                    return Ok(json!({"statement": base64(&lock.sign(&info))}));
                }
                asked += 1;
                let from = data["from"].as_u64().unwrap();
                let seq = |bytes: &Vec<u8>| LogRecord::decode(bytes).unwrap().seq;
                let batch: Vec<_> = served
                    .iter()
                    .filter(|bytes| seq(bytes) >= from)
                    .take(3)
                    .map(|bytes| base64(bytes))
                    .collect();
                Ok(
                    json!({"first": 1, "newest": head.seq, "records": batch, "head": head.head.to_string()}),
                )
            },
            |_| vec![],
        );
        let mut patience = 3;
        let mut wait = || {
            patience -= 1;
            patience > 0
        };
        let history = read(
            &mut hub,
            &book.keys,
            &record,
            reading,
            &mut wait,
            &mut Kernel,
        )
        .unwrap();
        drop(hub);
        (history, asked)
    }

    fn from_oldest() -> LogReading {
        LogReading::behind(None)
    }

    // Guards (R8): a hub that withholds a record, the end, or everything, and a run that never ends.
    #[test]
    fn r8_withheld_records_show_and_reading_always_ends() {
        let (records, head) = chain(10);
        let (history, asked) = run(&records, head, from_oldest());
        assert!(history.verdict.is_ok());
        assert_eq!((history.reading.lines().len(), asked), (10, 4));
        let mut holed = records.clone();
        holed.remove(4);
        let (history, _) = run(&holed, head, from_oldest());
        assert_eq!(history.verdict, Err(NotWhole::Gaps(1)));
        assert!(
            history
                .reading
                .lines()
                .contains(&Line::Gap { from: 5, to: 5 })
        );
        let (history, _) = run(&records[..7], head, from_oldest());
        assert_eq!(
            history.verdict,
            Err(NotWhole::Short {
                reached: 7,
                signed: 10
            })
        );
        assert!(run(&[], head, from_oldest()).0.verdict.is_err());
    }

    #[test]
    fn records_newer_than_the_signed_head_wait_for_the_next_run() {
        let (records, _) = chain(10);
        let head = LogCursor {
            seq: 8,
            head: Digest32::of(&records[7]),
        };
        let (history, _) = run(&records, head, from_oldest());
        assert!(history.verdict.is_ok());
        assert_eq!(history.reading.lines().len(), 8);
        let (history, asked) = run(&records, head, LogReading::behind(Some(head)));
        assert!(history.verdict.is_ok() && history.reading.lines().is_empty());
        assert_eq!(asked, 0, "nothing new, nothing asked");
    }
}
