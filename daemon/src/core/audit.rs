//! A lock's log: pulled by cursor, followed link by link, stored, published, freed.
//!
//! **The cursor moves only together with the records it passed:** records, cursor and publication
//! are one change to the store. What is missing or does not fit raises `gap`, once, and the hub goes
//! on from what there is.

use drawbridge_protocol::ids::{Digest32, LockId};
use drawbridge_protocol::log_record::{ChainError, LogCursor, LogEvent, LogRecord};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::tunnel::LogRecords;
use serde_json::json;

use super::action::{Level, Priority, StoreOp, Tree};
use super::command::Logged;
use super::document::{base64, text};
use super::hub::Hub;
use super::ledger::After;
use super::now::Now;
use super::outbox::Publication;
use super::record::{CursorRecord, ack_key, audit_key, cursor_key, encoded};

impl Hub {
    /// A signed statement says where the log stands.
    pub(super) fn learn_head(&mut self, id: LockId, seq: u64, head: Option<Digest32>) {
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        lock.log.newest = lock.log.newest.max(seq);
        if let Some(head) = head {
            lock.log.head = Some((seq, head));
        }
        self.check_head(id);
    }

    /// When the last record followed is the one that the lock signed, their hashes must agree.
    fn check_head(&mut self, id: LockId) {
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        let cursor = lock.log.cursor;
        let Some((_, signed)) = lock.log.head.filter(|(seq, _)| *seq == cursor.seq) else {
            return;
        };
        if cursor.seq > 0 && signed != cursor.head {
            lock.log.head = None;
            lock.log.cursor.head = signed;
            self.gap(id, cursor.seq, cursor.seq, "head");
        }
    }

    pub(super) fn log_batch(
        &mut self,
        id: LockId,
        first: u64,
        newest: u64,
        records: &[u8],
        now: Now,
    ) {
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        lock.log.newest = lock.log.newest.max(newest);
        let mut cursor = lock.log.cursor;
        let began_at = cursor.seq;
        let kept_from = lock.log.kept_from;
        let mut taken = Vec::new();
        for record in LogRecords::new(records) {
            let Ok(bytes) = record else {
                self.gap(id, cursor.seq.saturating_add(1), first, "malformed");
                break;
            };
            let followed = cursor.follow(bytes);
            if let Err(error) = followed {
                let Some(rebased) = self.rebase(id, cursor, bytes, error) else {
                    break;
                };
                cursor = rebased;
            }
            if let Ok(record) = LogRecord::decode(bytes) {
                self.note_in_log(&record);
                self.raise(id, &record);
                taken.push((record.seq, bytes));
            }
        }
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        lock.log.cursor = cursor;
        let (Some(&(first, _)), Some(&(last, _))) = (taken.first(), taken.last()) else {
            // Asked for records and got none that lead on.
            lock.log.bar(now.mono_ms);
            return self.conclude_from_log(id, now);
        };
        // Before the first pull nothing of this lock is in the store.
        let kept_from = if began_at < kept_from {
            first
        } else {
            kept_from
        };
        lock.log.kept_from = kept_from;
        lock.log.fruitless = 0;
        let newest = lock.log.newest;
        let mut ops: Vec<_> = taken
            .iter()
            .map(|(seq, bytes)| StoreOp::Put {
                tree: Tree::Audit,
                key: audit_key(id, *seq),
                value: bytes.to_vec(),
                at: now.unix_s,
            })
            .collect();
        ops.push(self.put_cursor(id));
        let document = json!({
            "first": first,
            "last": last,
            "newest": newest,
            "records": taken.iter().map(|(_, bytes)| base64(bytes)).collect::<Vec<_>>(),
            "head": cursor.head.to_string(),
        });
        let (ticket, op) = self.outbox.keep(Publication {
            topic: self.root.lock(id, "audit"),
            payload: text(&document),
            retain: false,
            correlation: None,
            expiry_s: None,
            priority: Priority::Bulk,
        });
        ops.push(op);
        let kept = After::LogKept {
            lock: id,
            seq: cursor.seq,
        };
        self.ledger.write(ops, vec![After::Publish(ticket), kept]);
        self.check_head(id);
        self.conclude_from_log(id, now);
    }

    /// Where to go on after a record that does not follow; `None`: it leads nowhere.
    fn rebase(
        &mut self,
        id: LockId,
        cursor: LogCursor,
        bytes: &[u8],
        error: ChainError,
    ) -> Option<LogCursor> {
        let expected = cursor.seq.saturating_add(1);
        let record = LogRecord::decode(bytes).ok();
        let found = record.as_ref().map_or(expected, |record| record.seq);
        let kind = match error {
            ChainError::Gap { .. } => "missing",
            ChainError::Broken { .. } => "broken",
            _ => "malformed",
        };
        // A hub that is new to a lock of some age starts where the lock still reaches back to.
        let is_start = cursor == LogCursor::START && kind == "missing";
        if is_start {
            let fields = vec![("lock", id.to_string()), ("first", found.to_string())];
            self.journal(Level::Info, "log_starts", fields);
        } else {
            self.gap(id, expected, found, kind);
        }
        let record = record.filter(|record| record.seq >= expected)?;
        let mut rebased = LogCursor {
            seq: record.seq.checked_sub(1)?,
            head: record.previous,
        };
        rebased.follow(bytes).ok().map(|_| rebased)
    }

    /// Something is missing in a lock's log, or was changed: S18, R8.
    fn gap(&mut self, id: LockId, expected: u64, found: u64, kind: &'static str) {
        if let Some(lock) = self.locks.get_mut(&id) {
            let is_told = lock.log.told.replace((expected, found, kind));
            if is_told == Some((expected, found, kind)) {
                return;
            }
        }
        let fields = vec![
            ("lock", id.to_string()),
            ("expected", expected.to_string()),
            ("found", found.to_string()),
            ("kind", kind.to_owned()),
        ];
        self.journal(Level::Warn, "gap", fields);
        let event = json!({
            "event": "gap",
            "lock": id.to_string(),
            "expected": expected,
            "found": found,
            "kind": kind,
        });
        self.alarm(&event);
    }

    /// What somebody should look at, told at once and not only to whoever reads the whole log.
    fn raise(&mut self, id: LockId, record: &LogRecord<'_>) {
        let is_alarm = matches!(
            record.event,
            LogEvent::Strangers
                | LogEvent::Tamper
                | LogEvent::BatteryLow
                | LogEvent::Overwritten
                | LogEvent::FactoryReset
                | LogEvent::LogDamaged
                | LogEvent::LeftOut
        );
        if !is_alarm {
            return;
        }
        let alarm = record.event.name();
        let fields = vec![
            ("lock", id.to_string()),
            ("alarm", alarm.to_owned()),
            ("seq", record.seq.to_string()),
        ];
        self.journal(Level::Warn, "lock_alarm", fields);
        let event = json!({
            "event": "lock_alarm",
            "lock": id.to_string(),
            "alarm": alarm,
            "count": record.count,
            "seq": record.seq,
        });
        // The record itself is kept in any case. A lock that raises alarms while the broker is away
        // must not take the room that commands need.
        if self.outbox.kept() < self.config.outbox_kept / 2 {
            self.alarm(&event);
        } else {
            self.tell(&event);
        }
    }

    /// What the log says about a command may be all that is left of it.
    fn note_in_log(&mut self, record: &LogRecord<'_>) {
        let tracked = record
            .command
            .and_then(|command| self.commands.tracked.get_mut(&command));
        let Some(tracked) = tracked else {
            return;
        };
        let reason = match record.event {
            LogEvent::Outcome => record.reason.unwrap_or(Reason::None),
            LogEvent::Refused => record.reason.unwrap_or(Reason::NotAllowed),
            _ => return,
        };
        tracked.logged = Some(Logged {
            reason,
            position: record.position,
        });
    }

    /// The lock may be asked for its log again.
    pub(super) fn lift_bar(&mut self, id: LockId) {
        if let Some(lock) = self.locks.get_mut(&id) {
            lock.log.barred_until = None;
            self.touch(id);
        }
    }

    pub(super) fn put_cursor(&self, id: LockId) -> StoreOp {
        let log = self.locks.get(&id).map(|lock| lock.log);
        let record = CursorRecord {
            seq: log.map_or(0, |log| log.cursor.seq),
            head: log.map_or(Digest32::ZERO, |log| log.cursor.head),
            kept_from: log.map_or(0, |log| log.kept_from),
        };
        StoreOp::Put {
            tree: Tree::Meta,
            key: cursor_key(id),
            value: encoded(&record),
            at: None,
        }
    }

    /// Everything that the store holds of a lock's log is to go.
    pub(super) fn forget_log(&mut self, id: LockId) {
        self.freed(id, u64::MAX);
        for key in [cursor_key(id), ack_key(id)] {
            let tree = Tree::Meta;
            self.ledger
                .write(vec![StoreOp::Delete { tree, key }], Vec::new());
        }
    }
}
