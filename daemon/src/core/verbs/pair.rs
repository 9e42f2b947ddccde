//! From a pairing ticket to the lock's receipt.
//!
//! `lock.pair` finds the lock and asks for its window; `lock.claim` carries the owner's claim.
//! **Nothing is kept before a claim, and a claim is sent only once the binding that names it is
//! durable**: a receipt that got lost can then be had again with the same claim.

use drawbridge_protocol::cose::MAX_STATEMENT;
use drawbridge_protocol::grant::Grant;
use drawbridge_protocol::ids::{Digest32, LockId, Nonce, OwnershipId};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::receipt::Receipt;
use drawbridge_protocol::ticket::{MAX_TICKET, PairingTicket};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ReplyTo, VerbError};
use crate::core::action::Level;
use crate::core::binding::{LockBinding, is_name};
use crate::core::document::{base64, from_base64};
use crate::core::hub::Hub;
use crate::core::ledger::After;
use crate::core::link::Trouble;
use crate::core::lock::{Lock, PAIRING_MS, Pairing, PendingClaim};
use crate::core::now::Now;

/// How long a claim may take, in milliseconds.
const CLAIM_MS: u64 = 60_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pair {
    ticket: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimFor {
    lock: String,
    claim: String,
    #[serde(default)]
    grant: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

impl Hub {
    pub(super) fn lock_pair(
        &mut self,
        pair: &Pair,
        reply: ReplyTo,
        now: Now,
    ) -> Result<Option<Value>, VerbError> {
        let ticket = from_base64(&pair.ticket, MAX_TICKET)
            .and_then(|bytes| PairingTicket::decode(&bytes).ok())
            .filter(|ticket| ticket.identity.check().is_ok() && ticket.link.check().is_ok())
            .ok_or_else(|| VerbError::bad_statement("a pairing ticket"))?;
        let id = ticket.lock;
        if self
            .locks
            .get(&id)
            .is_some_and(|lock| lock.binding.is_claimed)
        {
            return Err(VerbError::already_paired(id));
        }
        if self
            .locks
            .iter()
            .any(|(other, lock)| *other != id && lock.pairing.is_some())
        {
            return Err(VerbError::busy());
        }
        if self.locks.len() >= self.config.locks && !self.locks.contains_key(&id) {
            return Err(VerbError::full("locks"));
        }
        let mut binding = LockBinding::from_ticket(&ticket);
        if let Some(known) = self.locks.get(&id).map(|lock| &lock.binding)
            && known.identity == binding.identity
            && known.link == binding.link
        {
            // An earlier claim may have taken although its receipt got lost, and the lock may have
            // moved on to another generation since: either key may be the one that works.
            let newest = known.psks.current.clone();
            if newest != binding.psks.current {
                binding.psks.previous = Some(std::mem::replace(&mut binding.psks.current, newest));
            }
        }
        if self.locks.contains_key(&id) {
            // A pairing that was begun before begins anew; who waited for it is told.
            self.forget_lock(id, Vec::new());
        }
        let mut lock = Lock::new(binding, now.mono_ms);
        lock.pairing = Some(Pairing {
            reply: Some(reply),
            deadline: now.mono_ms.saturating_add(PAIRING_MS),
            step: "",
        });
        self.locks.insert(id, lock);
        self.pairing_step(id, "searching");
        Ok(None)
    }

    pub(super) fn lock_claim(
        &mut self,
        claim: &ClaimFor,
        reply: ReplyTo,
        now: Now,
    ) -> Result<Option<Value>, VerbError> {
        let id = self
            .find_lock(&claim.lock)
            .map_err(|_| VerbError::not_pairing())?;
        let statement = from_base64(&claim.claim, MAX_STATEMENT)
            .ok_or_else(|| VerbError::bad_statement("a claim"))?;
        let grant = claim.grant.as_deref().map(|text| self.own_grant(id, text));
        let grant = grant.transpose()?;
        if claim.name.as_deref().is_some_and(|name| !is_name(name)) {
            return Err(VerbError::bad_name());
        }
        let Some(lock) = self.locks.get_mut(&id) else {
            return Err(VerbError::not_pairing());
        };
        let ownership = OwnershipId::of_claim(&statement);
        if lock.binding.is_claimed && lock.binding.ownership != Some(ownership) {
            return Err(VerbError::already_paired(id));
        }
        let replaced = lock.claim.replace(PendingClaim {
            statement,
            reply,
            deadline: now.mono_ms.saturating_add(CLAIM_MS),
            is_saved: false,
        });
        lock.binding.ownership = Some(ownership);
        if grant.is_some() {
            lock.binding.set_grant(grant.as_deref());
        }
        if let Some(name) = &claim.name {
            lock.binding.name.clone_from(name);
        }
        if let Some(pairing) = &mut lock.pairing {
            pairing.deadline = pairing.deadline.max(now.mono_ms.saturating_add(CLAIM_MS));
        }
        if let Some(replaced) = replaced {
            self.reply(replaced.reply, Err(VerbError::replaced()));
        }
        self.save_binding(id, vec![After::ClaimSaved(id)]);
        Ok(None)
    }

    /// Reads a grant that is to be this hub's own at this lock.
    fn own_grant(&self, lock: LockId, text: &str) -> Result<Vec<u8>, VerbError> {
        let bytes =
            from_base64(text, MAX_STATEMENT).ok_or_else(|| VerbError::bad_statement("a grant"))?;
        let ours = Grant::verify(&bytes).ok().is_some_and(|verified| {
            verified.grant.lock == lock
                && verified.grant.holder == self.keys.identity.public()
                && verified.grant.holder_link == self.keys.link.public()
        });
        if ours {
            Ok(bytes)
        } else {
            Err(VerbError::bad_statement(
                "a grant of this hub's rights at this lock",
            ))
        }
    }

    /// The binding that names the claim is durable: send it.
    pub(in crate::core) fn claim_saved(&mut self, id: LockId) {
        if let Some(claim) = self.locks.get_mut(&id).and_then(|lock| lock.claim.as_mut()) {
            claim.is_saved = true;
            self.touch(id);
        }
    }

    pub(in crate::core) fn pair_info(
        &mut self,
        id: LockId,
        window: Nonce,
        owned: bool,
        policy_epoch: u32,
    ) {
        self.pairing_step(
            id,
            if owned {
                "already_owned"
            } else {
                "window_open"
            },
        );
        let data = json!({
            "lock": id.to_string(),
            "window": window.to_string(),
            "owned": owned,
            "policy_epoch": policy_epoch,
            "hub": self.hub_keys(),
        });
        let pairing = self
            .locks
            .get_mut(&id)
            .and_then(|lock| lock.pairing.as_mut());
        if let Some(reply) = pairing.and_then(|pairing| pairing.reply.take()) {
            self.reply(reply, Ok(data));
        }
    }

    /// The lock takes the hub for a peer but has no window open: wait for the button.
    pub(in crate::core) fn pair_info_refused(&mut self, id: LockId, reason: Reason) {
        if reason == Reason::WindowClosed {
            self.pairing_step(id, "window_closed");
            self.condemn(id);
            return;
        }
        if reason == Reason::AlreadyOwned {
            self.pairing_step(id, "already_owned");
        }
        self.pairing_failed(id, VerbError::refused(reason));
    }

    /// The receipt makes it ours, and only the receipt.
    pub(in crate::core) fn receipt(&mut self, id: LockId, statement: &[u8], now: Now) {
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        let Some(claim) = lock.claim.take() else {
            return;
        };
        let verified = Receipt::verify(statement, &lock.binding.identity)
            .ok()
            .filter(|receipt| {
                receipt.lock == id && receipt.claim == Digest32::of(&claim.statement)
            });
        if verified.is_none() {
            self.journal(
                Level::Error,
                "receipt_forged",
                vec![("lock", id.to_string())],
            );
            self.reply(
                claim.reply,
                Err(VerbError::bad_statement("the lock's receipt")),
            );
            return;
        }
        lock.binding.is_claimed = true;
        lock.binding.since = lock.binding.since.or(now.unix_s);
        lock.pairing = None;
        lock.wants.grant = lock.binding.grant().is_some();
        lock.wants.report = true;
        lock.is_online = Some(true);
        // Commands from before the hub lost this lock's binding wait for it still.
        let mut waiting: Vec<_> = self
            .commands
            .tracked
            .iter()
            .filter(|(_, tracked)| tracked.lock == id)
            .map(|(command, tracked)| (tracked.order, *command))
            .collect();
        waiting.sort_unstable();
        lock.queue = waiting.into_iter().map(|(_, command)| command).collect();
        // He relies on this hub knowing the lock: not before it survives a power cut.
        let receipt = After::Answer {
            reply: claim.reply,
            data: json!({"receipt": base64(statement)}),
        };
        self.save_binding(id, vec![receipt]);
        self.tell_step(id, "claimed");
        self.publish_locks();
        self.publish_link(id);
        self.touch(id);
    }

    /// The claim did not take: what was kept for it goes, unless the lock was ours before.
    pub(in crate::core) fn claim_failed(&mut self, id: LockId, error: VerbError) {
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        let Some(claim) = lock.claim.take() else {
            return;
        };
        let was_ours = lock.binding.is_claimed;
        if error.code == Reason::AlreadyOwned.name() {
            self.tell_step(id, "already_owned");
        }
        self.reply(claim.reply, Err(error));
        if !was_ours {
            self.forget_lock(id, Vec::new());
        }
    }

    /// A link of a pairing is gone: say what it means, and try again while there is time.
    pub(in crate::core) fn pairing_trouble(&mut self, id: LockId, trouble: Trouble) {
        match trouble {
            // To strangers the lock has one word for everything; outside its window all are.
            Trouble::Denied => self.pairing_step(id, "window_closed"),
            // Only somebody who knows the psk can answer a handshake.
            Trouble::NotAuthentic => {
                self.pairing_step(id, "wrong_secret");
                self.pairing_failed(id, VerbError::pairing("wrong_secret"));
            }
            _ => self.pairing_step(id, "searching"),
        }
    }

    fn pairing_failed(&mut self, id: LockId, error: VerbError) {
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        let reply = lock
            .pairing
            .as_mut()
            .and_then(|pairing| pairing.reply.take());
        let claim = lock.claim.take().map(|claim| claim.reply);
        for reply in reply.into_iter().chain(claim) {
            self.reply(reply, Err(error.clone()));
        }
        self.forget_lock(id, Vec::new());
    }

    pub(in crate::core) fn tick_pairing(&mut self, id: LockId, now: Now) {
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        let claim_late = lock
            .claim
            .as_ref()
            .is_some_and(|claim| claim.deadline <= now.mono_ms);
        if claim_late && let Some(claim) = lock.claim.take() {
            // The lock may have taken it: the binding stays, the same claim can be sent again.
            lock.pairing = None;
            self.reply(claim.reply, Err(VerbError::unreachable(id)));
            return;
        }
        let step = lock
            .pairing
            .as_ref()
            .filter(|pairing| pairing.deadline <= now.mono_ms)
            .map(|pairing| pairing.step);
        if let Some(step) = step {
            self.pairing_failed(id, VerbError::pairing(step));
        }
    }

    /// Tells a step of a pairing, once.
    pub(in crate::core) fn pairing_step(&mut self, id: LockId, step: &'static str) {
        let pairing = self
            .locks
            .get_mut(&id)
            .and_then(|lock| lock.pairing.as_mut());
        if let Some(pairing) = pairing
            && pairing.step != step
        {
            pairing.step = step;
            self.tell_step(id, step);
        }
    }

    fn tell_step(&mut self, id: LockId, step: &'static str) {
        self.journal(
            Level::Info,
            "pairing_step",
            vec![("lock", id.to_string()), ("step", step.to_owned())],
        );
        self.tell(&json!({"event": "pairing_step", "lock": id.to_string(), "step": step}));
    }
}
