//! A hub with everything around it in one process: disk, broker, air and clock, all of them fakes
//! that obey, fail or crash as told.

use std::collections::{BTreeMap, VecDeque};

use base64ct::{Base64, Encoding};
use drawbridge_daemon::core::{
    AckToken, Address, ClientId, CloudAction, CloudEvent, ControlAction, ControlEvent, Hub,
    HubAction, HubConfig, HubEvent, HubKeys, LinkFault, LinkId, LockBinding, Now, RadioAction,
    RadioEvent, StoreFault, StoreOp, VerbError,
};
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::ids::{CommandId, Digest32, LockId};
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::log_record::LogEvent;
use serde_json::Value;

pub(crate) use super::seeded::Seeded;

use super::disk::Disk;
use super::lock_double::{LockDouble, PACKET};

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Published {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) retain: bool,
    pub(crate) correlation: Option<Vec<u8>>,
}

impl Published {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap()
    }
}

/// A message that the broker holds until it is acknowledged.
#[derive(Debug, Clone)]
struct Held {
    topic: String,
    payload: Vec<u8>,
    was_sent: bool,
}

pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) config: HubConfig,
    pub(crate) disk: Disk,
    pub(crate) locks: Vec<LockDouble>,
    pub(crate) now_ms: u64,
    /// What the wall clock adds to it, Unix seconds; `None` while it is not to be trusted.
    pub(crate) wall: Option<u64>,
    pub(crate) entropy: Seeded,
    pub(crate) events: VecDeque<HubEvent>,
    links: BTreeMap<LinkId, usize>,
    /// How long a link takes to come up, milliseconds.
    pub(crate) connect_ms: u64,
    /// What the radio will tell, and when.
    later: VecDeque<(u64, HubEvent)>,
    /// Locks that do not answer.
    pub(crate) unreachable: Vec<LockId>,
    /// Links that the adapter carries.
    pub(crate) adapter_slots: usize,
    /// How a connection to one of them fails.
    pub(crate) unreachable_by: LinkFault,
    /// Locks that let a connection wait for ever.
    pub(crate) silent: Vec<LockId>,
    pending: Vec<LinkId>,
    pub(crate) published: Vec<Published>,
    pub(crate) acked: Vec<AckToken>,
    pub(crate) replies: Vec<(ClientId, u64, Result<Value, VerbError>)>,
    pub(crate) streams: Vec<(u64, Value)>,
    pub(crate) journal: Vec<(&'static str, String)>,
    pub(crate) connects: Vec<(u64, LockId)>,
    held: BTreeMap<u64, Held>,
    tokens: BTreeMap<AckToken, u64>,
    next_held: u64,
    next_token: u64,
    broker_is_up: bool,
    /// PUBACKs still to lose.
    pub(crate) lost_pubacks: u32,
    /// Acknowledgements to the broker still to lose.
    pub(crate) lost_acks: u32,
    /// Packets from locks still to lose together with their link.
    pub(crate) lost_answers: u32,
    pub(crate) store_fails: bool,
    pub(crate) store_stalls: bool,
    stalled: Vec<(u64, Vec<StoreOp>)>,
    is_scanning: bool,
    /// Locks of which the radio was told to keep nothing.
    pub(crate) forgotten: Vec<LockId>,
    /// The hub dies before it carries out this many more actions.
    pub(crate) crash_in: Option<u64>,
    pub(crate) crashes: u32,
    pub(crate) actions: u64,
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

pub(crate) fn keys() -> HubKeys {
    HubKeys {
        identity: IdentitySecret::from_bytes(&[0x11; 32]),
        link: LinkSecret::from_bytes([0x22; 32]),
    }
}

impl World {
    /// A hub that has paired with `locks` doubles; nothing is connected yet.
    pub(crate) fn new(locks: u8) -> Self {
        Self::with(locks, |_| {})
    }

    pub(crate) fn with(locks: u8, configure: impl FnOnce(&mut HubConfig)) -> Self {
        let mut config = HubConfig::new("hub-1", "0.1.0");
        configure(&mut config);
        let mut disk = Disk::default();
        let mut doubles = Vec::new();
        for number in 1..=locks {
            let mut double = LockDouble::new(number);
            double.peer = Some(keys().link.public());
            let mut binding = LockBinding::from_ticket(&double.ticket());
            binding.is_claimed = true;
            let grant = double.grant(keys().identity.public(), keys().link.public());
            binding.set_grant(Some(&grant));
            disk.bindings.insert(
                double.id.to_string(),
                binding.encode().danger_as_bytes().to_vec(),
            );
            doubles.push(double);
        }
        let mut entropy = Seeded::new(42);
        let now = Now {
            mono_ms: 1_000,
            unix_s: Some(1_700_000_000),
        };
        let hub = Hub::new(config.clone(), keys(), disk.restored(), now, &mut entropy).unwrap();
        let mut world = Self {
            hub,
            config,
            disk,
            locks: doubles,
            now_ms: 1_000,
            wall: Some(1_700_000_000),
            entropy,
            events: VecDeque::new(),
            links: BTreeMap::new(),
            connect_ms: 0,
            later: VecDeque::new(),
            unreachable: Vec::new(),
            adapter_slots: usize::MAX,
            unreachable_by: LinkFault::Unreachable,
            silent: Vec::new(),
            pending: Vec::new(),
            published: Vec::new(),
            acked: Vec::new(),
            replies: Vec::new(),
            streams: Vec::new(),
            journal: Vec::new(),
            connects: Vec::new(),
            held: BTreeMap::new(),
            tokens: BTreeMap::new(),
            next_held: 0,
            next_token: 0,
            broker_is_up: false,
            lost_pubacks: 0,
            lost_acks: 0,
            lost_answers: 0,
            store_fails: false,
            store_stalls: false,
            stalled: Vec::new(),
            is_scanning: false,
            forgotten: Vec::new(),
            crash_in: None,
            crashes: 0,
            actions: 0,
        };
        world.drain();
        world
    }

    /// Everything connected and quiet.
    pub(crate) fn ready(locks: u8) -> Self {
        let mut world = Self::new(locks);
        world.broker_up();
        world.run(2_000);
        assert!(world.hub.next_deadline().is_none_or(|at| at > world.now_ms));
        world
    }

    /// One lock, of whose long log the hub holds as much as it may.
    pub(crate) fn with_long_log() -> Self {
        let mut world = Self::with(1, |config| config.audit_per_lock = 20);
        world.broker_up();
        for _ in 0..100 {
            world.locks[0].record(LogEvent::MovedByHand, None, None);
        }
        world.run(30_000);
        world
    }

    fn now(&self) -> Now {
        Now {
            mono_ms: self.now_ms,
            unix_s: self
                .wall
                .map(|wall| wall.saturating_add(self.now_ms / 1_000)),
        }
    }

    pub(crate) fn feed(&mut self, event: HubEvent) {
        for lock in &mut self.locks {
            lock.now_ms = self.now_ms;
        }
        let now = self.now();
        self.hub.handle(event, now, &mut self.entropy);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.hub.poll_action() {
            if let Some(left) = &mut self.crash_in {
                if *left == 0 {
                    self.crash_in = None;
                    if let HubAction::Store { ops, .. } = &action {
                        self.disk.tear(ops, self.actions);
                    }
                    self.crash();
                    return;
                }
                *left -= 1;
            }
            self.actions += 1;
            self.carry_out(action);
        }
    }

    /// The hub dies; a new one is made from the disk. Links and broker connection die with it.
    pub(crate) fn crash(&mut self) {
        self.crashes += 1;
        self.events.clear();
        self.later.clear();
        self.links.clear();
        self.is_scanning = false;
        self.stalled.clear();
        for lock in &mut self.locks {
            lock.hang_up();
            lock.wants_down = false;
        }
        let now = self.now();
        self.hub = Hub::new(
            self.config.clone(),
            keys(),
            self.disk.restored(),
            now,
            &mut self.entropy,
        )
        .unwrap();
        let was_up = std::mem::take(&mut self.broker_is_up);
        self.drain();
        if was_up {
            self.broker_up();
        }
    }

    pub(crate) fn broker_up(&mut self) {
        self.broker_is_up = true;
        self.tokens.clear();
        self.events.push_back(HubEvent::Cloud(CloudEvent::Up {
            max_packet: None,
            session_present: true,
        }));
        let held: Vec<_> = self.held.keys().copied().collect();
        for number in held {
            self.deliver(number);
        }
    }

    pub(crate) fn broker_down(&mut self) {
        self.broker_is_up = false;
        self.feed(HubEvent::Cloud(CloudEvent::Down {
            reason: "test".into(),
        }));
    }

    fn deliver(&mut self, number: u64) {
        let token = AckToken(self.next_token);
        self.next_token += 1;
        self.tokens.insert(token, number);
        let held = self.held.get_mut(&number).unwrap();
        let event = CloudEvent::Message {
            topic: held.topic.clone(),
            payload: held.payload.clone(),
            retain: false,
            duplicate: std::mem::replace(&mut held.was_sent, true),
            correlation: Some(b"corr".to_vec()),
            response_topic: None,
            ack: token,
        };
        self.events.push_back(HubEvent::Cloud(event));
    }

    /// Somebody publishes to the hub; the broker keeps it until the hub acknowledges it.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8]) {
        let number = self.next_held;
        self.next_held += 1;
        self.held.insert(
            number,
            Held {
                topic: topic.into(),
                payload: payload.to_vec(),
                was_sent: false,
            },
        );
        if self.broker_is_up {
            self.deliver(number);
        }
    }

    /// Messages that the broker still holds for the hub.
    pub(crate) fn unacked(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn request(&mut self, id: u64, verb: &str, data: Value) {
        self.events
            .push_back(HubEvent::Control(ControlEvent::Request {
                client: ClientId(1),
                id,
                verb: verb.into(),
                data,
            }));
    }

    fn carry_out(&mut self, action: HubAction) {
        match action {
            HubAction::Radio(action) => self.radio(action),
            HubAction::Cloud(CloudAction::Publish {
                ticket,
                topic,
                payload,
                retain,
                correlation,
                ..
            }) => {
                assert!(self.broker_is_up, "published without a connection");
                self.published.push(Published {
                    topic,
                    payload,
                    retain,
                    correlation,
                });
                if self.lost_pubacks > 0 {
                    self.lost_pubacks -= 1;
                    self.broker_is_up = false;
                    self.events.push_back(HubEvent::Cloud(CloudEvent::Down {
                        reason: "lost".into(),
                    }));
                    self.events.push_back(HubEvent::Tick);
                    self.broker_up();
                } else {
                    self.events
                        .push_back(HubEvent::Cloud(CloudEvent::Published { ticket }));
                }
            }
            HubAction::Cloud(CloudAction::Ack { token }) => {
                self.acked.push(token);
                if self.lost_acks > 0 {
                    self.lost_acks -= 1;
                    self.events.push_back(HubEvent::Cloud(CloudEvent::Down {
                        reason: "lost".into(),
                    }));
                    self.broker_up();
                } else if let Some(number) = self.tokens.remove(&token) {
                    self.held.remove(&number);
                }
            }
            HubAction::Store { batch, ops } => {
                assert!(ops.len() <= 1_024);
                if self.store_stalls {
                    self.stalled.push((batch, ops));
                    return;
                }
                let result = if self.store_fails {
                    Err(StoreFault {
                        reason: "disk full".into(),
                        may_have_succeeded: false,
                        is_temporary: true,
                    })
                } else {
                    self.disk.apply(&ops);
                    Ok(())
                };
                self.events.push_back(HubEvent::Stored { batch, result });
            }
            HubAction::Control(ControlAction::Reply { client, id, result }) => {
                self.replies.push((client, id, result))
            }
            HubAction::Control(ControlAction::Stream { id, value, .. }) => {
                self.streams.push((id, value))
            }
            HubAction::Journal(entry) => {
                self.journal
                    .push((entry.event, format!("{:?}", entry.fields)));
            }
        }
    }

    /// The store that stalled goes on.
    pub(crate) fn store_goes_on(&mut self) {
        self.store_stalls = false;
        for (batch, ops) in std::mem::take(&mut self.stalled) {
            self.disk.apply(&ops);
            self.events.push_back(HubEvent::Stored {
                batch,
                result: Ok(()),
            });
        }
    }

    fn address(index: usize) -> Address {
        Address::new(format!("{index:016x}")).unwrap()
    }

    fn radio(&mut self, action: RadioAction) {
        match action {
            RadioAction::Scan { on } => {
                self.is_scanning = on;
                if on {
                    self.advertise();
                }
            }
            RadioAction::Connect { link, address, .. } => {
                let index = usize::from_str_radix(address.as_str(), 16).unwrap();
                let id = self.locks[index].id;
                self.connects.push((self.now_ms, id));
                if self.silent.contains(&id) {
                    self.pending.push(link);
                    return;
                }
                let is_full = self.links.len() >= self.adapter_slots;
                if is_full || self.unreachable.contains(&id) {
                    let reason = if is_full {
                        LinkFault::NoSlot
                    } else {
                        self.unreachable_by
                    };
                    self.events
                        .push_back(HubEvent::Radio(RadioEvent::ConnectFailed { link, reason }));
                    return;
                }
                self.links.retain(|_, other| *other != index);
                self.links.insert(link, index);
                let up = RadioEvent::LinkUp {
                    link,
                    packet_size: PACKET,
                };
                let hello = self.locks[index].connected().into_iter();
                let packets = hello.map(|bytes| RadioEvent::Packet { link, bytes });
                let told = [up].into_iter().chain(packets).map(HubEvent::Radio);
                if self.connect_ms == 0 {
                    self.events.extend(told);
                } else {
                    let at = self.now_ms + self.connect_ms;
                    self.later.extend(told.map(|event| (at, event)));
                }
            }
            RadioAction::Send { link, packet } => {
                assert!(packet.len() <= PACKET);
                let Some(&index) = self.links.get(&link) else {
                    return;
                };
                let answers = self.locks[index].packet(&packet);
                if !answers.is_empty() && self.lost_answers > 0 {
                    self.lost_answers -= 1;
                    self.link_dies(link);
                    return;
                }
                for bytes in answers {
                    self.events
                        .push_back(HubEvent::Radio(RadioEvent::Packet { link, bytes }));
                }
                if std::mem::take(&mut self.locks[index].wants_down) {
                    self.link_dies(link);
                }
            }
            RadioAction::Disconnect { link } => {
                if self.pending.contains(&link) {
                    self.pending.retain(|pending| *pending != link);
                    let reason = LinkFault::Closed;
                    self.events
                        .push_back(HubEvent::Radio(RadioEvent::ConnectFailed { link, reason }));
                }
                if let Some(index) = self.links.remove(&link) {
                    self.locks[index].hang_up();
                    let reason = LinkFault::Closed;
                    self.events
                        .push_back(HubEvent::Radio(RadioEvent::LinkDown { link, reason }));
                }
            }
            RadioAction::Forget { lock } => self.forgotten.push(lock),
        }
    }

    fn link_dies(&mut self, link: LinkId) {
        if let Some(index) = self.links.remove(&link) {
            self.locks[index].hang_up();
        }
        let reason = LinkFault::Timeout;
        self.events
            .push_back(HubEvent::Radio(RadioEvent::LinkDown { link, reason }));
    }

    /// Every link dies, as with an adapter that is pulled out.
    pub(crate) fn cut_links(&mut self) {
        let links: Vec<_> = self.links.keys().copied().collect();
        for link in links {
            self.link_dies(link);
        }
    }

    pub(crate) fn linked(&self, index: usize) -> Option<LinkId> {
        self.links
            .iter()
            .find(|(_, at)| **at == index)
            .map(|(link, _)| *link)
    }

    pub(crate) fn packets_from(&mut self, index: usize, packets: Vec<Vec<u8>>) {
        let link = self.linked(index).unwrap();
        for bytes in packets {
            self.events
                .push_back(HubEvent::Radio(RadioEvent::Packet { link, bytes }));
        }
    }

    pub(crate) fn advertise(&mut self) {
        for index in 0..self.locks.len() {
            if !self.unreachable.contains(&self.locks[index].id) {
                let (address, beacon) = (Self::address(index), self.locks[index].beacon());
                self.events
                    .push_back(HubEvent::Radio(RadioEvent::Seen { address, beacon }));
            }
        }
    }

    /// Lets `ms` milliseconds pass, and everything happen that happens in them.
    pub(crate) fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        let mut steps = 0;
        loop {
            while let Some(event) = self.events.pop_front() {
                self.feed(event);
                steps += 1;
                assert!(steps < 200_000, "the hub does not come to rest");
            }
            // While the hub listens, every lock in reach is heard once a second.
            let advert = self.is_scanning.then(|| (self.now_ms / 1_000 + 1) * 1_000);
            let deadline = self.hub.next_deadline();
            let radio = self.later.front().map(|(at, _)| *at);
            match advert
                .into_iter()
                .chain(deadline)
                .chain(radio)
                .min()
                .filter(|at| *at <= end)
            {
                Some(at) => {
                    self.now_ms = self.now_ms.max(at);
                    if Some(at) == radio {
                        self.events
                            .extend(self.later.pop_front().map(|(_, event)| event));
                    } else if Some(at) == advert {
                        self.advertise();
                    } else {
                        self.feed(HubEvent::Tick);
                    }
                    steps += 1;
                    assert!(steps < 200_000, "the hub never stops ticking");
                }
                None => break,
            }
        }
        self.now_ms = end;
    }

    /// A command of the owner's, and its id.
    pub(crate) fn sign(&self, index: usize, counter: u64) -> (Vec<u8>, CommandId) {
        self.sign_as(index, counter, None, &self.locks[index].owner)
    }

    /// A command under a grant, if there is one, and its id.
    pub(crate) fn sign_as(
        &self,
        index: usize,
        counter: u64,
        grant: Option<Digest32>,
        by: &IdentitySecret,
    ) -> (Vec<u8>, CommandId) {
        let lock = &self.locks[index];
        let command = Command {
            lock: lock.id,
            action: Action::Lock,
            epoch: lock.epoch,
            counter,
            log_position: 0,
            expiry_ms: self.now_ms + 60_000,
            grant,
        };
        let bytes = command.sign(by, &mut [0; 256]).unwrap().to_vec();
        let id = Command::read(&bytes).unwrap().id;
        (bytes, id)
    }

    pub(crate) fn command_topic(&self, index: usize) -> String {
        format!("drawbridge/hub-1/lock/{}/command", self.locks[index].id)
    }

    pub(crate) fn send_command(&mut self, index: usize, counter: u64) -> CommandId {
        let (bytes, id) = self.sign(index, counter);
        let topic = self.command_topic(index);
        self.publish(&topic, &bytes);
        id
    }

    /// All results of a command, in the order of publication.
    pub(crate) fn results(&self, id: CommandId) -> Vec<Value> {
        let mut results = Vec::new();
        for published in &self.published {
            if published.topic.ends_with("/result") {
                let json = published.json();
                if json["command"] == id.to_string() {
                    results.push(json);
                }
            }
        }
        results
    }

    pub(crate) fn statuses(&self, id: CommandId) -> Vec<String> {
        let results = self.results(id);
        results
            .iter()
            .map(|json| json["status"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The final results among them, without repeats of the same publication.
    pub(crate) fn finals(&self, id: CommandId) -> Vec<Value> {
        let mut finals: Vec<Value> = Vec::new();
        for json in self.results(id) {
            let is_final = json["provisional"] == false && json["duplicate"] == false;
            if is_final && !finals.contains(&json) {
                finals.push(json);
            }
        }
        finals
    }

    pub(crate) fn last(&self, leaf: &str) -> Option<&Published> {
        self.published
            .iter()
            .rev()
            .find(|published| published.topic.ends_with(leaf))
    }

    pub(crate) fn events_named(&self, name: &str) -> Vec<Value> {
        let events = self
            .published
            .iter()
            .filter(|published| published.topic.ends_with("/event"));
        events
            .map(Published::json)
            .filter(|json| json["event"] == name)
            .collect()
    }

    pub(crate) fn reply(&self, id: u64) -> Option<&Result<Value, VerbError>> {
        self.replies
            .iter()
            .find(|(_, request, _)| *request == id)
            .map(|(_, _, result)| result)
    }
}
