//! A life of the lock, event by event, with nobody in it who may move the bolt (S15).
//!
//! Each event is one byte and what it needs. The hub of the house holds a session and a grant that
//! lets it look and no more; everybody else holds nothing but what they overhear.

use drawbridge_lock::flash::model::Tear;
use drawbridge_lock::{LinkId, RESET_HOLD_MS, Sensors};
use drawbridge_protocol::command::Action;
use drawbridge_protocol::frame::Fragmenter;
use drawbridge_protocol::grant::Rights;
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::ids::{Digest32, LockEpoch, LockId};
use drawbridge_protocol::report::{Door as Leaf, Position};
use drawbridge_protocol::tunnel::HubToLock;

use crate::bench::{Door, Owned, PACKET, Peer, command, sign};
use crate::input::{Input, damage};
use crate::parties;

/// Events of one life.
const MOST_EVENTS: usize = 64;
/// Packets that an eavesdropper remembers.
const MOST_OVERHEARD: usize = 64;

struct Life {
    door: Door,
    hub: Peer,
    overheard: Vec<Vec<u8>>,
    /// Somebody inside held the button until owner and peers were gone.
    reset: bool,
}

/// Whatever happens in whatever order, power cuts at any flash operation included: the motor never
/// starts, the lock starts again, and it keeps its owner.
///
/// # Panics
/// When one of that does not hold.
pub fn lock_events(data: &[u8]) {
    let owned = Owned::get();
    let mut life = Life {
        door: owned.door(),
        hub: Peer::new(1, owned.ring.clone()),
        overheard: Vec::new(),
        reset: false,
    };
    let mut input = Input::new(data);
    for event in 0..MOST_EVENTS {
        if input.is_empty() {
            break;
        }
        life.step(&mut input);
        life.overhear();
        if life.door.is_dead() {
            life.reboot();
        }
        assert_eq!(life.door.starts, 0, "the motor started in event {event}");
    }
    life.reboot();
    assert!(
        life.reset || life.door.status().owned,
        "the owner is forgotten"
    );
}

impl Life {
    fn step(&mut self, input: &mut Input<'_>) {
        let choice = input.byte() % 16;
        let stranger = LinkId(2 + input.byte() % 2);
        match choice {
            0 => {
                self.door.link_up(stranger, usize::from(input.byte()));
            }
            1 => self.door.link_down(LinkId(1 + input.byte() % 3)),
            2 => {
                let link = LinkId(1 + input.byte() % 3);
                self.door.packet(link, input.chunk());
            }
            3 => self.repeat(stranger, input),
            4 => self.message(stranger, input),
            5 => {
                let scale = [1, 100, 3_000, 700_000][input.below(4)];
                self.door.pass_time(u64::from(input.byte()) * scale);
            }
            6 => self.reboot(),
            7 => {
                let after = u64::from(input.byte() % 32);
                let tear = Tear::ALL[input.below(3)];
                self.door.cut_after(after, tear, u64::from(input.byte()));
            }
            8 => {
                self.hub.shake(&mut self.door, Purpose::Session);
                self.hub.receive(&mut self.door);
            }
            9 => {
                self.hub.send_plain(&mut self.door, input.chunk());
                self.hub.receive(&mut self.door);
            }
            10 => self.unlawful(input),
            11 => self.sense(input),
            12 => {
                let held = if input.byte() % 16 == 15 {
                    RESET_HOLD_MS
                } else {
                    200
                };
                // A reset that is cut counts too: nobody can tell how far it got.
                self.reset |= held == RESET_HOLD_MS;
                self.door.press_button(held);
            }
            13 => {
                let rights = [Rights::VIEW, Rights::READ_AUDIT][input.below(2)];
                let grant = Owned::get().grant(rights.union(Rights::VIEW));
                self.say(&HubToLock::PresentGrant { statement: &grant });
            }
            14 => self.hub.resume(&mut self.door),
            _ => {
                let mut pairing = Peer::unpaired(stranger.0);
                pairing.shake(&mut self.door, Purpose::Pair);
                pairing.send_plain(&mut self.door, input.chunk());
                pairing.receive(&mut self.door);
            }
        }
    }

    fn reboot(&mut self) {
        self.door.reboot();
        self.hub.session = None;
    }

    fn say(&mut self, request: &HubToLock<'_>) {
        self.hub.send(&mut self.door, request);
        self.hub.receive(&mut self.door);
    }

    /// Something overheard, changed or not, on another link or the hub's own.
    fn repeat(&mut self, stranger: LinkId, input: &mut Input<'_>) {
        let Some(packet) = self.overheard.get(input.below(self.overheard.len())) else {
            return;
        };
        let mut packet = packet.clone();
        let link = if input.flag() {
            self.hub.link
        } else {
            stranger
        };
        let how = input.byte();
        if how & 1 == 1 {
            // On a link of its own it numbers the fragments itself.
            packet[0] = (packet[0] & 0x80) | (how >> 2);
        }
        if how & 2 == 2 {
            damage(&mut packet, input);
        }
        self.door.packet(link, &packet);
    }

    /// A whole link message of the stranger's own making, from its first fragment.
    fn message(&mut self, stranger: LinkId, input: &mut Input<'_>) {
        let mut message = vec![[1, 2, 3, 4, 5, 15][input.below(6)]];
        message.extend(input.chunk());
        self.door.link_down(stranger);
        self.door.link_up(stranger, PACKET);
        let mut packets = Vec::new();
        let cut = Fragmenter::new().cut(&message, &mut [0; PACKET], PACKET, |packet| {
            packets.push(packet.to_vec());
        });
        cut.expect("chunks are short");
        for packet in packets {
            self.door.packet(stranger, &packet);
        }
    }

    /// A command that lacks one thing, through the hub's session.
    fn unlawful(&mut self, input: &mut Input<'_>) {
        let action = [Action::Unlock, Action::Lock][input.below(2)];
        let mut wanted = command(&self.door, action, u64::from(input.byte()) + 1);
        let owner = parties::owner_identity();
        let own_grant = Digest32::of(&Owned::get().grant(Rights::VIEW));
        let statement = match input.byte() % 8 {
            0 => sign(&wanted, &parties::hub_identity()),
            1 => {
                wanted.grant = Some(own_grant);
                sign(&wanted, &parties::hub_identity())
            }
            2 => {
                wanted.lock = LockId(input.array());
                if wanted.lock == parties::LOCK {
                    return;
                }
                sign(&wanted, &owner)
            }
            3 => {
                wanted.epoch = LockEpoch(input.array());
                sign(&wanted, &owner)
            }
            4 => {
                wanted.expiry_ms = self.door.now.saturating_sub(1 + u64::from(input.byte()));
                if self.door.now == 0 {
                    return;
                }
                sign(&wanted, &owner)
            }
            5 => {
                wanted.expiry_ms = self.door.now + 60_001 + u64::from(input.short());
                sign(&wanted, &owner)
            }
            6 => {
                let signers = [parties::audit_identity(), parties::lock_identity()];
                sign(&wanted, &signers[input.below(2)])
            }
            _ => {
                let mut statement = sign(&wanted, &owner);
                if !damage(&mut statement, input) || statement.len() > 900 {
                    return;
                }
                statement
            }
        };
        let request = match input.byte() % 4 {
            0 => HubToLock::Query {
                statement: &statement,
            },
            1 => HubToLock::Claim {
                statement: &statement,
            },
            _ => HubToLock::Command {
                statement: &statement,
            },
        };
        self.say(&request);
    }

    fn sense(&mut self, input: &mut Input<'_>) {
        let positions = [
            Position::Locked,
            Position::Unlocked,
            Position::Moving,
            Position::Jammed,
            Position::Unknown,
        ];
        self.door.sense(Sensors {
            position: positions[input.below(positions.len())],
            door: [Leaf::Open, Leaf::Closed, Leaf::Unknown][input.below(3)],
            tamper: input.flag(),
            battery: input.byte() % 101,
        });
    }

    fn overhear(&mut self) {
        let said = self.door.packets.drain(..).map(|(_, packet)| packet);
        self.overheard.extend(said.chain(self.hub.sent.drain(..)));
        let surplus = self.overheard.len().saturating_sub(MOST_OVERHEARD);
        self.overheard.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(name: &str) -> Life {
        let owned = Owned::get();
        let mut life = Life {
            door: owned.door(),
            hub: Peer::new(1, owned.ring.clone()),
            overheard: Vec::new(),
            reset: false,
        };
        let seeds = crate::seeds::of("lock_events");
        let (_, bytes) = seeds.iter().find(|(seed, _)| seed == name).expect("a seed");
        let mut input = Input::new(bytes);
        while !input.is_empty() {
            life.step(&mut input);
            life.overhear();
        }
        life
    }

    /// Guards: a life in which nobody is ever heard, so that the motor has no reason to start.
    #[test]
    fn the_hub_has_a_session_and_a_lawful_command_would_start_the_motor() {
        let mut life = live("granted");
        assert!(life.hub.session.is_some());
        let lawful = sign(
            &command(&life.door, Action::Unlock, 200),
            &parties::owner_identity(),
        );
        life.say(&HubToLock::Command { statement: &lawful });
        assert_eq!(life.door.starts, 1);
    }

    #[test]
    fn power_cuts_strike_and_strangers_are_overheard() {
        assert!(live("stranger").overheard.len() >= 2);
        assert!(live("cut").door.status().boot > Owned::get().door().status().boot);
    }
}
