//! What comes in as a command, and whether it is taken.

use drawbridge_protocol::command::{Command, MAX_COMMAND, ReadCommand};
use drawbridge_protocol::ids::{CommandId, LockId};
use drawbridge_protocol::reason::Reason;

use super::refusals::Saying;
use super::result::Said;
use super::{Attempt, Tracked, Waiter};
use crate::core::action::{Level, StoreOp, Tree};
use crate::core::event::AckToken;
use crate::core::hub::Hub;
use crate::core::ledger::After;
use crate::core::now::Now;
use crate::core::record::{InboxRecord, command_key, encoded};
use crate::core::verbs::VerbError;

/// Longest Correlation Data kept with a command, bytes.
const MAX_CORRELATION: usize = 64;
/// Acknowledgements and clients that one command keeps waiting.
const MAX_WAITING: usize = 8;

/// Where a command came from.
#[derive(Debug, Clone, Default)]
pub(in crate::core) struct Origin {
    pub(in crate::core) retained: bool,
    pub(in crate::core) ack: Option<AckToken>,
    pub(in crate::core) correlation: Option<Vec<u8>>,
    pub(in crate::core) waiter: Option<Waiter>,
}

impl Hub {
    /// Takes a command in, or says why not. In this order: retained, form, lock, repeat, signer,
    /// room; then it is queued and stored at the same time.
    pub(in crate::core) fn take_command(
        &mut self,
        lock: LockId,
        bytes: &[u8],
        origin: Origin,
        now: Now,
    ) {
        if origin.retained {
            return self.refuse(lock, bytes, None, Reason::Transport, &origin, now);
        }
        let Some(read) = (bytes.len() <= MAX_COMMAND)
            .then(|| Command::read(bytes).ok())
            .flatten()
        else {
            return self.refuse(lock, bytes, None, Reason::Form, &origin, now);
        };
        let id = read.id;
        if read.command.lock != lock || !self.locks.contains_key(&lock) {
            return self.refuse(lock, bytes, Some(id), Reason::WrongLock, &origin, now);
        }
        if let Some(record) = self.commands.finals.find(&id) {
            if record.digest != read.digest {
                return self.refuse(lock, bytes, Some(id), Reason::IdReused, &origin, now);
            }
            let said = Said::again(id, record).document();
            return self.answer(lock, said, &origin);
        }
        if let Some(tracked) = self.commands.tracked.get_mut(&id) {
            if tracked.digest != read.digest {
                return self.refuse(lock, bytes, Some(id), Reason::IdReused, &origin, now);
            }
            return self.join(id, &origin);
        }
        match self.refusal(lock, &read, origin.waiter.is_some()) {
            Some(reason) => self.refuse(lock, bytes, Some(id), reason, &origin, now),
            None => self.accept(lock, &read, bytes, origin, now),
        }
    }

    /// Why a well-formed new command is not taken all the same.
    fn refusal(&self, lock: LockId, read: &ReadCommand<'_>, is_local: bool) -> Option<Reason> {
        let state = self.locks.get(&lock)?;
        if !state.binding.is_claimed {
            return Some(Reason::NotOwned);
        }
        // Two signers are known here; a command under another grant is for the lock to judge.
        let grant = state.binding.verified_grant();
        let signer = match (&read.command.grant, grant) {
            (None, Some(own)) => Some(own.grant.issuer),
            (Some(named), Some(own)) if *named == own.hash => Some(self.keys.identity.public()),
            _ => None,
        };
        if signer.is_some_and(|signer| read.verify(&signer).is_err()) {
            return Some(Reason::Signature);
        }
        // A broker that is away for long must not end up locking the house's own people out: their
        // answer is on the control socket (F05).
        let outbox_full = !is_local && self.outbox.kept() >= self.config.outbox_kept;
        let full = state.queue.len() >= self.config.commands_per_lock
            || self.commands.tracked.len() >= self.config.commands
            || self.ledger.depth() >= self.config.unstored
            || outbox_full;
        full.then_some(Reason::Busy)
    }

    fn accept(
        &mut self,
        lock: LockId,
        read: &ReadCommand<'_>,
        bytes: &[u8],
        origin: Origin,
        now: Now,
    ) {
        let id = read.id;
        let order = self.commands.order();
        let correlation = origin
            .correlation
            .filter(|correlation| correlation.len() <= MAX_CORRELATION);
        let record = InboxRecord {
            order,
            statement: bytes.to_vec().into(),
            correlation: correlation.clone().map(Into::into),
            is_local: origin.waiter.is_some(),
        };
        let tracked = Tracked {
            lock,
            digest: read.digest,
            statement: bytes.to_vec(),
            grant: read.command.grant,
            correlation,
            is_local: origin.waiter.is_some(),
            order,
            is_durable: false,
            acks: origin.ack.into_iter().collect(),
            waiters: origin.waiter.into_iter().collect(),
            attempt: Attempt::Fresh,
            is_delivered: false,
            logged: None,
            forgotten: None,
            is_granted_anew: false,
        };
        self.commands.tracked.insert(id, tracked);
        if let Some(state) = self.locks.get_mut(&lock) {
            state.queue.push_back(id);
        }
        self.touch(lock);
        let op = StoreOp::Put {
            tree: Tree::Inbox,
            key: command_key(id),
            value: encoded(&record),
            at: now.unix_s,
        };
        self.ledger.write(vec![op], vec![After::Accepted(id)]);
    }

    /// The same bytes once more, before their end: whoever sent them hears with the others.
    fn join(&mut self, id: CommandId, origin: &Origin) {
        let Some(tracked) = self.commands.tracked.get_mut(&id) else {
            return;
        };
        if let Some(waiter) = origin.waiter {
            if !waiter.until_final && tracked.is_durable {
                let said = Said::by_hub(id, "accepted", Reason::None).document();
                self.reply_control(waiter.client, waiter.id, Ok(said));
            } else if tracked.waiters.len() < MAX_WAITING {
                tracked.waiters.push(waiter);
            } else {
                let error = VerbError::busy();
                self.reply_control(waiter.client, waiter.id, Err(error));
            }
        }
        let Some(tracked) = self.commands.tracked.get_mut(&id) else {
            return;
        };
        if let Some(token) = origin.ack {
            if tracked.is_durable {
                self.acknowledge([token]);
            } else if tracked.acks.len() < MAX_WAITING {
                tracked.acks.push(token);
            }
        }
    }

    /// The command is durable: now, and not earlier, it may be called accepted.
    pub(in crate::core) fn accepted(&mut self, id: CommandId) {
        if let Some(late) = self.commands.late.remove(&id) {
            for ticket in late.held {
                self.outbox.ready(ticket);
            }
            self.acknowledge(late.acks);
            return;
        }
        let Some(tracked) = self.commands.tracked.get_mut(&id) else {
            return;
        };
        tracked.is_durable = true;
        let lock = tracked.lock;
        let is_delivered = tracked.is_delivered;
        let is_open = tracked.attempt == Attempt::Open;
        let acks = std::mem::take(&mut tracked.acks);
        let (done, waiting): (Vec<_>, Vec<_>) = tracked
            .waiters
            .iter()
            .partition(|waiter| !waiter.until_final);
        tracked.waiters = waiting;
        self.acknowledge(acks);
        let said = Said::by_hub(id, "accepted", Reason::None);
        for waiter in done {
            self.reply_control(waiter.client, waiter.id, Ok(said.document()));
        }
        self.progress(lock, id, &said);
        // What happened meanwhile is told now, in its order.
        if is_delivered {
            self.progress(lock, id, &Said::by_hub(id, "delivered", Reason::None));
        }
        if is_open {
            self.progress(lock, id, &Said::by_hub(id, "unknown", Reason::None));
        }
    }

    /// The store fails: nothing is called accepted, but what the lock did is told all the same.
    /// Its sender's message is acknowledged once the broker has the final.
    pub(in crate::core) fn not_accepted(&mut self, id: CommandId) {
        let Some(late) = self.commands.late.remove(&id) else {
            return;
        };
        for ticket in late.held {
            self.outbox.cancel(ticket);
        }
        if let Some(last) = late.last {
            self.outbox.acknowledge_with(last, late.acks);
        }
    }

    /// Says no, unless too many had to be told so lately. What the hub says alone is provisional, and nothing was kept.
    fn refuse(
        &mut self,
        lock: LockId,
        bytes: &[u8],
        id: Option<CommandId>,
        reason: Reason,
        origin: &Origin,
        now: Now,
    ) {
        // The control socket has a rate of its own.
        if origin.waiter.is_none()
            && let Saying::Unsaid { is_news } = self.commands.refusals.next(now.mono_ms)
        {
            if is_news {
                let fields = vec![
                    ("lock", lock.to_string()),
                    ("reason", reason.to_string()),
                    ("unsaid", self.commands.refusals.unsaid().to_string()),
                ];
                self.journal(Level::Warn, "refusals_unsaid", fields);
            }
            return self.acknowledge(origin.ack);
        }
        // A payload that cannot be read has no id of its own: its hash names it to its sender.
        let id = id
            .or_else(|| Command::read(bytes).ok().map(|read| read.id))
            .unwrap_or_else(|| CommandId::of_payload(bytes));
        let said = Said::by_hub(id, "refused", reason).document();
        self.answer(lock, said, origin);
    }

    /// Answers one sender, at once.
    fn answer(&mut self, lock: LockId, said: serde_json::Value, origin: &Origin) {
        if let Some(waiter) = origin.waiter {
            self.reply_control(waiter.client, waiter.id, Ok(said));
            return;
        }
        self.publish_result(lock, &said, origin.correlation.clone());
        self.acknowledge(origin.ack);
    }
}
