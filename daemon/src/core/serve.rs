//! What goes to a lock next.
//!
//! Two requests may be on the wire: one command and one other. **A command never waits for more
//! than the answer to the command before it**; everything else waits while a command is out,
//! because the lock is busy with its motor.

use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::{CommandId, LockId};
use drawbridge_protocol::tunnel::HubToLock;

use super::command::Attempt;
use super::hub::Hub;
use super::lock::{CommandLane, Sync, SyncLane};
use super::now::Now;
use super::verbs::VerbError;

/// How long a command may take, in milliseconds: the motor's 6 s and a slow link.
const COMMAND_MS: u64 = 10_000;
/// How long any other request may take, in milliseconds: one that went out just before a command
/// waits for the command's motor.
const SYNC_MS: u64 = 12_000;

impl Hub {
    /// Sends what can be sent to a lock.
    pub(super) fn serve(&mut self, id: LockId, now: Now, entropy: &mut dyn Entropy) {
        let Some(lock) = self.locks.get(&id).filter(|lock| lock.link.is_up()) else {
            return;
        };
        if lock.link.is_spent(now.mono_ms) && lock.command_lane.is_none() {
            self.with_link(id, now, entropy, |link, ends| link.release(true, ends));
            return;
        }
        let sent = self.send_psk_kept(id, now)
            && self.send_grant(id, now)
            && self.send_command(id, now)
            && self.send_sync(id, now);
        if !sent {
            // The session takes no more records: a new one does.
            self.with_link(id, now, entropy, |link, ends| link.release(true, ends));
        }
    }

    fn send(&mut self, id: LockId, message: &HubToLock<'_>, now: Now) -> bool {
        let Some(lock) = self.locks.get_mut(&id) else {
            return true;
        };
        let mut steps = Vec::new();
        let sent = lock.link.send(message, &mut steps);
        lock.used_at = now.mono_ms;
        self.run_steps(id, steps, now);
        sent
    }

    fn send_psk_kept(&mut self, id: LockId, now: Now) -> bool {
        let wanted = self
            .locks
            .get_mut(&id)
            .and_then(|lock| lock.wants.psk_kept.take());
        match wanted {
            Some(generation) => self.send(id, &HubToLock::PskStored { generation }, now),
            None => true,
        }
    }

    /// The grant goes ahead of the commands that name it, without waiting for its answer.
    fn send_grant(&mut self, id: LockId, now: Now) -> bool {
        let Some(lock) = self.locks.get_mut(&id) else {
            return true;
        };
        if lock.sync_lane.is_some() || !std::mem::take(&mut lock.wants.grant) {
            return true;
        }
        let Some(grant) = lock.binding.grant().map(<[u8]>::to_vec) else {
            return true;
        };
        lock.sync_lane = Some(SyncLane {
            what: Sync::Grant,
            deadline: now.mono_ms.saturating_add(SYNC_MS),
        });
        self.send(id, &HubToLock::PresentGrant { statement: &grant }, now)
    }

    fn send_command(&mut self, id: LockId, now: Now) -> bool {
        let Some(lock) = self.locks.get_mut(&id) else {
            return true;
        };
        // A grant that waits for the wire goes first: the command may be signed under it.
        if lock.command_lane.is_some() || lock.wants.grant || !lock.binding.is_claimed {
            return true;
        }
        let Some((command, tracked)) = lock
            .queue
            .front()
            .and_then(|command| Some((*command, self.commands.tracked.get_mut(command)?)))
            .filter(|(_, tracked)| tracked.forgotten.is_none())
        else {
            return true;
        };
        let is_query = tracked.attempt == Attempt::Open;
        let statement = tracked.statement.clone();
        lock.command_lane = Some(CommandLane {
            id: command,
            is_query,
            deadline: now.mono_ms.saturating_add(COMMAND_MS),
        });
        if is_query {
            let statement = &statement;
            return self.send(id, &HubToLock::Query { statement }, now);
        }
        let sent = self.send_fresh(id, command, &statement, now);
        if !sent && let Some(lock) = self.locks.get_mut(&id) {
            lock.command_lane = None;
        }
        sent
    }

    fn send_fresh(&mut self, id: LockId, command: CommandId, statement: &[u8], now: Now) -> bool {
        let sent = self.send(id, &HubToLock::Command { statement }, now);
        // On a resumed link nobody may be there yet: `proven` says it then.
        let is_proven = self
            .locks
            .get(&id)
            .is_some_and(|lock| lock.link.is_proven());
        if sent && is_proven {
            self.delivered(id, command);
        }
        sent
    }

    fn send_sync(&mut self, id: LockId, now: Now) -> bool {
        let Some(lock) = self.locks.get_mut(&id) else {
            return true;
        };
        if lock.sync_lane.is_some() || lock.command_lane.is_some() {
            return true;
        }
        let Some(what) = self.next_sync(id, now) else {
            return true;
        };
        let Some(lock) = self.locks.get_mut(&id) else {
            return true;
        };
        let statement = match &what {
            Sync::Claim => lock.claim.as_ref().map(|claim| claim.statement.clone()),
            Sync::Ack => lock.ack.as_ref().map(|ack| ack.statement.clone()),
            Sync::Grant => lock.binding.grant().map(<[u8]>::to_vec),
            _ => None,
        };
        let statement = statement.as_deref().unwrap_or_default();
        let message = match &what {
            Sync::PairInfo => HubToLock::PairInfoRequest,
            Sync::Claim => HubToLock::Claim { statement },
            Sync::Ack => HubToLock::AuditAck { statement },
            Sync::Relay(relay) => HubToLock::SessionInfoRequest {
                nonce: relay.nonce,
                holder: relay.holder,
            },
            Sync::LogPull => HubToLock::LogPull {
                from: lock.log.cursor.seq.saturating_add(1),
            },
            Sync::Grant => HubToLock::PresentGrant { statement },
            Sync::Report => HubToLock::ReportRequest,
        };
        lock.sync_lane = Some(SyncLane {
            what,
            deadline: now.mono_ms.saturating_add(SYNC_MS),
        });
        self.send(id, &message, now)
    }

    /// The most urgent of what is to be asked.
    fn next_sync(&mut self, id: LockId, now: Now) -> Option<Sync> {
        let lock = self.locks.get_mut(&id)?;
        if lock.claim.as_ref().is_some_and(|claim| claim.is_saved) {
            return Some(Sync::Claim);
        }
        if std::mem::take(&mut lock.wants.pair_info) {
            return Some(Sync::PairInfo);
        }
        if !lock.binding.is_claimed {
            return None;
        }
        if let Some(relay) = lock.relays.pop_front() {
            return Some(Sync::Relay(relay));
        }
        if std::mem::take(&mut lock.wants.report) {
            lock.ask_after_silence(now.mono_ms);
            return Some(Sync::Report);
        }
        if self.may_hand_on_ack(id) {
            return Some(Sync::Ack);
        }
        self.may_pull(id).then_some(Sync::LogPull)
    }

    /// Whether what waits for broker, disk and leave to be freed leaves room for more of the locks'
    /// logs. Without it they stay in the locks.
    pub(super) fn has_room_for_logs(&self) -> bool {
        let all: u64 = self.locks.values().map(|lock| lock.log.held()).sum();
        self.outbox.kept() < self.config.outbox_kept / 2
            && self.ledger.depth() < self.config.unstored / 2
            && all < self.config.audit
    }

    /// Whether there is more of the log, and room for it.
    pub(super) fn may_pull(&self, id: LockId) -> bool {
        let has_room = self.has_room_for_logs();
        self.locks.get(&id).is_some_and(|lock| {
            let log = &lock.log;
            let is_behind = log.cursor.seq < log.newest && log.barred_until.is_none();
            is_behind && has_room && log.held() < self.config.audit_per_lock
        })
    }

    /// Everything whose time has come.
    pub(super) fn tick(&mut self, now: Now, entropy: &mut dyn Entropy) {
        let ids: Vec<LockId> = self.locks.keys().copied().collect();
        for id in ids {
            self.tick_link(id, now, entropy);
            self.tick_waits(id, now);
        }
    }

    fn tick_link(&mut self, id: LockId, now: Now, entropy: &mut dyn Entropy) {
        let Some(lock) = self.locks.get(&id) else {
            return;
        };
        let past = |deadline: u64| deadline <= now.mono_ms;
        if lock.link.next_deadline().is_some_and(past) {
            self.with_link(id, now, entropy, |link, ends| link.tick(ends));
            return;
        }
        let command = lock.command_lane.is_some_and(|lane| past(lane.deadline));
        let sync = lock.sync_lane.as_ref();
        if command || sync.is_some_and(|lane| past(lane.deadline)) {
            self.with_link(id, now, entropy, |link, ends| link.give_up(ends));
        }
    }

    fn tick_waits(&mut self, id: LockId, now: Now) {
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        let mut late = Vec::new();
        lock.relays = std::mem::take(&mut lock.relays)
            .into_iter()
            .filter_map(|relay| {
                if relay.deadline > now.mono_ms {
                    return Some(relay);
                }
                late.push(relay.reply);
                None
            })
            .collect();
        let report_due = lock.report_at.take_if(|at| *at <= now.mono_ms).is_some();
        lock.wants.report |= report_due;
        let bar_falls = lock.log.barred_until.is_some_and(|at| at <= now.mono_ms);
        let offline = lock.offline_at.take_if(|at| *at <= now.mono_ms).is_some();
        if offline {
            lock.is_online = Some(false);
        }
        for reply in late {
            self.reply(reply, Err(VerbError::unreachable(id)));
        }
        if bar_falls {
            self.lift_bar(id);
        }
        if report_due {
            self.touch(id);
        }
        if offline {
            self.publish_link(id);
        }
        self.tick_pairing(id, now);
    }
}
