//! Everything between the sender and the bolt, on one clock.

use std::collections::{BTreeMap, VecDeque};

use drawbridge_daemon::core::{CloudEvent, Hub, HubConfig, HubEvent, HubKeys, Now, StoreOp};
use drawbridge_daemon::core::{LinkFault, LinkId as HubLink, RadioEvent};
use drawbridge_lock::LinkId as LockLink;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};

use super::capture::Heard;
use super::faults::Faults;
use super::sender::Inbox;
use drawbridge_simulator::dice::Dice;
use drawbridge_simulator::house::auditor::Auditor;
use drawbridge_simulator::house::broker::{Broker, Message};
use drawbridge_simulator::house::disk::Disk;
use drawbridge_simulator::house::door::Door;
use drawbridge_simulator::house::owner::Owner;

/// The hub's end of the air, as the lock names it; there is never more than one.
pub(crate) const HUB_LINK: LockLink = LockLink(1);
/// How often the lock is heard while it has no link, milliseconds.
const ADVERT_MS: u64 = 500;
/// One way over any hop, milliseconds.
pub(crate) const HOP_MS: u64 = 2;
/// How long the bolt travels, milliseconds.
pub(crate) const TRAVEL_MS: u64 = 300;
/// How long the lock is without power after it was cut, milliseconds.
pub(crate) const DARK_MS: u64 = 700;
/// How long the hub is away after a crash or a broken connection, milliseconds.
pub(crate) const AWAY_MS: u64 = 150;

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Due {
    /// To the hub that runs as this number; a later one never asked for it.
    Hub { run: u64, event: HubEvent },
    /// The store finishes a batch.
    Commit {
        run: u64,
        batch: u64,
        ops: Vec<StoreOp>,
    },
    /// A packet reaches the lock.
    ToLock { link: HubLink, packet: Vec<u8> },
    /// The motor's travel ends.
    Arrive { start: usize },
    /// The lock gets power.
    PowerOn,
    /// The hub's process starts.
    HubStarts,
    /// The hub's connection to the broker is up.
    BrokerUp { run: u64 },
    /// The broker sends the hub what it holds under this number.
    Deliver { number: u64 },
    /// Somebody publishes to the hub.
    Publish(Message),
}

pub(crate) struct Line {
    pub(crate) hub: Option<Hub>,
    pub(crate) config: HubConfig,
    pub(crate) disk: Disk,
    pub(crate) broker: Broker,
    pub(crate) door: Door,
    pub(crate) owner: Owner,
    pub(crate) inbox: Inbox,
    pub(crate) auditor: Auditor,
    pub(crate) faults: Faults,
    pub(crate) now: u64,
    pub(crate) dice: Dice,
    pub(crate) run: u64,
    pub(crate) air: Option<HubLink>,
    pub(crate) heard: Vec<Heard>,
    pub(crate) links: u64,
    /// Journal entries by name.
    pub(crate) journal: BTreeMap<&'static str, u64>,
    /// What went to links that are not the hub's.
    pub(crate) strays: Vec<(LockLink, Vec<u8>)>,
    pub(crate) is_scanning: bool,
    advert_at: u64,
    due: BTreeMap<(u64, u64), Due>,
    next_due: u64,
    /// Everything that happened, in one number: equal runs have equal ones.
    pub(crate) trace: u64,
    pub(crate) seed: u64,
}

impl Line {
    /// A new lock, a new hub, an owner; nothing is paired.
    pub(crate) fn unpaired(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let door = Door::new(Dice::new(dice.next()));
        let mut line = Self {
            hub: None,
            config: HubConfig::new("hub-1", "0.1.0"),
            disk: Disk::default(),
            broker: Broker::default(),
            owner: Owner::new(&mut dice),
            door,
            inbox: Inbox::default(),
            auditor: Auditor::new(),
            faults: Faults::default(),
            now: 1_000,
            dice,
            run: 0,
            air: None,
            heard: Vec::new(),
            links: 0,
            journal: BTreeMap::new(),
            strays: Vec::new(),
            is_scanning: false,
            advert_at: 0,
            due: BTreeMap::new(),
            next_due: 0,
            trace: 0,
            seed,
        };
        line.door.power_on(line.now);
        line.start_hub();
        line
    }

    pub(crate) fn hub_keys() -> HubKeys {
        HubKeys {
            identity: IdentitySecret::from_bytes(&[0x11; 32]),
            link: LinkSecret::from_bytes([0x22; 32]),
        }
    }

    pub(crate) fn clock(&self) -> Now {
        Now {
            mono_ms: self.now,
            unix_s: Some(1_790_000_000 + self.now / 1_000),
        }
    }

    pub(crate) fn after(&mut self, ms: u64, due: Due) {
        self.next_due += 1;
        self.due.insert((self.now + ms, self.next_due), due);
    }

    /// An event for the hub that runs now, one hop away.
    pub(crate) fn tell_hub(&mut self, event: HubEvent) {
        let run = self.run;
        self.after(HOP_MS, Due::Hub { run, event });
    }

    /// A hub starts from what is durable.
    pub(crate) fn start_hub(&mut self) {
        self.run += 1;
        let now = self.clock();
        let hub = Hub::new(
            self.config.clone(),
            Self::hub_keys(),
            self.disk.restored(),
            now,
            &mut self.dice,
        );
        self.hub = Some(hub.unwrap());
        self.after(AWAY_MS, Due::BrokerUp { run: self.run });
        self.carry_out();
    }

    /// The hub dies and starts again a little later. A batch that the store was at work on is on
    /// disk or is not.
    pub(crate) fn crash_hub(&mut self) {
        self.hub = None;
        self.broker.down();
        self.is_scanning = false;
        self.hang_up();
        let run = self.run;
        let mine = |due: &Due| matches!(due, Due::Commit { run: of, .. } if *of == run);
        let pending: Vec<_> = self
            .due
            .iter()
            .filter(|(_, due)| mine(due))
            .map(|(at, _)| *at)
            .collect();
        for at in pending {
            if let Some(Due::Commit { ops, .. }) = self.due.remove(&at)
                && self.dice.below(2) == 0
            {
                self.disk.apply(&ops);
            }
        }
        self.after(AWAY_MS, Due::HubStarts);
    }

    /// The hub's connection to the broker breaks and comes back.
    pub(crate) fn break_broker(&mut self) {
        self.broker.down();
        let reason = "lost".into();
        self.tell_hub(HubEvent::Cloud(CloudEvent::Down { reason }));
        self.after(AWAY_MS, Due::BrokerUp { run: self.run });
    }

    /// The link is gone without a word to the hub.
    fn hang_up(&mut self) {
        if self.air.take().is_some() {
            self.door.link_down(HUB_LINK, self.now);
        }
    }

    /// The link dies, and both ends notice.
    pub(crate) fn cut_link(&mut self) {
        if let Some(link) = self.air {
            self.hang_up();
            let reason = LinkFault::Timeout;
            self.tell_hub(HubEvent::Radio(RadioEvent::LinkDown { link, reason }));
        }
    }

    /// The lock loses its power for a while.
    pub(crate) fn cut_power(&mut self) {
        self.door.power_off();
        self.cut_link();
        self.after(DARK_MS, Due::PowerOn);
    }

    /// Hands the hub an event and lets everything follow at once.
    pub(crate) fn feed(&mut self, event: HubEvent) {
        let now = self.clock();
        if let Some(hub) = &mut self.hub {
            hub.handle(event, now, &mut self.dice);
        }
        self.carry_out();
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Hub { run, event } if run == self.run => self.feed(event),
            Due::Hub { .. } => {}
            Due::Commit { run, batch, ops } => {
                self.disk.apply(&ops);
                if run == self.run {
                    let result = Ok(());
                    self.feed(HubEvent::Stored { batch, result });
                }
            }
            Due::ToLock { link, packet } => {
                if self.air == Some(link) {
                    self.door.packet(HUB_LINK, &packet, self.now);
                    self.settle_lock();
                }
            }
            Due::Arrive { start } => {
                self.door.arrive(start, self.now);
                self.settle_lock();
            }
            Due::PowerOn => {
                if !self.door.is_on() {
                    self.door.power_on(self.now);
                    self.settle_lock();
                }
            }
            Due::HubStarts => {
                if self.hub.is_none() {
                    self.start_hub();
                }
            }
            Due::BrokerUp { run } => {
                if run == self.run && self.hub.is_some() && !self.broker.is_up {
                    let event = CloudEvent::Up {
                        max_packet: None,
                        session_present: true,
                    };
                    let held = self.broker.up();
                    self.feed(HubEvent::Cloud(event));
                    for number in held {
                        self.after(HOP_MS, Due::Deliver { number });
                    }
                }
            }
            Due::Deliver { number } => {
                if let Some(event) = self.broker.deliver(number) {
                    self.feed(HubEvent::Cloud(event));
                }
            }
            Due::Publish(message) => self.broker_takes(message),
        }
    }

    /// The broker has a message for the hub.
    pub(crate) fn broker_takes(&mut self, message: Message) {
        let number = self.broker.take(message);
        if self.broker.is_up {
            self.after(HOP_MS, Due::Deliver { number });
        }
    }

    /// The lock advertises.
    pub(crate) fn advertise(&mut self) {
        self.advert_at = self.now + ADVERT_MS;
        if !self.is_scanning || self.air.is_some() {
            return;
        }
        if let Some(beacon) = self.door.beacon() {
            let address = Self::address();
            self.tell_hub(HubEvent::Radio(RadioEvent::Seen { address, beacon }));
        }
    }

    /// Goes on to the next thing that happens, up to `end`; `false`: nothing more does.
    fn step(&mut self, end: u64) -> bool {
        let due = self.due.first_key_value().map(|((at, _), _)| *at);
        let hub = self.hub.as_ref().and_then(Hub::next_deadline);
        let lock = self.door.next_deadline();
        let advert = self.is_scanning.then_some(self.advert_at);
        let next = [due, hub, lock, advert].into_iter().flatten().min();
        let Some(at) = next.filter(|at| *at <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        self.now = self.now.max(at);
        let kind = if due == Some(at) {
            let (_, due) = self.due.pop_first().unwrap();
            self.happen(due);
            1
        } else if hub == Some(at) {
            self.feed(HubEvent::Tick);
            2
        } else if lock == Some(at) {
            self.door.time_passed(self.now);
            self.settle_lock();
            3
        } else {
            self.advertise();
            4
        };
        self.mix(self.now ^ (kind << 60));
        true
    }

    pub(crate) fn mix(&mut self, fact: u64) {
        let mixed = self.trace.rotate_left(7) ^ fact;
        self.trace = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// Lets `ms` milliseconds pass.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.until(ms, |_| false);
    }

    /// Lets time pass until `done`, at most `ms` milliseconds; says whether it came to that.
    pub(crate) fn until(&mut self, ms: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + ms;
        let mut steps = VecDeque::from([self.now]);
        while !done(self) {
            if !self.step(end) {
                return done(self);
            }
            steps.push_back(self.now);
            if steps.len() > 100_000 {
                let since = steps.pop_front();
                assert_ne!(since, Some(self.now), "the line never comes to rest");
            }
        }
        true
    }
}
