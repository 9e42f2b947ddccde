//! How a command ends, and what is said on the way.

use drawbridge_protocol::ids::{CommandId, LockId};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::report::Position;
use serde_json::{Value, json};

use super::result::Said;
use super::{Attempt, Late, Waiter};
use crate::core::action::{ControlAction, HubAction, Priority, StoreOp, Tree};
use crate::core::document::text;
use crate::core::hub::Hub;
use crate::core::ledger::After;
use crate::core::now::Now;
use crate::core::outbox::Publication;
use crate::core::record::{FinalRecord, command_key};

/// An end.
#[derive(Debug, Clone, Copy)]
pub(in crate::core) struct Ending<'a> {
    pub(in crate::core) status: &'static str,
    pub(in crate::core) reason: Reason,
    pub(in crate::core) position: Option<Position>,
    pub(in crate::core) report: Option<&'a [u8]>,
    /// Whether a repeat of the bytes gets this answer; else they are taken in anew.
    pub(in crate::core) is_remembered: bool,
}

impl Hub {
    /// Ends a command: the final is stored together with leaving the inbox, then published until
    /// the broker has it. A command that is not tracked has ended before.
    pub(in crate::core) fn conclude(&mut self, id: CommandId, ending: &Ending<'_>, now: Now) {
        let Some(tracked) = self.commands.tracked.remove(&id) else {
            return;
        };
        if let Some(state) = self.locks.get_mut(&tracked.lock) {
            state.queue.retain(|queued| *queued != id);
        }
        self.touch(tracked.lock);
        let said = Said {
            command: id,
            status: ending.status,
            reason: ending.reason,
            position: ending.position,
            is_duplicate: false,
            report: ending.report,
        };
        let document = said.document();

        let mut ops = vec![StoreOp::Delete {
            tree: Tree::Inbox,
            key: command_key(id),
        }];
        // Bytes that nobody signed must not stand in the way of those that somebody did.
        if ending.is_remembered {
            let record = FinalRecord {
                order: self.commands.order(),
                lock: tracked.lock,
                digest: tracked.digest,
                status: ending.status.to_owned(),
                reason: ending.reason.number(),
                position: ending.position.map(Position::number),
                report: ending.report.map(|report| report.to_vec().into()),
            };
            let bound = self.config.finals;
            let finals = &mut self.commands.finals;
            ops.extend(finals.remember(id, record, now.unix_s, bound));
        }
        let mut held = Vec::new();
        if !tracked.is_durable {
            for status in ["accepted", "delivered"] {
                let said = Said::by_hub(id, status, Reason::None).document();
                let correlation = tracked.correlation.clone();
                let publication = self.result_publication(tracked.lock, &said, correlation);
                held.extend(self.outbox.hold(publication, self.config.outbox_passing));
            }
        }
        let publication = self.result_publication(tracked.lock, &document, tracked.correlation);
        let (mut after, mut last) = (Vec::new(), None);
        if tracked.is_local && self.outbox.kept() >= self.config.outbox_kept {
            // Its sender has the answer on the control socket, and the lock's log keeps the fact.
            self.outbox.pass(publication, self.config.outbox_passing);
        } else {
            let (ticket, op) = self.outbox.keep(publication);
            ops.push(op);
            after.push(After::Publish(ticket));
            last = Some(ticket);
        }
        self.ledger.write(ops, after);
        if !tracked.is_durable {
            let acks = tracked.acks;
            self.commands.late.insert(id, Late { held, last, acks });
        }

        for waiter in &tracked.waiters {
            self.reply_control(waiter.client, waiter.id, Ok(document.clone()));
        }
        self.watch_result(tracked.lock, &document, &[]);
    }

    /// The link died while the command was on it: nobody knows, until the lock is asked.
    pub(in crate::core) fn unknown(&mut self, lock: LockId, id: CommandId) {
        let Some(tracked) = self.commands.tracked.get_mut(&id) else {
            return;
        };
        tracked.attempt = Attempt::Open;
        self.progress(lock, id, &Said::by_hub(id, "unknown", Reason::None));
    }

    /// The command was handed to the lock's link, for the first time.
    pub(in crate::core) fn delivered(&mut self, lock: LockId, id: CommandId) {
        let Some(tracked) = self.commands.tracked.get_mut(&id) else {
            return;
        };
        if !std::mem::replace(&mut tracked.is_delivered, true) {
            self.progress(lock, id, &Said::by_hub(id, "delivered", Reason::None));
        }
    }

    /// Says how a command is doing, to everyone who wants to know; once it is accepted.
    pub(in crate::core) fn progress(&mut self, lock: LockId, id: CommandId, said: &Said<'_>) {
        let document = said.document();
        let Some(tracked) = self.commands.tracked.get(&id) else {
            return;
        };
        let (correlation, waiters) = (tracked.correlation.clone(), tracked.waiters.clone());
        if !tracked.is_durable {
            return;
        }
        self.publish_result(lock, &document, correlation);
        self.watch_result(lock, &document, &waiters);
    }

    /// Publishes a result that is not final.
    pub(in crate::core) fn publish_result(
        &mut self,
        lock: LockId,
        document: &Value,
        correlation: Option<Vec<u8>>,
    ) {
        let publication = self.result_publication(lock, document, correlation);
        self.outbox.pass(publication, self.config.outbox_passing);
    }

    fn result_publication(
        &self,
        lock: LockId,
        document: &Value,
        correlation: Option<Vec<u8>>,
    ) -> Publication {
        Publication {
            topic: self.root.lock(lock, "result"),
            payload: text(document),
            retain: false,
            correlation,
            expiry_s: None,
            priority: Priority::Urgent,
        }
    }

    fn watch_result(&mut self, lock: LockId, document: &Value, waiters: &[Waiter]) {
        for waiter in waiters {
            self.push(HubAction::Control(ControlAction::Stream {
                client: waiter.client,
                id: waiter.id,
                value: document.clone(),
            }));
        }
        let watched = json!({"event": "result", "lock": lock.to_string(), "result": document});
        self.stream(&watched);
    }
}
