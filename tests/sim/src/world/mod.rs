//! The world: both cores and everything around them, on one clock.
//!
//! Time jumps to whatever is due next, so that hours in which nothing happens cost nothing.
//! **Nothing in here reads a clock, a file or a thread: a run follows from its schedule alone.**

mod air;
mod calm;
mod cloud;
mod deeds;
mod hub;
mod issuing;
mod locks;
mod noise;
mod pairing;
mod ruling;
mod site;
mod users;
mod weather;

use std::collections::{BTreeMap, VecDeque};

use drawbridge_daemon::core::{Hub, HubConfig, HubEvent, HubKeys, LinkId as HubLink, Now, StoreOp};
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};

use self::air::Air;
use self::site::Site;
use self::users::Users;
use self::weather::Weather;
use crate::dice::Dice;
use crate::house::broker::{Broker, Message};
use crate::house::disk::Disk;
use crate::judge::Judge;
use crate::schedule::{Item, Schedule};
use crate::tally::Tally;

/// One way over a wire, milliseconds.
const HOP_MS: u64 = 2;
/// Steps at one moment after which the world is called restless.
const RESTLESS: u32 = 20_000;
/// Things that may be on their way at once.
const MAX_DUE: usize = 4_000;
/// Unix time at the beginning, seconds.
const BEGAN_S: u64 = 1_790_000_000;

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Due {
    /// To the hub of this run, over the connection of that number if it came over one.
    Hub {
        run: u64,
        connection: Option<u64>,
        event: HubEvent,
    },
    /// The disk finishes a batch.
    Commit {
        run: u64,
        batch: u64,
        ops: Vec<StoreOp>,
    },
    /// The adapter looks whether a lock that is to be connected is there.
    Reach { link: HubLink },
    /// A packet reaches the lock.
    ToLock { link: HubLink, packet: Vec<u8> },
    /// What the hub had sent on a link that it ended is out.
    LinkEnds { link: HubLink },
    /// A motor's travel ends.
    Arrive { lock: usize, start: usize },
    /// A lock gets power.
    PowerOn { lock: usize },
    /// What is in a bolt's way is taken away.
    Clear { lock: usize },
    /// A battery is changed.
    Charge { lock: usize },
    /// A stranger leaves.
    StrangerLeaves { lock: usize },
    /// The hub's process starts.
    HubStarts,
    /// The hub dies, if nothing has killed it since.
    Fuse { number: u64 },
    /// The hub dials the broker.
    Dial { run: u64, number: u64 },
    /// The broker sends the hub what it holds under this number.
    Deliver { connection: u64, number: u64 },
    /// Somebody's publication reaches the broker.
    Publish(Message),
    /// The hub's publication reaches the broker.
    FromHub {
        connection: u64,
        ticket: u64,
        topic: String,
        payload: Vec<u8>,
    },
    /// Users hear a publication.
    Hears { topic: String, payload: Vec<u8> },
    /// A user has waited long enough for where the lock stands.
    AskAgain { errand: u64, attempt: u32 },
    /// A user hands over a command.
    Send(issuing::Sending),
}

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    seed: u64,
    pub(crate) now: u64,
    began: u64,
    pub(crate) hub: Option<Hub>,
    config: HubConfig,
    keys: HubKeys,
    run: u64,
    disk: Disk,
    broker: Broker,
    connection: u64,
    dials: u64,
    air: Air,
    pub(crate) sites: Vec<Site>,
    users: Users,
    weather: Weather,
    pub(crate) judge: Judge,
    pub(crate) tally: Tally,
    fuse: Option<u32>,
    hub_away_ms: u64,
    fuses: u64,
    hub_dice: Dice,
    dice: Dice,
    items: VecDeque<Item>,
    due: BTreeMap<(u64, u64), Due>,
    next_due: u64,
    restless: u32,
    /// Everything that happened, in one number: equal runs have equal ones.
    pub(crate) digest: u64,
    /// What happened, in words, if somebody wants to read it.
    pub(crate) notes: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(schedule: &Schedule, is_noted: bool) -> Self {
        let mut dice = Dice::new(schedule.seed);
        let mut config = HubConfig::new("hub-1", "0.1.0");
        config.slots = schedule.house.slots;
        if schedule.house.is_narrow {
            config.commands_per_lock = 4;
            config.commands = 8;
            config.relays_per_lock = 2;
            config.outbox_kept = 64;
            config.outbox_passing = 32;
            config.finals = 24;
            config.audit_per_lock = 128;
        }
        let sites = schedule.house.relock_ms.iter();
        let sites = sites.map(|relock| Site::new(*relock, &mut dice)).collect();
        Self {
            seed: schedule.seed,
            now: 1_000,
            began: 0,
            hub: None,
            config,
            keys: HubKeys {
                identity: IdentitySecret::generate(&mut dice),
                link: LinkSecret::generate(&mut dice),
            },
            run: 0,
            disk: Disk::default(),
            broker: Broker::default(),
            connection: 0,
            dials: 0,
            air: Air::default(),
            sites,
            users: Users::new(&mut dice),
            weather: Weather::default(),
            judge: Judge::default(),
            tally: Tally::default(),
            fuse: None,
            hub_away_ms: 150,
            fuses: 0,
            hub_dice: Dice::new(dice.next()),
            dice,
            items: schedule.items.iter().cloned().collect(),
            due: BTreeMap::new(),
            next_due: 0,
            restless: 0,
            digest: 0,
            notes: is_noted.then(Vec::new),
        }
    }

    /// Lets the schedule happen, with a calm at each boundary; the first violation ends it.
    pub(crate) fn live(&mut self, schedule: &Schedule) {
        self.settle_in();
        if self.judge.violation.is_some() {
            return;
        }
        self.began = self.now;
        let mut reached = 0;
        while reached < schedule.length_ms && self.judge.violation.is_none() {
            reached = (reached + crate::schedule::CALM_EVERY_MS).min(schedule.length_ms);
            let calm = self.began + reached.saturating_sub(crate::schedule::CALM_MS);
            self.pass_until(calm);
            self.calm();
            self.pass_until(self.began + reached);
        }
    }

    /// All dice anew with each moment, so that a moment is the same whatever was left out before it.
    fn shake(&mut self) {
        let (seed, now) = (self.seed, self.now);
        self.dice = Dice::of(seed, now, 1);
        self.hub_dice = Dice::of(seed, now, 2);
        self.users.shake(Dice::of(seed, now, 3));
        for (lock, site) in self.sites.iter_mut().enumerate() {
            site.door.reseed(Dice::of(seed, now, 4 + lock as u64));
        }
    }

    fn pass_until(&mut self, end: u64) {
        while self.step(end) {}
    }

    pub(crate) fn clock(&self) -> Now {
        Now {
            mono_ms: self.now,
            unix_s: self.weather.wall(BEGAN_S, self.now),
        }
    }

    fn after(&mut self, ms: u64, due: Due) {
        self.next_due += 1;
        self.due.insert((self.now + ms, self.next_due), due);
        if self.due.len() > MAX_DUE {
            self.violate(7, format!("{} things are on their way", self.due.len()));
        }
    }

    pub(crate) fn violate(&mut self, invariant: u8, what: String) {
        let at_ms = self.now.saturating_sub(self.began);
        self.note(|| format!("I{invariant}: {what}"));
        self.judge.violate(invariant, at_ms, what);
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.notes {
            let at = self.now.saturating_sub(self.began);
            notes.push(format!("{:>6}.{:03} s  {}", at / 1_000, at % 1_000, what()));
        }
    }

    fn mix(&mut self, fact: u64) {
        let mixed = self.digest.rotate_left(7) ^ fact;
        self.digest = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn mix_bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    /// Goes on to the next thing that happens, up to `end`; `false`: nothing more does, or the run
    /// has failed.
    fn step(&mut self, end: u64) -> bool {
        if self.judge.violation.is_some() {
            return false;
        }
        let due = self.due.first_key_value().map(|((at, _), _)| *at);
        let item = self.items.front().map(|item| self.began + item.at_ms);
        let item = item.filter(|_| self.began > 0);
        let hub = self.hub.as_ref().and_then(Hub::next_deadline);
        let locks = self.sites.iter().enumerate();
        let lock = locks
            .filter_map(|(index, site)| Some((site.door.next_deadline()?, index)))
            .min();
        let advert = self.next_advert();
        let times = [due, item, hub, lock.map(|(at, _)| at), advert];
        let next = times.into_iter().flatten().min();
        let Some(at) = next.filter(|at| *at <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        self.restless += 1;
        if at > self.now {
            self.restless = 0;
            self.now = at;
            self.shake();
        }
        if self.restless > RESTLESS {
            self.violate(6, "the house never comes to rest".into());
            return false;
        }
        self.tally.steps += 1;
        let kind = if due == Some(at) {
            if let Some((_, due)) = self.due.pop_first() {
                self.happen(due);
            }
            1
        } else if item == Some(at) {
            if let Some(item) = self.items.pop_front() {
                self.carry(item.deed);
                self.look_at_hub();
            }
            2
        } else if hub == Some(at) {
            self.feed(HubEvent::Tick);
            3
        } else if let Some((_, index)) = lock.filter(|(lock, _)| *lock == at) {
            self.sites[index].door.time_passed(self.now);
            self.settle_lock(index);
            4
        } else {
            self.advertise();
            5
        };
        self.mix(self.now ^ (kind << 60));
        true
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Hub {
                run,
                connection,
                event,
            } => {
                let is_live = connection.is_none_or(|number| self.is_connection(number));
                if run == self.run && is_live {
                    self.feed(event);
                }
            }
            Due::Commit { run, batch, ops } => self.commit(run, batch, &ops),
            Due::Reach { link } => self.reach(link),
            Due::ToLock { link, packet } => self.lock_hears(link, &packet),
            Due::LinkEnds { link } => self.link_ends(link),
            Due::Arrive { lock, start } => self.arrive(lock, start),
            Due::PowerOn { lock } => self.power_on(lock),
            Due::Clear { lock } => self.sites[lock].door.is_blocked = false,
            Due::Charge { lock } => {
                self.sites[lock].door.battery = 90;
                self.feel(lock);
            }
            Due::StrangerLeaves { lock } => self.stranger_leaves(lock),
            Due::HubStarts => self.start_hub(),
            Due::Fuse { number } => {
                if self.fuse.is_some() && number == self.fuses {
                    self.crash_hub();
                }
            }
            Due::Dial { run, number } => self.dial(run, number),
            Due::Deliver { connection, number } => self.deliver(connection, number),
            Due::Publish(message) => self.broker_takes(message),
            Due::FromHub {
                connection,
                ticket,
                topic,
                payload,
            } => self.hub_published(connection, ticket, topic, payload),
            Due::Hears { topic, payload } => self.hears(&topic, &payload),
            Due::AskAgain { errand, attempt } => self.ask_again(errand, attempt),
            Due::Send(sending) => self.hand_over(sending),
        }
    }
}
