//! Leave to free a lock's log: the auditor's word, handed on to the lock.
//!
//! **Nothing that this hub is still to fetch is freed through it:** the lock hears of the
//! acknowledgement when the records that it names are in the store, or cannot come into it.

use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::codec::decode_exact;
use drawbridge_protocol::cose::{Envelope, Kind, MAX_STATEMENT};
use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::log_record::LogCursor;
use drawbridge_protocol::reason::Reason;
use serde_json::json;

use super::action::{Level, StoreOp, Tree};
use super::event::AckToken;
use super::hub::Hub;
use super::ledger::After;
use super::lock::PendingAck;
use super::record::{ack_key, audit_key};
use super::verbs::{ReplyTo, VerbError};

/// Records removed from the store in one change.
const FREE_AT_ONCE: u64 = 512;

/// Up to which record the acknowledgement goes; `None`: it is none, or not for this lock.
pub(super) fn upto(id: LockId, statement: &[u8]) -> Option<LogCursor> {
    if statement.len() > MAX_STATEMENT {
        return None;
    }
    let envelope = Envelope::parse(Kind::AuditAck, statement).ok()?;
    let said: AuditAck = decode_exact(envelope.unverified_payload()).ok()?;
    (said.lock == id).then_some(LogCursor {
        seq: said.seq,
        head: said.head,
    })
}

impl Hub {
    /// Leave to free records arrives: kept until the lock has answered to it. A newer one replaces
    /// one that waits. The hub cannot verify it: the audit key is between owner and lock.
    pub(super) fn take_audit_ack(
        &mut self,
        id: LockId,
        statement: &[u8],
        ack: Option<AckToken>,
        reply: Option<ReplyTo>,
    ) {
        let Some((lock, upto)) = self.locks.get_mut(&id).zip(upto(id, statement)) else {
            self.acknowledge(ack);
            self.journal(
                Level::Warn,
                "audit_ack_refused",
                vec![("lock", id.to_string())],
            );
            if let Some(reply) = reply {
                self.reply(
                    reply,
                    Err(VerbError::bad_statement(
                        "an audit acknowledgement for this lock",
                    )),
                );
            }
            return;
        };
        let replaced = lock.ack.replace(PendingAck {
            statement: statement.to_vec(),
            upto,
            reply,
        });
        if let Some(reply) = replaced.and_then(|old| old.reply) {
            self.reply(reply, Err(VerbError::replaced()));
        }
        let op = StoreOp::Put {
            tree: Tree::Meta,
            key: ack_key(id),
            value: statement.to_vec(),
            at: None,
        };
        let after = ack.map(After::Acknowledge).into_iter().collect();
        self.ledger.write(vec![op], after);
        self.touch(id);
    }

    /// Whether the lock may be told now. Records that are not in the store for certain would be
    /// nowhere after a power cut, and the hub would miss them: they are waited for. What cannot be
    /// had, because there is no room for it or the lock does not give it, is not.
    pub(super) fn may_hand_on_ack(&self, id: LockId) -> bool {
        let lock = self.locks.get(&id);
        let Some((ack, log)) = lock.and_then(|lock| Some((lock.ack.as_ref()?, &lock.log))) else {
            return false;
        };
        let is_ahead = ack.upto.seq > log.cursor.seq;
        ack.upto.seq <= log.durable || (is_ahead && !self.may_pull(id))
    }

    /// Records up to this one are in the store.
    pub(super) fn log_kept(&mut self, id: LockId, seq: u64) {
        if let Some(lock) = self.locks.get_mut(&id) {
            lock.log.durable = lock.log.durable.max(seq);
            self.touch(id);
        }
    }

    /// The lock has found the acknowledgement to be its auditor's.
    pub(super) fn ack_taken(&mut self, id: LockId, up_to: u64) {
        if let Some(lock) = self.locks.get_mut(&id)
            && let Some(ack) = &lock.ack
            && ack.upto.seq == up_to
            && ack.upto.seq > lock.log.cursor.seq
        {
            // The auditor has what the hub never had: nothing is missing.
            lock.log.cursor = ack.upto;
            lock.log.durable = ack.upto.seq;
        }
        self.freed(id, up_to);
        // The lock writes down that records went, and by whom: its answer does not say so.
        if let Some(lock) = self.locks.get_mut(&id) {
            lock.wants.report = true;
        }
        self.touch(id);
    }

    /// The lock freed its records: the hub's own copies go, too.
    pub(super) fn freed(&mut self, id: LockId, up_to: u64) {
        let reply = self.drop_ack(id);
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        let oldest = lock
            .log
            .cursor
            .seq
            .saturating_sub(self.config.audit_per_lock.saturating_mul(2));
        let mut from = lock.log.kept_from.max(oldest);
        let end = up_to.min(lock.log.cursor.seq);
        lock.log.kept_from = from.max(end.saturating_add(1));
        while from <= end {
            let last = end.min(from.saturating_add(FREE_AT_ONCE - 1));
            let mut ops: Vec<_> = (from..=last)
                .map(|seq| StoreOp::Delete {
                    tree: Tree::Audit,
                    key: audit_key(id, seq),
                })
                .collect();
            ops.push(self.put_cursor(id));
            self.ledger.write(ops, Vec::new());
            if last == end {
                break;
            }
            from = last.saturating_add(1);
        }
        if let Some(reply) = reply {
            self.reply(reply, Ok(json!({"freed": up_to})));
        }
    }

    pub(super) fn ack_refused(&mut self, id: LockId, reason: Reason) {
        if let Some(reply) = self.drop_ack(id) {
            self.reply(reply, Err(VerbError::refused(reason)));
        }
    }

    fn drop_ack(&mut self, id: LockId) -> Option<ReplyTo> {
        let pending = self.locks.get_mut(&id)?.ack.take()?;
        let op = StoreOp::Delete {
            tree: Tree::Meta,
            key: ack_key(id),
        };
        self.ledger.write(vec![op], Vec::new());
        pending.reply
    }
}
