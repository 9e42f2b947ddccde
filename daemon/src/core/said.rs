//! What a lock says inside its session.

use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::psk::{Generation, PskGeneration};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::session_info::SessionInfo;
use drawbridge_protocol::tunnel::LockToHub;
use serde_json::json;

use super::action::Level;
use super::document::base64;
use super::hub::Hub;
use super::ledger::After;
use super::lock::Sync;
use super::now::Now;
use super::verbs::VerbError;

/// Number of [`drawbridge_protocol::tunnel::HubToLock::Command`], as a refusal names it.
const COMMAND: u8 = 2;
/// Number of [`drawbridge_protocol::tunnel::HubToLock::Query`].
const QUERY: u8 = 3;

impl Hub {
    pub(super) fn said(&mut self, id: LockId, plain: &[u8], now: Now) {
        let Ok(message) = LockToHub::decode(plain) else {
            // A later version may say things that this one does not know.
            self.journal(
                Level::Debug,
                "lock_message_unknown",
                vec![("lock", id.to_string())],
            );
            return;
        };
        self.touch(id);
        let is_answer = answers(&message)
            .and_then(|request| self.answered(id, |what| what.number() == request))
            .is_some();
        match message {
            LockToHub::Outcome { command, statement } => {
                self.outcome(id, command, statement, now);
            }
            LockToHub::SessionInfo { statement } => self.session_info(id, statement),
            // A lock reports what it senses whether it was asked or not.
            LockToHub::Report { statement } => self.report(id, statement, now),
            LockToHub::LogBatch {
                first,
                newest,
                records,
            } if is_answer => self.log_batch(id, first, newest, records, now),
            LockToHub::Freed { up_to } if is_answer => self.ack_taken(id, up_to),
            // What it refused for want of rights it may give now.
            LockToHub::GrantAccepted { .. } if is_answer => self.lift_bar(id),
            LockToHub::PskOffer { next } => self.psk_offered(id, next),
            LockToHub::PairInfo {
                window,
                owned,
                policy_epoch,
            } if is_answer => self.pair_info(id, window, owned, policy_epoch),
            LockToHub::Receipt { statement } if is_answer => self.receipt(id, statement, now),
            LockToHub::Refused { request, reason } => {
                self.request_refused(id, request, reason, now);
            }
            _ => {}
        }
    }

    /// Takes the request off the wire that this answers.
    fn answered(&mut self, id: LockId, is_it: impl FnOnce(&Sync) -> bool) -> Option<Sync> {
        let lock = self.locks.get_mut(&id)?;
        lock.sync_lane
            .take_if(|lane| is_it(&lane.what))
            .map(|lane| lane.what)
    }

    fn session_info(&mut self, id: LockId, statement: &[u8]) {
        let Some(lock) = self.locks.get(&id) else {
            return;
        };
        let verified = SessionInfo::verify(statement, &lock.binding.identity)
            .ok()
            .filter(|info| info.lock == id);
        let Some(info) = verified else {
            self.journal(
                Level::Error,
                "session_info_forged",
                vec![("lock", id.to_string())],
            );
            return;
        };
        self.learn_info(id, &info);
        let answered = self.answered(
            id,
            |what| matches!(what, Sync::Relay(relay) if info.nonce == Some(relay.nonce)),
        );
        if let Some(Sync::Relay(relay)) = answered {
            let data = json!({"statement": base64(statement)});
            self.reply(relay.reply, Ok(data));
        }
    }

    /// Every answer says where the log stands.
    pub(super) fn learn_info(&mut self, id: LockId, info: &SessionInfo) {
        if let Some(seq) = info.log_seq {
            self.learn_head(id, seq, info.log_head);
        }
    }

    fn psk_offered(&mut self, id: LockId, next: PskGeneration) {
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        let generation = next.generation;
        let kept = lock.binding.psks.advance(next);
        if kept {
            self.save_binding(
                id,
                vec![After::PskKept {
                    lock: id,
                    generation,
                }],
            );
        } else {
            let fields = vec![
                ("lock", id.to_string()),
                ("generation", generation.to_string()),
            ];
            self.journal(Level::Warn, "psk_offer_ignored", fields);
        }
    }

    /// The generation is durable: the lock may commit to it.
    pub(super) fn psk_kept(&mut self, id: LockId, generation: Generation) {
        if let Some(lock) = self.locks.get_mut(&id)
            && lock.link.is_up()
            && lock.binding.psks.current.generation == generation
        {
            lock.wants.psk_kept = Some(generation);
            self.touch(id);
        }
    }

    fn request_refused(&mut self, id: LockId, request: u8, reason: Reason, now: Now) {
        if matches!(request, COMMAND | QUERY) {
            return self.command_refused(id, request == QUERY, reason, now);
        }
        let Some(what) = self.answered(id, |what| what.number() == request) else {
            return;
        };
        let fields = vec![
            ("lock", id.to_string()),
            ("request", request.to_string()),
            ("reason", reason.to_string()),
        ];
        self.journal(Level::Warn, "request_refused", fields);
        match what {
            Sync::Relay(relay) => self.reply(relay.reply, Err(VerbError::refused(reason))),
            Sync::LogPull => {
                if let Some(lock) = self.locks.get_mut(&id) {
                    lock.log.bar(now.mono_ms);
                }
                self.conclude_from_log(id, now);
            }
            Sync::Ack => self.ack_refused(id, reason),
            Sync::PairInfo => self.pair_info_refused(id, reason),
            Sync::Claim => self.claim_failed(id, VerbError::refused(reason)),
            Sync::Grant | Sync::Report => {}
        }
    }
}

/// Number of the request that `message` is the answer to. `SessionInfo` is matched by its nonce,
/// `Outcome` by its command.
const fn answers(message: &LockToHub<'_>) -> Option<u8> {
    match message {
        LockToHub::GrantAccepted { .. } => Some(4),
        LockToHub::LogBatch { .. } => Some(5),
        LockToHub::Freed { .. } => Some(6),
        LockToHub::PairInfo { .. } => Some(7),
        LockToHub::Receipt { .. } => Some(8),
        LockToHub::Report { .. } => Some(10),
        _ => None,
    }
}
