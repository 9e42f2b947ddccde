//! A life of the hub, event by event, with a real lock core at the other end of its radio.
//!
//! The input decides what happens next and what of it arrives: broker, store, air, clients, time,
//! power. What it cannot do is forge a signature.

mod air;
mod asked;
mod broker;
mod disk;
mod world;

use drawbridge_daemon::core::{
    ClientId, HubConfig, HubEvent, HubKeys, LinkId, LockBinding, RadioEvent,
};
use drawbridge_protocol::grant::Rights;
use serde_json::Value;

use self::world::World;
use crate::bench::Owned;
use crate::input::Input;
use crate::parties;

/// Events of one life.
const MOST_EVENTS: usize = 96;
/// What may wait above `outbox_kept`: the ends of commands taken in before it was full, alarms, and
/// the topics that a removed lock clears.
const KEPT_ABOVE: u64 = 64;

/// The hub of the examples, with queues so short that inputs fill them.
pub(crate) fn config() -> HubConfig {
    let mut config = HubConfig::new("hub-1", "0.1.0");
    config.locks = 2;
    config.commands_per_lock = 4;
    config.commands = 6;
    config.relays_per_lock = 2;
    config.outbox_kept = 16;
    config.outbox_passing = 8;
    config.finals = 8;
    config.watchers = 2;
    config
}

pub(crate) fn keys() -> HubKeys {
    HubKeys {
        identity: parties::hub_identity(),
        link: parties::hub_link(),
    }
}

/// What the hub keeps of the door's lock.
pub(crate) fn binding() -> LockBinding {
    let owned = Owned::get();
    let mut binding = LockBinding::from_ticket(&parties::code().ticket());
    binding.psks = owned.ring.clone();
    binding.ownership = Some(owned.ownership);
    binding.is_claimed = true;
    let rights = Rights::VIEW.union(Rights::LOCK).union(Rights::READ_AUDIT);
    binding.set_grant(Some(&owned.grant(rights)));
    binding
}

/// Whatever happens in whatever order: no panic; every queue within its bound (I7); one batch at the
/// store at a time; every message acknowledged and every request answered at most once; nothing
/// published outside the hub's root; and one command never moves the bolt twice (I3).
///
/// # Panics
/// When one of that does not hold.
pub fn hub_events(data: &[u8]) {
    let mut world = World::new();
    let mut input = Input::new(data);
    for _ in 0..MOST_EVENTS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
        let given = world.commands.len();
        assert!(
            world.door.starts as usize <= given,
            "{given} commands, {} turns",
            world.door.starts
        );
    }
    world.bounds();
}

impl World {
    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 20 {
            0 => self.broker(input),
            1 | 2 => self.message(input),
            3 | 4 => self.request(input),
            5 => self.gone(input),
            6 | 7 => self.stored(input),
            8 => self.published(input),
            9 => self.seen_on_air(input),
            10 => self.connected(input),
            11 => self.carry_to_door(input),
            12 => self.carry_to_hub(input),
            13 => self.spoil(input),
            14 => self.lose_link(input),
            15 => self.pass_time(input),
            16 => self.restart(),
            17 => self.door_event(input),
            18 => self.everything_works(),
            _ => {
                let link = self.link.unwrap_or(LinkId(u64::from(input.byte())));
                let bytes = input.chunk().to_vec();
                self.feed(HubEvent::Radio(RadioEvent::Packet { link, bytes }));
            }
        }
    }

    fn pass_time(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        let step = [1, 50, 1_000, 60_000][usize::from(choice >> 6)] * u64::from(choice & 63);
        self.clock_is_set = input.byte() != 1;
        self.now_ms += step;
        self.door.pass_time(step);
        self.feed(HubEvent::Tick);
    }

    /// For a while everybody does his work: a link comes up, packets go both ways, the disk and the
    /// broker answer.
    fn everything_works(&mut self) {
        let mut good = Input::new(&[]);
        for _ in 0..6 {
            if self.link.is_none() {
                self.seen_on_air(&mut good);
                self.connected(&mut Input::new(&[1]));
            }
            for _ in 0..3 {
                self.carry_to_door(&mut Input::new(&[15]));
                self.carry_to_hub(&mut Input::new(&[15]));
                if self.batch.is_some() {
                    self.stored(&mut Input::new(&[1]));
                }
            }
            while self.is_up && !self.tickets.is_empty() {
                self.published(&mut Input::new(&[1]));
            }
        }
    }

    fn bounds(&mut self) {
        self.ask(ClientId(99), "status", Value::Null);
        let status = self.seen.take().expect("status is always answered");
        let number = |name: &str| status[name].as_u64().expect("a number");
        let config = config();
        assert!(number("commands") <= config.commands as u64, "{status}");
        assert!(number("finals") <= config.finals as u64, "{status}");
        let kept = config.outbox_kept as u64 + KEPT_ABOVE;
        assert!(number("outbox_kept") <= kept, "{status}");
        // Documents: a handful for the hub and for each of its locks.
        let documents = 8 * (1 + config.locks as u64);
        let all = kept + config.outbox_passing as u64 + documents;
        assert!(number("outbox") <= all, "{status}");
        assert!(self.requests.len() <= MOST_EVENTS);
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    Base64::encode_string(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards: a life in which nothing ever gets through, so that no invariant is ever tried.
    #[test]
    fn one_command_gets_through_and_moves_the_bolt_once() {
        for (name, turns) in [
            ("quiet", 0),
            ("one_command", 1),
            ("same_again", 1),
            ("crash", 1),
            ("local", 1),
        ] {
            let seeds = crate::seeds::of("hub_events");
            let (_, bytes) = seeds.iter().find(|(seed, _)| seed == name).expect("a seed");
            let (mut world, mut input) = (World::new(), Input::new(bytes));
            while !input.is_empty() {
                world.step(&mut input);
            }
            assert_eq!(world.door.starts, turns, "{name}");
        }
    }
}
