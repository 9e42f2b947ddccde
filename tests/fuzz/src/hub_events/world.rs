//! The hub and everything around it, and what is checked of each thing that it asks for.

use std::collections::{BTreeSet, VecDeque};

use drawbridge_daemon::core::{
    AckToken, ClientId, CloudAction, ControlAction, Hub, HubAction, HubEvent, LinkId, Now,
    RadioAction, StoreOp,
};
use drawbridge_lock::LinkId as DoorLink;
use serde_json::Value;

use super::disk::Disk;
use super::{binding, config, keys};
use crate::bench::{Door, Owned, PACKET};
use crate::input::Seeded;
use crate::parties;

/// Things that one event may make a hub ask for: a queue of every kind emptied at once.
const MOST_ACTIONS: usize = 1_000;
/// The one link of the door's lock that the hub uses.
pub(super) const DOOR: DoorLink = DoorLink(1);

pub(super) struct World {
    pub(super) hub: Hub,
    pub(super) disk: Disk,
    pub(super) door: Door,
    pub(super) entropy: Seeded,
    pub(super) now_ms: u64,
    pub(super) clock_is_set: bool,
    pub(super) is_up: bool,
    pub(super) next_token: u64,
    /// Messages that the broker waits to see acknowledged.
    pub(super) tokens: BTreeSet<AckToken>,
    /// Publications under way.
    pub(super) tickets: Vec<u64>,
    pub(super) next_ticket: u64,
    pub(super) batch: Option<(u64, Vec<StoreOp>)>,
    /// Links asked for and not answered yet.
    pub(super) asked: Vec<LinkId>,
    pub(super) link: Option<LinkId>,
    pub(super) to_door: VecDeque<Vec<u8>>,
    pub(super) to_hub: VecDeque<Vec<u8>>,
    pub(super) requests: BTreeSet<(ClientId, u64)>,
    pub(super) next_request: u64,
    /// Good commands of the owner that anybody has; each may move the bolt once.
    pub(super) commands: Vec<Vec<u8>>,
    pub(super) seen: Option<Value>,
}

impl World {
    pub(super) fn new() -> Self {
        let mut disk = Disk::default();
        let bytes = binding().encode();
        disk.bindings
            .insert(parties::LOCK.to_string(), bytes.danger_as_bytes().to_vec());
        let mut entropy = Seeded::new(7);
        let hub = start(&disk, 0, 1_000, &mut entropy);
        let mut world = Self {
            hub,
            disk,
            door: Owned::get().door(),
            entropy,
            now_ms: 1_000,
            clock_is_set: true,
            is_up: false,
            next_token: 0,
            tokens: BTreeSet::new(),
            tickets: Vec::new(),
            next_ticket: 0,
            batch: None,
            asked: Vec::new(),
            link: None,
            to_door: VecDeque::new(),
            to_hub: VecDeque::new(),
            requests: BTreeSet::new(),
            next_request: 0,
            commands: Vec::new(),
            seen: None,
        };
        world.drain();
        world
    }

    pub(super) fn now(&self) -> Now {
        Now {
            mono_ms: self.now_ms,
            unix_s: self
                .clock_is_set
                .then_some(1_790_000_000 + self.now_ms / 1_000),
        }
    }

    pub(super) fn feed(&mut self, event: HubEvent) {
        let now = self.now();
        self.hub.handle(event, now, &mut self.entropy);
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        let mut count = 0;
        while let Some(action) = self.hub.poll_action() {
            count += 1;
            assert!(count < MOST_ACTIONS, "one event, {count} actions");
            match action {
                HubAction::Radio(action) => self.radio(action),
                HubAction::Cloud(CloudAction::Publish { ticket, topic, .. }) => {
                    assert!(self.is_up, "published without a connection");
                    assert!(topic.starts_with("drawbridge/hub-1/"), "{topic:?}");
                    assert!(!topic.contains(['+', '#', '\0']), "{topic:?}");
                    self.tickets.push(ticket);
                    self.next_ticket = self.next_ticket.max(ticket + 1);
                }
                HubAction::Cloud(CloudAction::Ack { token }) => {
                    assert!(
                        self.tokens.remove(&token),
                        "{token:?} acknowledged twice or too late"
                    );
                }
                HubAction::Store { batch, ops } => {
                    assert!(self.batch.is_none() && ops.len() <= 1_024);
                    self.batch = Some((batch, ops));
                }
                HubAction::Control(ControlAction::Reply { client, id, result }) => {
                    assert!(
                        self.requests.remove(&(client, id)),
                        "request {id} answered twice or to nobody"
                    );
                    self.seen = result.ok();
                }
                HubAction::Control(ControlAction::Stream { .. }) | HubAction::Journal(_) => {}
            }
        }
    }

    pub(super) fn radio(&mut self, action: RadioAction) {
        match action {
            RadioAction::Connect { link, .. } => self.asked.push(link),
            RadioAction::Send { link, packet } => {
                assert!(!packet.is_empty() && packet.len() <= PACKET);
                if self.link == Some(link) {
                    self.to_door.push_back(packet);
                }
            }
            RadioAction::Disconnect { link } if self.link == Some(link) => {
                // What was sent before goes first.
                while let Some(packet) = self.to_door.pop_front() {
                    self.door.packet(DOOR, &packet);
                }
                self.door.link_down(DOOR);
                self.to_hub.clear();
            }
            RadioAction::Disconnect { .. }
            | RadioAction::Forget { .. }
            | RadioAction::Scan { .. } => {}
        }
    }

    /// The hub dies and starts from its disk; what was not durable is gone.
    pub(super) fn restart(&mut self) {
        if self.link.take().is_some() {
            self.door.link_down(DOOR);
        }
        self.batch = None;
        self.asked.clear();
        self.to_door.clear();
        self.to_hub.clear();
        self.tokens.clear();
        self.tickets.clear();
        self.requests.clear();
        self.is_up = false;
        self.hub = start(&self.disk, self.next_ticket, self.now_ms, &mut self.entropy);
        self.drain();
    }
}

fn start(disk: &Disk, next_ticket: u64, mono_ms: u64, entropy: &mut Seeded) -> Hub {
    let now = Now {
        mono_ms,
        unix_s: None,
    };
    let restored = disk.restored(next_ticket);
    Hub::new(config(), keys(), restored, now, entropy).expect("a good id")
}
