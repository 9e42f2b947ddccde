//! Retained documents: how the hub and its locks stand.

use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::report::Report;
use drawbridge_protocol::version;
use serde_json::{Value, json};

use super::action::{Level, Priority, StoreOp};
use super::document::{base64, text};
use super::hub::Hub;
use super::ledger::After;
use super::now::Now;
use super::outbox::Publication;

/// The retained topics of a lock.
const DOCUMENTS: [&str; 4] = ["state", "availability", "battery", "link"];

impl Hub {
    /// A report came. It counts only if the lock's identity key signed it and it is not older than
    /// what is known.
    pub(super) fn report(&mut self, id: LockId, statement: &[u8], now: Now) {
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        let verified = Report::verify(statement, &lock.binding.identity)
            .ok()
            .filter(|report| report.lock == id);
        let Some(report) = verified else {
            self.journal(
                Level::Error,
                "report_forged",
                vec![("lock", id.to_string())],
            );
            return;
        };
        let age = |report: &Report| (report.boot, report.time_ms);
        if lock
            .report
            .as_ref()
            .is_some_and(|known| age(known) > age(&report))
        {
            return;
        }
        lock.ask_after_silence(now.mono_ms);
        // The same facts again are no news: neither the retained copy nor its time changes.
        let is_news = lock.report.as_ref().is_none_or(|known| {
            let facts =
                |report: &Report| (report.position, report.door, report.tamper, report.log_seq);
            facts(known) != facts(&report)
        });
        lock.report = Some(report.clone());
        let state = json!({
            "lock": report.position.name(),
            "door": report.door.name(),
            "tamper": if report.tamper { "ON" } else { "OFF" },
            "seq": report.log_seq,
            "at": now.rfc3339(),
            "source": report.cause.to_string(),
            "report": base64(statement),
        });
        lock.state = Some(state.clone());
        self.learn_head(id, report.log_seq, Some(report.log_head));
        if is_news {
            self.outbox
                .document(self.root.lock(id, "state"), text(&state));
            self.stream(&json!({"event": "state", "lock": id.to_string(), "state": state}));
        }
        let battery = json!({"percent": report.battery});
        self.outbox
            .document(self.root.lock(id, "battery"), text(&battery));
    }

    /// Publishes whether a lock can be reached; its position is not touched by that.
    pub(super) fn publish_link(&mut self, id: LockId) {
        let Some(lock) = self.locks.get(&id).filter(|lock| lock.binding.is_claimed) else {
            return;
        };
        let link = json!({
            "state": if lock.link.is_up() { "up" } else { "down" },
            "reason": lock.trouble.map(super::link::Trouble::name),
        });
        if let Some(is_online) = lock.is_online {
            let availability: &[u8] = if is_online { b"online" } else { b"offline" };
            self.outbox
                .document(self.root.lock(id, "availability"), availability.to_vec());
        }
        self.outbox
            .document(self.root.lock(id, "link"), text(&link));
        self.stream(&json!({"event": "link", "lock": id.to_string(), "link": link}));
    }

    pub(super) fn publish_hub_documents(&mut self) {
        let info = json!({
            "version": self.config.version,
            "protocol": {"min": version::MIN, "max": version::CURRENT},
            "identity": self.keys.identity.public().to_string(),
            "link": self.keys.link.public().to_string(),
            "limits": {
                "command_bytes": drawbridge_protocol::command::MAX_COMMAND,
                "request_bytes": super::document::MAX_JSON,
            },
        });
        self.outbox.document(self.root.hub("info"), text(&info));
        self.publish_locks();
    }

    pub(super) fn publish_locks(&mut self) {
        let locks = Value::Array(self.lock_list());
        self.outbox.document(self.root.hub("locks"), text(&locks));
    }

    /// The locks as the `locks` document and `lock.list` show them.
    pub(super) fn lock_list(&self) -> Vec<Value> {
        let claimed = self
            .locks
            .iter()
            .filter(|(_, lock)| lock.binding.is_claimed);
        claimed
            .map(|(id, lock)| {
                let rights = lock
                    .binding
                    .verified_grant()
                    .map_or_else(Vec::new, |grant| {
                        grant.grant.rights.names().collect::<Vec<_>>()
                    });
                json!({
                    "id": id.to_string(),
                    "name": lock.binding.name,
                    "model": lock.binding.model,
                    "rights": rights,
                    "since": lock.binding.since,
                })
            })
            .collect()
    }

    /// Clears what brokers keep of a lock; durable, because nobody would do it later.
    pub(super) fn clear_documents(&mut self, id: LockId) {
        let mut ops: Vec<StoreOp> = Vec::new();
        let mut after = Vec::new();
        for leaf in DOCUMENTS {
            let topic = self.root.lock(id, leaf);
            self.outbox.forget_document(&topic);
            let (ticket, op) = self.outbox.keep(Publication {
                topic,
                payload: Vec::new(),
                retain: true,
                correlation: None,
                expiry_s: None,
                priority: Priority::Bulk,
            });
            ops.push(op);
            after.push(After::Publish(ticket));
        }
        self.ledger.write(ops, after);
    }

    /// An event that must not be lost.
    pub(super) fn alarm(&mut self, event: &Value) {
        let publication = self.event_publication(event);
        if self.outbox.kept() >= self.config.outbox_kept.saturating_mul(2) {
            // A lock that raises alarms without end must not fill the disk.
            self.outbox.pass(publication, self.config.outbox_passing);
        } else {
            let (ticket, op) = self.outbox.keep(publication);
            self.ledger.write(vec![op], vec![After::Publish(ticket)]);
        }
        self.stream(event);
    }

    /// An event that whoever is not listening has missed.
    pub(super) fn tell(&mut self, event: &Value) {
        let publication = self.event_publication(event);
        self.outbox.pass(publication, self.config.outbox_passing);
        self.stream(event);
    }

    fn event_publication(&self, event: &Value) -> Publication {
        Publication {
            topic: self.root.hub("event"),
            payload: text(event),
            retain: false,
            correlation: None,
            expiry_s: None,
            priority: Priority::Urgent,
        }
    }
}
