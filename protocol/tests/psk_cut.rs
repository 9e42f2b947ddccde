//! Rotation of the pre-shared key survives a cut at every step.
//!
//! Guards: a lock and a hub that each hold a key the other does not: locked out until somebody
//! presses the button inside.

use std::collections::BTreeSet;

use drawbridge_protocol::keys::Psk;
use drawbridge_protocol::psk::{PskGeneration, PskRing};

/// How often the lock may draw a new key in one exploration; bounds the number of states.
const MOST_KEYS: u8 = 4;

/// What both sides have in flash and, for the offer, in the lock's RAM. The lock's core commits
/// an offer only when the peer said that it is stored.
#[derive(Debug, Clone)]
struct World {
    lock: PskRing,
    peer: PskRing,
    /// The lock's offer, in RAM.
    offer: Option<PskGeneration>,
    /// The offer on its way, and the answer on its way.
    offer_in_flight: Option<PskGeneration>,
    stored_in_flight: Option<u32>,
    keys_drawn: u8,
}

fn key(number: u8) -> Psk {
    Psk::new([number; 32])
}

impl World {
    fn new() -> Self {
        Self {
            lock: PskRing::pairing(key(0)),
            peer: PskRing::pairing(key(0)),
            offer: None,
            offer_in_flight: None,
            stored_in_flight: None,
            keys_drawn: 0,
        }
    }

    /// What the state is, without addresses or order.
    fn name(&self) -> String {
        let ring = |ring: &PskRing| {
            let one = |kept: &PskGeneration| (kept.generation, kept.psk.danger_as_bytes()[0]);
            (one(&ring.current), ring.previous.as_ref().map(one))
        };
        let flying = |kept: &Option<PskGeneration>| {
            kept.as_ref()
                .map(|kept| (kept.generation, kept.psk.danger_as_bytes()[0]))
        };
        format!(
            "{:?} {:?} {:?} {:?} {:?} {}",
            ring(&self.lock),
            ring(&self.peer),
            flying(&self.offer),
            flying(&self.offer_in_flight),
            self.stored_in_flight,
            self.keys_drawn
        )
    }

    /// The peer tries its newest generation first, then the one before.
    fn common(&self) -> Option<u32> {
        core::iter::once(&self.peer.current)
            .chain(self.peer.previous.as_ref())
            .find(|kept| self.lock.find(kept.generation) == Some(&kept.psk))
            .map(|kept| kept.generation)
    }

    /// The link is gone, and what was on it.
    fn cut(&mut self) {
        self.offer_in_flight = None;
        self.stored_in_flight = None;
    }

    /// Everything that can happen next.
    fn successors(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut also = |change: &dyn Fn(&mut Self)| {
            let mut next = self.clone();
            change(&mut next);
            all.push(next);
        };
        if self.offer.is_none() && self.keys_drawn < MOST_KEYS {
            also(&Self::offer);
        }
        if self.offer.is_some() {
            also(&|world| world.offer_in_flight = world.offer.clone());
        }
        if self.offer_in_flight.is_some() {
            also(&Self::store);
        }
        if self.stored_in_flight.is_some() {
            also(&Self::commit);
        }
        // A link that is lost, a lock that reboots (its offer was in RAM), and a session that is
        // proven on both sides, or on one side only because the other was cut.
        also(&Self::cut);
        also(&|world| {
            world.cut();
            world.offer = None;
        });
        if let Some(generation) = self.common() {
            also(&|world| {
                world.cut();
                world.lock.proven(generation);
                world.peer.proven(generation);
            });
            also(&|world| {
                world.cut();
                world.lock.proven(generation);
            });
            // The peer's proof is the lock's first record, which the lock only sends once the
            // peer's own record proved the session to it.
        }
        all
    }

    fn offer(&mut self) {
        self.keys_drawn += 1;
        self.offer = Some(PskGeneration {
            generation: self.lock.current.generation + 1,
            psk: key(self.keys_drawn),
        });
        self.offer_in_flight = self.offer.clone();
    }

    fn store(&mut self) {
        if let Some(next) = self.offer_in_flight.take() {
            let generation = next.generation;
            if self.peer.advance(next) {
                self.stored_in_flight = Some(generation);
            }
        }
    }

    fn commit(&mut self) {
        let stored = self.stored_in_flight.take();
        if let Some(offer) = self.offer.take_if(|offer| Some(offer.generation) == stored) {
            assert!(
                self.lock.advance(offer),
                "the lock's own offer is the next one"
            );
        }
    }

    /// What happens when nothing goes wrong any more.
    fn without_faults(mut self) -> Self {
        self.cut();
        self.offer = None;
        let generation = self.common().expect("a common generation");
        self.lock.proven(generation);
        self.peer.proven(generation);
        self.keys_drawn = 100;
        self.offer();
        self.store();
        self.commit();
        self
    }
}

#[test]
fn a_cut_at_any_step_leaves_a_generation_that_both_hold() {
    let mut seen = BTreeSet::new();
    let mut open = vec![World::new()];
    while let Some(world) = open.pop() {
        if !seen.insert(world.name()) {
            continue;
        }
        assert!(world.common().is_some(), "locked out: {}", world.name());
        open.extend(world.successors());
    }
    println!("STATES psk rotation {}", seen.len());
    assert!(seen.len() > 100, "only {} states were reached", seen.len());
}

#[test]
fn rotation_goes_on_after_a_cut_at_any_step() {
    // Guards: a lock that lost its offer at a reboot draws another key for the same generation; a
    // peer that stored the first one must take the second, or no rotation ever succeeds again.
    let mut seen = BTreeSet::new();
    let mut open = vec![World::new()];
    while let Some(world) = open.pop() {
        if !seen.insert(world.name()) {
            continue;
        }
        let before = world.lock.current.generation;
        let name = world.name();
        let after = world.clone().without_faults();
        assert_eq!(
            after.lock.current.generation,
            before + 1,
            "stuck after {name}"
        );
        assert_eq!(after.common(), Some(before + 1), "stuck after {name}");
        assert_eq!(after.peer.current, after.lock.current, "stuck after {name}");
        open.extend(world.successors());
    }
}

#[test]
fn an_old_generation_dies_with_the_first_session_on_the_new_one() {
    let mut ring = PskRing::pairing(key(0));
    let next = PskGeneration {
        generation: 1,
        psk: key(1),
    };
    assert!(ring.advance(next.clone()));
    assert!(ring.advance(next), "the same offer again changes nothing");
    assert_eq!(ring.find(0), Some(&key(0)));
    assert!(!ring.proven(0), "a session on the old one kills nothing");
    assert!(ring.proven(1));
    assert_eq!(ring.find(0), None);
    assert_eq!(ring.find(1), Some(&key(1)));
    assert!(!ring.proven(1), "nothing is left to die");
}

#[test]
fn nothing_but_the_next_generation_is_taken() {
    let mut ring = PskRing::pairing(key(0));
    let offer = |generation, number| PskGeneration {
        generation,
        psk: key(number),
    };
    assert!(!ring.advance(offer(2, 2)), "a gap");
    assert!(
        !ring.advance(offer(0, 9)),
        "another key for the proven generation"
    );
    assert!(ring.advance(offer(1, 1)));
    assert!(ring.proven(1));
    assert!(
        !ring.advance(offer(1, 9)),
        "another key for the proven generation"
    );
    assert!(!ring.advance(offer(0, 0)), "backwards");
    assert_eq!(ring.current, offer(1, 1));
    let mut last = PskRing::pairing(key(0));
    last.current.generation = u32::MAX;
    assert!(!last.advance(offer(0, 1)), "the counter does not wrap");
}
