//! The hub: all machines together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use drawbridge_protocol::command::Command;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::{CommandId, LockId};
use serde_json::{Value, json};

use super::action::{CloudAction, ControlAction, Entry, HubAction, Level, StoreOp, Tree};
use super::command::{Attempt, Commands, Tracked};
use super::config::{HubConfig, HubKeys};
use super::event::{
    AckToken, ClientId, CloudEvent, ControlEvent, HubEvent, LinkId, RadioHealth, StoreFault,
};
use super::ledger::{After, Fate, Ledger};
use super::link::Ends;
use super::lock::{Lock, PendingAck};
use super::now::Now;
use super::outbox::Outbox;
use super::record::{
    CursorRecord, FinalRecord, InboxRecord, Restored, StoreLoss, decoded, lock_in_key,
};
use super::slots::Slots;
use super::topic::{BadHubId, Incoming, Root};
use super::verbs::VerbError;
use super::verbs::watch::Watchers;

/// The hub as one machine.
///
/// Order of use: [`Self::new`] with everything that was durable; then, for each thing that happens,
/// [`Self::handle`], and after it [`Self::poll_action`] until it answers `None`; a
/// [`HubEvent::Tick`] when the time that [`Self::next_deadline`] names has come (late is no error).
/// Actions are to be carried out in order per adapter; adapters answer as [`HubAction`] says.
/// A crash is `drop`: a new hub, made from what the store had called durable, takes over.
///
/// **A command is called accepted only when it is durable, ends in exactly one final result, and
/// what is called final was signed by its lock** (the one exception: the end of a command whose
/// lock is removed by force, and that is marked provisional).
#[derive(Debug)]
pub struct Hub {
    pub(super) config: HubConfig,
    pub(super) keys: HubKeys,
    pub(super) root: Root,
    pub(super) locks: BTreeMap<LockId, Lock>,
    pub(super) links: BTreeMap<LinkId, LockId>,
    pub(super) next_link: u64,
    pub(super) is_scanning: bool,
    pub(super) radio_health: RadioHealth,
    pub(super) schedule_at: Option<u64>,
    pub(super) slots: Slots,
    pub(super) commands: Commands,
    pub(super) ledger: Ledger,
    pub(super) outbox: Outbox,
    pub(super) watchers: Watchers,
    /// Requests of clients that are there and have no answer, and how many of that number. What is
    /// not here is not answered.
    pub(super) unanswered: BTreeMap<(ClientId, u64), u32>,
    /// Locks that may have something to send.
    dirty: BTreeSet<LockId>,
    /// Whether there was room for the locks' logs after the last event.
    had_room_for_logs: bool,
    /// Locks whose link is to be ended because its other end makes no sense.
    condemned: BTreeSet<LockId>,
    actions: VecDeque<HubAction>,
}

impl Hub {
    /// Starts from what was durable.
    ///
    /// # Errors
    /// [`BadHubId`]: the id cannot stand in a topic.
    pub fn new(
        config: HubConfig,
        keys: HubKeys,
        restored: Restored,
        now: Now,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, BadHubId> {
        let root = Root::new(&config.hub_id)?;
        let (outbox, unreadable) = Outbox::restore(&restored.outbox, restored.next_ticket);
        let slots = Slots::new(config.slots);
        let mut hub = Self {
            config,
            keys,
            root,
            locks: BTreeMap::new(),
            links: BTreeMap::new(),
            // Links are named anew in each run, so that a late word about an old one is no word
            // about a new one.
            next_link: u64::from_le_bytes((&mut &mut *entropy).bytes()) >> 16,
            is_scanning: false,
            radio_health: RadioHealth::Ready,
            schedule_at: None,
            slots,
            commands: Commands::default(),
            ledger: Ledger::default(),
            outbox,
            watchers: Watchers::default(),
            unanswered: BTreeMap::new(),
            dirty: BTreeSet::new(),
            had_room_for_logs: true,
            condemned: BTreeSet::new(),
            actions: VecDeque::new(),
        };
        hub.note_unreadable(Tree::Outbox, unreadable);
        hub.restore(restored, now);
        hub.publish_hub_documents();
        hub.settle(now, entropy);
        Ok(hub)
    }

    fn restore(&mut self, restored: Restored, now: Now) {
        let loss = restored.loss;
        for binding in restored.bindings {
            let mut lock = Lock::new(binding, now.mono_ms);
            lock.offline_at = Some(now.mono_ms.saturating_add(super::air::FIRST_LINK_MS));
            self.locks.insert(lock.binding.lock, lock);
        }
        let mut unreadable = 0;
        for (key, value) in restored.meta {
            let cursor = lock_in_key(&key, b"cursor/").zip(decoded::<CursorRecord>(&value).ok());
            let ack = lock_in_key(&key, b"ack/");
            if let Some((id, record)) = cursor {
                if let Some(lock) = self.locks.get_mut(&id)
                    && loss.is_none()
                {
                    lock.log.cursor = record.cursor();
                    lock.log.durable = record.seq;
                    lock.log.kept_from = record.kept_from;
                    lock.log.newest = lock.log.newest.max(record.seq);
                }
            } else if let Some(lock) = ack.and_then(|id| self.locks.get_mut(&id)) {
                let id = lock.binding.lock;
                lock.ack = super::audit_ack::upto(id, &value).map(|upto| PendingAck {
                    statement: value,
                    upto,
                    reply: None,
                });
                unreadable += usize::from(lock.ack.is_none());
            } else if ack.is_none() {
                unreadable += 1;
            }
        }
        self.note_unreadable(Tree::Meta, unreadable);
        unreadable = 0;
        for (key, value) in restored.dedupe {
            let id = key.as_slice().try_into().map(CommandId);
            match (id, decoded::<FinalRecord>(&value)) {
                (Ok(id), Ok(record)) => {
                    self.commands.raise_order(record.order);
                    self.commands.finals.restore(id, record);
                }
                _ => unreadable += 1,
            }
        }
        self.note_unreadable(Tree::Dedupe, unreadable);
        self.restore_inbox(restored.inbox);
        if let Some(loss) = loss {
            self.fetch_logs_anew(loss);
        }
    }

    /// A position in a lock's log says that all records before it are in the store. When it lost
    /// some they are fetched again, as far back as the lock has them; I4.
    fn fetch_logs_anew(&mut self, loss: StoreLoss) {
        for lock in self.locks.values_mut() {
            lock.log.restart();
        }
        self.alarm(&json!({"event": loss.event()}));
    }

    /// Commands without a final result: the lock may have seen each of them.
    fn restore_inbox(&mut self, records: super::record::Records) {
        let mut unreadable = 0;
        let mut waiting = BTreeMap::new();
        for (key, value) in records {
            let Ok(record) = decoded::<InboxRecord>(&value) else {
                unreadable += 1;
                continue;
            };
            let Ok(read) = Command::read(&record.statement) else {
                unreadable += 1;
                continue;
            };
            self.commands.raise_order(record.order);
            // Its file cannot be read: the command stays on disk and ends when the lock is back.
            if !self.locks.contains_key(&read.command.lock) {
                let command = read.id.to_string();
                let fields = vec![
                    ("command", command),
                    ("lock", read.command.lock.to_string()),
                ];
                self.journal(Level::Error, "command_of_unknown_lock", fields);
                continue;
            }
            if self.commands.finals.find(&read.id).is_some() {
                let tree = Tree::Inbox;
                self.ledger
                    .write(vec![StoreOp::Delete { tree, key }], Vec::new());
                continue;
            }
            let tracked = Tracked {
                lock: read.command.lock,
                digest: read.digest,
                grant: read.command.grant,
                correlation: record.correlation.map(Into::into),
                is_local: record.is_local,
                order: record.order,
                is_durable: true,
                acks: Vec::new(),
                waiters: Vec::new(),
                attempt: Attempt::Open,
                is_delivered: true,
                logged: None,
                forgotten: None,
                is_granted_anew: false,
                statement: record.statement.to_vec(),
            };
            waiting.insert((record.order, read.id), tracked);
        }
        for ((_, id), tracked) in waiting {
            if let Some(lock) = self.locks.get_mut(&tracked.lock) {
                lock.queue.push_back(id);
            }
            self.commands.tracked.insert(id, tracked);
        }
        self.note_unreadable(Tree::Inbox, unreadable);
    }

    fn note_unreadable(&mut self, tree: Tree, count: usize) {
        if count > 0 {
            let fields = vec![("tree", format!("{tree:?}")), ("count", count.to_string())];
            self.journal(Level::Error, "store_records_unreadable", fields);
        }
    }

    /// Takes one event. Everything that follows from it is then in [`Self::poll_action`].
    pub fn handle(&mut self, event: HubEvent, now: Now, entropy: &mut dyn Entropy) {
        match event {
            HubEvent::Radio(event) => self.radio(event, now, entropy),
            HubEvent::Cloud(event) => self.cloud(event, now),
            HubEvent::Stored { batch, result } => self.stored(batch, &result, now),
            HubEvent::Control(ControlEvent::Request {
                client,
                id,
                verb,
                data,
            }) => self.control_request(client, id, &verb, data, now),
            HubEvent::Control(ControlEvent::Gone { client }) => self.client_gone(client),
            HubEvent::Tick => {}
        }
        self.tick(now, entropy);
        self.settle(now, entropy);
    }

    /// The next thing to do, until there is none.
    pub fn poll_action(&mut self) -> Option<HubAction> {
        self.actions.pop_front()
    }

    /// When a [`HubEvent::Tick`] is due, monotonic milliseconds; `None`: not before something
    /// else happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let locks = self.locks.values().filter_map(|lock| {
            let command = lock.command_lane.map(|lane| lane.deadline);
            let sync = lock.sync_lane.as_ref().map(|lane| lane.deadline);
            let relays = lock.relays.iter().map(|relay| relay.deadline).min();
            let pairing = lock.pairing.as_ref().map(|pairing| pairing.deadline);
            let claim = lock.claim.as_ref().map(|claim| claim.deadline);
            [
                lock.link.next_deadline(),
                command,
                sync,
                relays,
                pairing,
                claim,
                lock.report_at,
                lock.offline_at,
                lock.log.barred_until,
            ]
            .into_iter()
            .flatten()
            .min()
        });
        [
            locks.min(),
            self.schedule_at,
            self.ledger.next_deadline(),
            self.outbox.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Where the hub listens and publishes, for the adapter that subscribes.
    #[must_use]
    pub const fn root(&self) -> &Root {
        &self.root
    }

    fn cloud(&mut self, event: CloudEvent, now: Now) {
        match event {
            CloudEvent::Up { max_packet, .. } => {
                self.outbox.up(max_packet);
            }
            // Told once by whoever holds the connection, not again with each attempt.
            CloudEvent::Down { .. } => {
                self.outbox.down();
                self.commands.forget_acks();
            }
            CloudEvent::Message {
                topic,
                payload,
                retain,
                duplicate: _,
                correlation,
                response_topic,
                ack,
            } => {
                let root = self.root.clone();
                match root.parse(&topic) {
                    Some(Incoming::Command(lock)) => {
                        let origin = super::command::Origin {
                            retained: retain,
                            ack: Some(ack),
                            correlation,
                            waiter: None,
                        };
                        self.take_command(lock, &payload, origin, now);
                    }
                    Some(Incoming::AuditAck(lock)) if !retain => {
                        self.take_audit_ack(lock, &payload, Some(ack), None);
                    }
                    Some(Incoming::Request(verb)) if !retain => {
                        self.acknowledge([ack]);
                        self.cloud_request(verb, &payload, correlation, response_topic, now);
                    }
                    _ => self.acknowledge([ack]),
                }
            }
            CloudEvent::Published { ticket } => {
                let (delete, acks) = self.outbox.published(ticket);
                if let Some(op) = delete {
                    self.ledger.write(vec![op], Vec::new());
                }
                self.acknowledge(acks);
            }
            CloudEvent::PublishFailed {
                ticket,
                reason,
                is_temporary,
            } => {
                // A full outbox that the broker refuses for good is refused anew each minute.
                let level = if self.outbox.failed(ticket, is_temporary, now.mono_ms) {
                    Level::Warn
                } else {
                    Level::Debug
                };
                let fields = vec![("ticket", ticket.to_string()), ("reason", reason)];
                self.journal(level, "publish_failed", fields);
            }
        }
    }

    fn stored(&mut self, batch: u64, result: &Result<(), StoreFault>, now: Now) {
        if let Err(fault) = result {
            let fields = vec![
                ("reason", fault.reason.clone()),
                ("may_have_succeeded", fault.may_have_succeeded.to_string()),
            ];
            self.journal(Level::Error, "store_failed", fields);
        }
        for (after, fate) in self.ledger.stored(batch, result, now.mono_ms) {
            match (after, fate) {
                (After::Accepted(id), Fate::Durable) => self.accepted(id),
                (After::Accepted(id), _) => self.not_accepted(id),
                // What the store does not take now is told from memory: silence would be worse.
                (After::Publish(ticket), _) => self.outbox.ready(ticket),
                // What the store will never take holds nobody up for ever.
                (After::LogKept { lock, seq }, Fate::Durable | Fate::Refused) => {
                    self.log_kept(lock, seq);
                }
                (After::PskKept { lock, generation }, Fate::Durable) => {
                    self.psk_kept(lock, generation);
                }
                (After::ClaimSaved(lock), Fate::Durable) => self.claim_saved(lock),
                (After::ClaimSaved(lock), Fate::Refused) => {
                    self.claim_failed(lock, VerbError::store());
                }
                (After::Answer { reply, data }, Fate::Durable) => self.reply(reply, Ok(data)),
                (After::Answer { reply, .. }, Fate::Refused) => {
                    self.reply(reply, Err(VerbError::store()));
                }
                (After::Acknowledge(token), Fate::Durable) => self.acknowledge([token]),
                (
                    After::LogKept { .. }
                    | After::PskKept { .. }
                    | After::ClaimSaved(_)
                    | After::Answer { .. }
                    | After::Acknowledge(_),
                    _,
                ) => {}
            }
        }
    }

    /// Lets everything follow that can follow now.
    fn settle(&mut self, now: Now, entropy: &mut dyn Entropy) {
        let has_room = self.has_room_for_logs();
        if has_room && !self.had_room_for_logs {
            // There are logs that had to stay in their locks.
            self.dirty.extend(self.locks.keys());
        }
        self.had_room_for_logs = has_room;
        while let Some(lock) = self.condemned.pop_first() {
            self.with_link(lock, now, entropy, |link, ends| link.give_up(ends));
        }
        while let Some(lock) = self.dirty.pop_first() {
            self.serve(lock, now, entropy);
        }
        self.schedule(now, entropy);
        if let Some((batch, ops)) = self.ledger.flush(now.mono_ms) {
            self.push(HubAction::Store { batch, ops });
        }
        while let Some(publish) = self.outbox.flush(now.mono_ms) {
            self.push(HubAction::Cloud(publish));
        }
    }

    /// Runs `act` on a lock's link with what the link is lent, then does what it wants done.
    pub(super) fn with_link(
        &mut self,
        lock: LockId,
        now: Now,
        entropy: &mut dyn Entropy,
        act: impl FnOnce(&mut super::link::LinkMachine, &mut Ends<'_>) -> Vec<super::link::LinkStep>,
    ) {
        let Some(state) = self.locks.get_mut(&lock) else {
            return;
        };
        let mut ends = Ends {
            local: &self.keys.link,
            purpose: state.purpose(),
            ring: &state.binding.psks,
            now_ms: now.mono_ms,
            entropy,
        };
        let steps = act(&mut state.link, &mut ends);
        self.run_steps(lock, steps, now);
    }

    /// The lock may have something to send.
    pub(super) fn touch(&mut self, lock: LockId) {
        self.dirty.insert(lock);
    }

    /// The lock's link is to be ended.
    pub(super) fn condemn(&mut self, lock: LockId) {
        self.condemned.insert(lock);
    }

    pub(super) fn push(&mut self, action: HubAction) {
        self.actions.push_back(action);
    }

    /// The broker need not keep these messages.
    pub(super) fn acknowledge(&mut self, tokens: impl IntoIterator<Item = AckToken>) {
        for token in tokens {
            self.push(HubAction::Cloud(CloudAction::Ack { token }));
        }
    }

    /// Answers a client, unless it has hung up.
    pub(super) fn reply_control(
        &mut self,
        client: ClientId,
        id: u64,
        result: Result<Value, VerbError>,
    ) {
        let Some(requests) = self.unanswered.get_mut(&(client, id)) else {
            return;
        };
        *requests = requests.saturating_sub(1);
        if *requests == 0 {
            self.unanswered.remove(&(client, id));
        }
        self.push(HubAction::Control(ControlAction::Reply {
            client,
            id,
            result,
        }));
    }

    pub(super) fn journal(
        &mut self,
        level: Level,
        event: &'static str,
        fields: Vec<(&'static str, String)>,
    ) {
        self.push(HubAction::Journal(Entry {
            level,
            event,
            fields,
        }));
    }

    /// Saves a lock's binding as it stands.
    pub(super) fn save_binding(&mut self, lock: LockId, after: Vec<After>) {
        let Some(state) = self.locks.get_mut(&lock) else {
            return;
        };
        state.binding.set_log_cursor(state.log.cursor);
        let op = StoreOp::SaveBinding {
            name: lock.to_string(),
            bytes: state.binding.encode(),
        };
        self.ledger.write(vec![op], after);
    }
}
