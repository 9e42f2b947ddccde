//! I7: answers are remembered while there is room, a guest has a share of it, and the owner's is kept free.
//!
//! Guards: a guest whose refusals push out the answers of others, so that their repeats are decided
//! anew; and a table that, once full, never remembers anything again.

use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::grant::Rights;
use drawbridge_protocol::ids::Digest32;
use drawbridge_protocol::keys::IdentitySecret;
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::tunnel::HubToLock;

use crate::bench::{Owned, Peer, outcome, refusal, sign};

/// Answers that a guest may have, and guests that fill what is not the owner's.
const SHARE: usize = 16;
const GUESTS: usize = 7;
/// An answer is given up only when it is this old and there is no room. Milliseconds.
const KEPT_MS: u64 = 60_000;

/// A guest that may lock, and the unlock commands of its that were refused.
struct Guest {
    identity: IdentitySecret,
    grant: Vec<u8>,
    refused: Vec<Vec<u8>>,
}

impl Guest {
    fn new(owned: &mut Owned) -> Self {
        let peer = Peer::new(&mut owned.home, 5);
        Self {
            grant: owned.grant_for(&peer.keys(), Rights::LOCK),
            identity: peer.identity,
            refused: Vec::new(),
        }
    }

    fn carry(&self, owned: &mut Owned, statement: &[u8]) -> Outcome {
        let present = HubToLock::PresentGrant {
            statement: &self.grant,
        };
        let said = owned.hub.ask(&mut owned.home, &present);
        assert_eq!(refusal(&said), None);
        let request = HubToLock::Command { statement };
        let said = owned.hub.ask(&mut owned.home, &request);
        outcome(&owned.home, &said).unwrap()
    }

    /// Is refused so many commands, each its own.
    fn is_refused(&mut self, owned: &mut Owned, commands: usize) {
        for _ in 0..commands {
            let info = owned.hub.session_info(&mut owned.home);
            let command = Command {
                counter: self.refused.len() as u64 + 1,
                grant: Some(Digest32::of(&self.grant)),
                ..owned.command_on(&info, Action::Unlock)
            };
            let statement = sign(&command, &self.identity);
            let first = self.carry(owned, &statement);
            assert_eq!((first.reason, first.duplicate), (Reason::NoRight, false));
            self.refused.push(statement);
        }
    }

    /// Which of its refusals are still remembered, in order.
    fn remembered(&self, owned: &mut Owned) -> Vec<bool> {
        let again = self.refused.iter().map(|statement| {
            let again = self.carry(owned, statement);
            assert_eq!(again.verdict, Verdict::Refused);
            again.duplicate
        });
        again.collect()
    }
}

/// Commands by the owner that were refused, and whether each is remembered.
fn owner_is_remembered(owned: &mut Owned, commands: usize) -> bool {
    let mut refused = Vec::new();
    for _ in 0..commands {
        let info = owned.hub.session_info(&mut owned.home);
        let mut command = owned.command_on(&info, Action::Unlock);
        command.expiry_ms = u64::MAX;
        let statement = sign(&command, &owned.owner);
        let first = owned.hub.command(&mut owned.home, &statement).unwrap();
        assert_eq!(
            (first.reason, first.duplicate),
            (Reason::TooFarAhead, false)
        );
        refused.push(statement);
    }
    refused.iter().all(|statement| {
        let again = owned.hub.command(&mut owned.home, statement).unwrap();
        again.duplicate
    })
}

#[test]
fn guest_has_a_share_of_the_answers_and_the_owner_more() {
    let mut owned = Owned::new(1);
    assert!(owner_is_remembered(&mut owned, SHARE + 4));
    let mut guest = Guest::new(&mut owned);
    guest.is_refused(&mut owned, SHARE + 4);
    let mut expected = vec![true; SHARE];
    expected.extend([false; 4]);
    assert_eq!(guest.remembered(&mut owned), expected);
}

#[test]
fn answers_of_guests_leave_room_for_the_owner() {
    let mut owned = Owned::new(2);
    let mut guests: Vec<Guest> = (0..GUESTS).map(|_| Guest::new(&mut owned)).collect();
    for guest in &mut guests {
        guest.is_refused(&mut owned, SHARE);
    }
    let mut late = Guest::new(&mut owned);
    late.is_refused(&mut owned, 1);
    assert_eq!(late.remembered(&mut owned), [false], "the owner's room");
    assert!(owner_is_remembered(&mut owned, SHARE));
    for guest in &guests {
        assert_eq!(guest.remembered(&mut owned), [true; SHARE]);
    }
}

#[test]
fn full_table_gives_up_what_is_too_old_to_be_repeated() {
    // One guest that has used its share, and then all of them.
    for guests in [1, GUESTS] {
        let mut owned = Owned::new(3);
        let mut guests: Vec<Guest> = (0..guests).map(|_| Guest::new(&mut owned)).collect();
        for guest in &mut guests {
            guest.is_refused(&mut owned, SHARE);
        }
        let mut last = if guests.len() == GUESTS {
            Guest::new(&mut owned)
        } else {
            guests.remove(0)
        };
        let before = last.refused.len();
        // At exactly this age it is kept.
        owned.home.pass_time(KEPT_MS);
        last.is_refused(&mut owned, 1);
        owned.home.pass_time(1);
        last.is_refused(&mut owned, 1);
        let newest = &last.refused[before..];
        let again = newest.iter().map(|s| last.carry(&mut owned, s).duplicate);
        assert_eq!(again.collect::<Vec<_>>(), [false, true]);
    }
}

#[test]
fn old_answer_stays_while_there_is_room() {
    let mut owned = Owned::new(4);
    let mut first = Guest::new(&mut owned);
    first.is_refused(&mut owned, 1);
    owned.home.pass_time(2 * KEPT_MS);
    let mut second = Guest::new(&mut owned);
    second.is_refused(&mut owned, 1);
    assert!(owner_is_remembered(&mut owned, 1));
    assert_eq!(first.remembered(&mut owned), [true]);
}
