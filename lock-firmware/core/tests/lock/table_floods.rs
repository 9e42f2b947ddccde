//! I7, S36: tables that guests can fill, and what that must not do to the owner or to a relay's victim.
//!
//! Guards: a guest whose flood locks the owner out, and a relay that delivers a command after its
//! refusal because the lock forgot the counter that killed it.

use drawbridge_lock::LinkId;
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::grant::Rights;
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::ids::Digest32;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::tunnel::HubToLock;

use crate::bench::{Owned, Peer, outcome, refusal, sign};

struct Guest {
    identity: IdentitySecret,
    grant: Vec<u8>,
}

fn guest(owned: &mut Owned, rights: Rights) -> Guest {
    let peer = Peer::new(&mut owned.home, 5);
    Guest {
        grant: owned.grant_for(&peer.keys(), rights),
        identity: peer.identity,
    }
}

/// A command of the guest that the lock has not seen yet.
fn signed(
    owned: &mut Owned,
    guest: &Guest,
    action: Action,
    counter: u64,
    expiry_ms: u64,
) -> Vec<u8> {
    let info = owned.hub.session_info(&mut owned.home);
    let command = Command {
        counter,
        expiry_ms,
        grant: Some(Digest32::of(&guest.grant)),
        ..owned.command_on(&info, action)
    };
    sign(&command, &guest.identity)
}

/// Carries the guest's grant and command; what the lock signed about it, or its unsigned refusal.
fn carry(owned: &mut Owned, guest: &Guest, statement: &[u8]) -> Result<Outcome, Reason> {
    let present = HubToLock::PresentGrant {
        statement: &guest.grant,
    };
    let said = owned.hub.ask(&mut owned.home, &present);
    assert_eq!(refusal(&said), None);
    let said = owned
        .hub
        .ask(&mut owned.home, &HubToLock::Command { statement });
    outcome(&owned.home, &said).ok_or_else(|| refusal(&said).unwrap())
}

/// Sixty guests take all places that are not the owner's.
fn flood(owned: &mut Owned, expires_in_ms: u64) {
    for _ in 0..60 {
        let guest = guest(owned, Rights::LOCK);
        let expiry = owned.home.now.saturating_add(expires_in_ms);
        let statement = signed(owned, &guest, Action::Unlock, 1, expiry);
        let refused = carry(owned, &guest, &statement).unwrap();
        assert_eq!(refused.reason, Reason::NoRight);
    }
}

#[test]
fn flood_by_guests_never_locks_the_owner_out() {
    for expires_in_ms in [1_000, 60_000, u64::MAX] {
        let mut owned = Owned::new(1);
        flood(&mut owned, expires_in_ms);
        // More guests than places, with expiries as far as they like.
        for _ in 0..10 {
            let late = guest(&mut owned, Rights::ALL);
            let statement = signed(&mut owned, &late, Action::Unlock, 1, u64::MAX);
            assert_eq!(
                carry(&mut owned, &late, &statement).unwrap_err(),
                Reason::Busy
            );
        }
        // One whose refusal is final, and which outlives the owner's command below.
        let late = guest(&mut owned, Rights::ALL);
        let expiry = owned.home.now + 60_000;
        let statement = signed(&mut owned, &late, Action::Unlock, 1, expiry);
        let away = carry(&mut owned, &late, &statement).unwrap();
        assert_eq!(
            (away.verdict, away.reason),
            (Verdict::Refused, Reason::Busy)
        );
        for action in [Action::Unlock, Action::Lock] {
            let statement = owned.sign(action);
            let done = owned.hub.command(&mut owned.home, &statement).unwrap();
            assert_eq!(
                done.verdict,
                Verdict::Done,
                "{expires_in_ms}: {:?}",
                done.reason
            );
            let again = owned.hub.command(&mut owned.home, &statement).unwrap();
            assert!(again.duplicate);
        }
    }
}

#[test]
fn guest_without_a_place_cannot_turn_others_away_for_longer_than_a_minute() {
    let mut owned = Owned::new(2);
    flood(&mut owned, 1_000);
    let greedy = guest(&mut owned, Rights::ALL);
    let statement = signed(&mut owned, &greedy, Action::Unlock, 1, u64::MAX);
    assert_eq!(
        carry(&mut owned, &greedy, &statement).unwrap_err(),
        Reason::Busy
    );
    owned.home.pass_time(60_001);
    let honest = guest(&mut owned, Rights::ALL);
    let expiry = owned.home.now + 30_000;
    let statement = signed(&mut owned, &honest, Action::Unlock, 1, expiry);
    assert_eq!(
        carry(&mut owned, &honest, &statement).unwrap().verdict,
        Verdict::Done
    );
}

#[test]
fn command_that_was_turned_away_stays_refused() {
    let mut owned = Owned::new(3);
    flood(&mut owned, 1_000);
    owned.home.pass_time(59_000);
    let late = guest(&mut owned, Rights::ALL);
    let expiry = owned.home.now + 60_000;
    let first = signed(&mut owned, &late, Action::Unlock, 1, expiry);
    let second = signed(&mut owned, &late, Action::Unlock, 9, expiry);
    for statement in [&first, &second] {
        let away = carry(&mut owned, &late, statement).unwrap();
        assert_eq!(
            (away.verdict, away.reason),
            (Verdict::Refused, Reason::Busy)
        );
    }
    // Places are free now, and both commands are not expired.
    owned.home.pass_time(10_000);
    let away = carry(&mut owned, &late, &first).unwrap();
    assert_eq!(
        (away.verdict, away.reason),
        (Verdict::Refused, Reason::Busy)
    );
    // A later one gets a place, and a lower counter than one that was turned away.
    let now = owned.home.now;
    let fresh = signed(&mut owned, &late, Action::Unlock, 2, now + 60_000);
    assert_eq!(
        carry(&mut owned, &late, &fresh).unwrap().verdict,
        Verdict::Done
    );
    let starts = owned.home.bolt.starts;
    for statement in [&first, &second] {
        let away = carry(&mut owned, &late, statement).unwrap();
        assert_eq!(
            away.verdict,
            Verdict::Refused,
            "delivered after a final refusal"
        );
    }
    assert_eq!(owned.home.bolt.starts, starts);
}

#[test]
fn counter_is_kept_until_everything_that_it_killed_has_expired() {
    // Guards: refused as too far ahead, forgotten in a flood, delivered when its time has come.
    for ask_only in [false, true] {
        let mut owned = Owned::new(4);
        let victim = guest(&mut owned, Rights::ALL);
        let far = owned.home.now + 600_000;
        let stored_up = signed(&mut owned, &victim, Action::Unlock, 5, far);
        if ask_only {
            // Not delivered at all: a query called it dead, because a later counter is spent.
            let now = owned.home.now;
            let later = signed(&mut owned, &victim, Action::Lock, 6, now + 10_000);
            assert_eq!(
                carry(&mut owned, &victim, &later).unwrap().verdict,
                Verdict::Done
            );
            let asked = owned.hub.query(&mut owned.home, &stored_up).unwrap();
            assert_eq!(asked.verdict, Verdict::NotExecuted);
        } else {
            let early = carry(&mut owned, &victim, &stored_up).unwrap();
            assert_eq!(
                (early.verdict, early.reason),
                (Verdict::Refused, Reason::TooFarAhead)
            );
        }
        let starts = owned.home.bolt.starts;
        for _ in 0..3 {
            owned.home.pass_time(100_000);
            // One place fewer each time when the victim's is kept.
            for _ in 0..59 {
                let other = guest(&mut owned, Rights::LOCK);
                let expiry = owned.home.now + 1_000;
                let statement = signed(&mut owned, &other, Action::Unlock, 1, expiry);
                carry(&mut owned, &other, &statement).unwrap();
            }
        }
        owned.home.pass_time(270_000);
        assert!(owned.home.now < far && far < owned.home.now + 60_000);
        let late = carry(&mut owned, &victim, &stored_up).unwrap();
        assert_eq!(late.verdict, Verdict::Refused, "ask_only {ask_only}");
        assert_eq!(owned.home.bolt.starts, starts);
    }
}

#[test]
fn hub_keeps_its_own_rights_while_it_carries_many_guests() {
    let mut owned = Owned::new(5);
    for _ in 0..20 {
        let guest = guest(&mut owned, Rights::ALL);
        let present = HubToLock::PresentGrant {
            statement: &guest.grant,
        };
        owned.hub.ask(&mut owned.home, &present);
    }
    assert!(owned.hub.session_info(&mut owned.home).log_seq.is_some());
}

#[test]
fn two_peers_that_carry_one_command_both_learn_its_outcome() {
    // Guards I2: the second carrier (or whoever copies the message) takes the answer from the first.
    let mut owned = Owned::new(6);
    let mut device = Peer::new(&mut owned.home, 2);
    device.secret = LinkSecret::from_bytes([0x31; 32]);
    device.ring =
        drawbridge_protocol::psk::PskRing::pairing(owned.home.factory.qr().keys().pair_psk);
    assert!(device.connect(&mut owned.home) && device.shake(&mut owned.home, Purpose::Session));
    device.receive(&mut owned.home);
    let info = owned.hub.session_info(&mut owned.home);
    let mut command = owned.command_on(&info, Action::Unlock);
    command.expiry_ms = info.time_ms + 9_000;
    let statement = sign(&command, &owned.owner);
    owned.home.stalled = true;
    let request = HubToLock::Command {
        statement: &statement,
    };
    for peer in [&mut owned.hub, &mut device] {
        let said = peer.ask(&mut owned.home, &request);
        assert!(outcome(&owned.home, &said).is_none());
    }
    let asked = HubToLock::Query {
        statement: &statement,
    };
    owned.hub.ask(&mut owned.home, &asked);
    owned.home.bolt.position = drawbridge_protocol::report::Position::Unlocked;
    let (sensors, now) = (owned.home.sensors(), owned.home.now);
    owned.home.lock().handle_sensors(sensors, now);
    owned.home.settle();
    for peer in [&mut owned.hub, &mut device] {
        let said = peer.receive(&mut owned.home);
        assert_eq!(
            outcome(&owned.home, &said).unwrap().verdict,
            Verdict::Done,
            "{:?}",
            peer.link
        );
    }
    assert_eq!(owned.home.bolt.starts, 1);
    assert_eq!(device.link, LinkId(2));
}

#[test]
fn jammed_bolt_can_be_freed_by_the_next_command() {
    // Guards: the clock ticking between the order to the motor and its first movement.
    let mut owned = Owned::new(7);
    owned.home.bolt.jammed = true;
    let statement = owned.sign(Action::Unlock);
    let failed = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!(failed.reason, Reason::Jammed);
    owned.home.bolt.jammed = false;
    owned.home.stalled = true;
    let statement = owned.sign(Action::Unlock);
    owned.hub.ask(
        &mut owned.home,
        &HubToLock::Command {
            statement: &statement,
        },
    );
    owned.home.pass_time(10);
    assert!(
        owned.home.lock().status().moving,
        "called jammed before it moved"
    );
    owned.home.bolt.position = drawbridge_protocol::report::Position::Unlocked;
    let (sensors, now) = (owned.home.sensors(), owned.home.now);
    owned.home.lock().handle_sensors(sensors, now);
    owned.home.settle();
    let said = owned.hub.receive(&mut owned.home);
    assert_eq!(outcome(&owned.home, &said).unwrap().verdict, Verdict::Done);
}
