//! The locks of a hub: shown, renamed, removed.

use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::report::Position;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ReplyTo, VerbError};
use crate::core::action::{HubAction, Level, RadioAction, StoreOp};
use crate::core::binding::is_name;
use crate::core::command::Ending;
use crate::core::hub::Hub;
use crate::core::ledger::After;
use crate::core::lock::Sync;
use crate::core::now::Now;
use crate::core::topic::lock_id;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    lock: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rename {
    lock: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Remove {
    lock: String,
    #[serde(default)]
    force: bool,
}

impl Hub {
    /// The lock that a request means: its id, or a name that only one lock has.
    pub(super) fn find_lock(&self, text: &str) -> Result<LockId, VerbError> {
        if let Some(id) = lock_id(text).filter(|id| self.locks.contains_key(id)) {
            return Ok(id);
        }
        let mut named = self
            .locks
            .iter()
            .filter(|(_, lock)| lock.binding.name == text);
        match (named.next(), named.next()) {
            (Some((id, _)), None) => Ok(*id),
            _ => Err(VerbError::unknown_lock()),
        }
    }

    /// One lock as `status` and `lock.show` show it.
    pub(super) fn lock_view(&self, id: LockId) -> Option<Value> {
        let lock = self.locks.get(&id)?;
        Some(json!({
            "id": id.to_string(),
            "name": lock.binding.name,
            "claimed": lock.binding.is_claimed,
            "link": lock.link.state_name(),
            "online": lock.is_online,
            "trouble": lock.trouble.map(|trouble| trouble.name()),
            "lock": lock.report.as_ref().map_or(Position::Unknown, |report| report.position).name(),
            "battery": lock.report.as_ref().map(|report| report.battery),
            "log_used": lock.report.as_ref().map(|report| report.log_used),
            "log": {"seq": lock.log.cursor.seq, "newest": lock.log.newest, "kept_from": lock.log.kept_from},
            "commands": lock.queue.len(),
            "psk_generation": lock.binding.psks.current.generation,
        }))
    }

    pub(super) fn lock_show(&self, which: &Which) -> Result<Value, VerbError> {
        let id = self.find_lock(&which.lock)?;
        let mut view = self.lock_view(id).ok_or_else(VerbError::unknown_lock)?;
        let lock = self.locks.get(&id);
        if let (Some(view), Some(lock)) = (view.as_object_mut(), lock) {
            let binding = &lock.binding;
            view.insert("state".into(), json!(lock.state));
            let grant = binding.verified_grant();
            let rights = grant.map_or_else(Vec::new, |grant| {
                grant.grant.rights.names().collect::<Vec<_>>()
            });
            view.insert("identity".into(), json!(binding.identity.to_string()));
            view.insert("rights".into(), json!(rights));
            view.insert(
                "owner".into(),
                json!(grant.map(|grant| grant.grant.issuer.to_string())),
            );
            view.insert("since".into(), json!(binding.since));
        }
        Ok(view)
    }

    /// Answers at once only what nothing is kept of; else when the new name is durable.
    pub(super) fn lock_rename(
        &mut self,
        rename: Rename,
        reply: ReplyTo,
    ) -> Result<Option<Value>, VerbError> {
        let id = self.find_lock(&rename.lock)?;
        if !is_name(&rename.name) {
            return Err(VerbError::bad_name());
        }
        let Some(lock) = self.locks.get_mut(&id) else {
            return Err(VerbError::unknown_lock());
        };
        lock.binding.name = rename.name;
        let data = json!({"lock": id.to_string(), "name": lock.binding.name});
        if !lock.binding.is_claimed {
            return Ok(Some(data));
        }
        self.save_binding(id, vec![After::Answer { reply, data }]);
        self.publish_locks();
        Ok(None)
    }

    /// Forgets a lock, and says so once it will not come back. The lock itself keeps its owner and
    /// its peers: that is for its owner to say.
    pub(super) fn lock_remove(
        &mut self,
        remove: &Remove,
        reply: ReplyTo,
        now: Now,
    ) -> Result<Option<Value>, VerbError> {
        let id = self.find_lock(&remove.lock)?;
        let waiting: Vec<_> = self
            .commands
            .tracked
            .iter()
            .filter(|(_, tracked)| tracked.lock == id)
            .map(|(command, tracked)| (*command, tracked.is_delivered))
            .collect();
        if !remove.force && !waiting.is_empty() {
            return Err(VerbError::unresolved(waiting.len()));
        }
        for (command, is_delivered) in waiting {
            let (status, reason) = if is_delivered {
                ("failed", Reason::Forgotten)
            } else {
                ("refused", Reason::WrongLock)
            };
            let ending = Ending {
                status,
                reason,
                position: None,
                report: None,
                is_remembered: true,
            };
            self.conclude(command, &ending, now);
        }
        let data = json!({"removed": id.to_string()});
        self.forget_lock(id, vec![After::Answer { reply, data }]);
        self.journal(Level::Info, "lock_removed", vec![("lock", id.to_string())]);
        Ok(None)
    }

    /// Lets go of a lock and everything kept for it; `after` waits for that to be durable.
    pub(super) fn forget_lock(&mut self, id: LockId, after: Vec<After>) {
        self.forget_log(id);
        let Some(lock) = self.locks.remove(&id) else {
            return;
        };
        if let Some(link) = lock.link.link() {
            self.links.remove(&link);
            self.push(HubAction::Radio(RadioAction::Disconnect { link }));
        }
        let in_flight = lock.sync_lane.and_then(|lane| match lane.what {
            Sync::Relay(relay) => Some(relay.reply),
            _ => None,
        });
        let waiting = lock.relays.into_iter().map(|relay| relay.reply);
        let pairing = lock.pairing.and_then(|pairing| pairing.reply);
        let claim = lock.claim.map(|claim| claim.reply);
        let replies: Vec<_> = waiting
            .chain(in_flight)
            .chain(pairing)
            .chain(claim)
            .collect();
        for reply in replies {
            self.reply(reply, Err(VerbError::unknown_lock()));
        }
        // Before the file: after a power cut in between nobody would know which documents to clear.
        if lock.binding.is_claimed {
            self.clear_documents(id);
        }
        self.push(HubAction::Radio(RadioAction::Forget { lock: id }));
        let op = StoreOp::RemoveBinding {
            name: id.to_string(),
        };
        self.ledger.write(vec![op], after);
        if lock.binding.is_claimed {
            self.publish_locks();
        }
    }
}
