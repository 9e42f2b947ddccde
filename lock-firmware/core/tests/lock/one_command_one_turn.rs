//! I1, I3: one command, one turn of the bolt, and the sender learns which.
//!
//! Guards: locks that obey a captured command again (Ultraloq, S32), that re-drive the motor after
//! a power loss, or that answer a repeat with a guess.

use crate::bench::{Home, Owned, Peer, Seeded, outcome, refusal, sign};
use drawbridge_lock::flash::model::Tear;
use drawbridge_protocol::command::Action;
use drawbridge_protocol::grant::Rights;
use drawbridge_protocol::keys::IdentitySecret;
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::report::Position;
use drawbridge_protocol::tunnel::HubToLock;

#[test]
fn a_signed_command_turns_the_bolt_once() {
    let mut owned = Owned::new(1);
    let statement = owned.sign(Action::Unlock);
    let first = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!((first.verdict, first.duplicate), (Verdict::Done, false));
    assert_eq!(owned.home.bolt.position, Position::Unlocked);

    for _ in 0..3 {
        let repeat = owned.hub.command(&mut owned.home, &statement).unwrap();
        assert_eq!((repeat.verdict, repeat.duplicate), (Verdict::Done, true));
    }
    assert_eq!(owned.home.bolt.starts, 1);
}

#[test]
fn a_repeat_after_a_reboot_is_answered_from_the_log() {
    let mut owned = Owned::new(2);
    let statement = owned.sign(Action::Unlock);
    owned.hub.command(&mut owned.home, &statement).unwrap();
    owned.reboot();
    let repeat = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!((repeat.verdict, repeat.duplicate), (Verdict::Done, true));
    let asked = owned.hub.query(&mut owned.home, &statement).unwrap();
    assert_eq!(asked.verdict, Verdict::Done);
    assert_eq!(owned.home.bolt.starts, 1);
}

#[test]
fn a_command_of_an_earlier_boot_never_acts() {
    let mut owned = Owned::new(3);
    let statement = owned.sign(Action::Unlock);
    owned.reboot();
    let late = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!(
        (late.verdict, late.reason),
        (Verdict::Refused, Reason::WrongEpoch)
    );
    let asked = owned.hub.query(&mut owned.home, &statement).unwrap();
    assert_eq!(asked.verdict, Verdict::NotExecuted);
    assert_eq!(owned.home.bolt.starts, 0);
}

#[test]
fn an_expired_command_stays_dead() {
    let mut owned = Owned::new(4);
    let statement = owned.sign(Action::Unlock);
    owned.home.pass_time(30_000);
    let late = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!(
        (late.verdict, late.reason),
        (Verdict::Expired, Reason::Expired)
    );
    assert_eq!(owned.home.bolt.starts, 0);
}

#[test]
fn a_refusal_spends_the_counter() {
    // Guards: "refused, come back later with the same signature" as a way to store up commands.
    let mut owned = Owned::new(5);
    let info = owned.hub.session_info(&mut owned.home);
    let mut command = owned.command_on(&info, Action::Unlock);
    command.expiry_ms = info.time_ms + 60_001 + 1_000;
    let statement = sign(&command, &owned.owner);
    let early = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!(
        (early.verdict, early.reason),
        (Verdict::Refused, Reason::TooFarAhead)
    );

    owned.home.pass_time(5_000);
    let again = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!((again.verdict, again.duplicate), (Verdict::Refused, true));
    let mut fresh = owned.command_on(&info, Action::Unlock);
    fresh.expiry_ms += 1;
    let same_counter = owned
        .hub
        .command(&mut owned.home, &sign(&fresh, &owned.owner))
        .unwrap();
    assert_eq!(same_counter.reason, Reason::Counter);
    assert_eq!(owned.home.bolt.starts, 0);
}

#[test]
fn the_hub_locks_with_its_own_grant_and_never_unlocks() {
    let mut owned = Owned::new(6);
    let statement = owned.sign_by_hub(Action::Unlock);
    let refused = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!(
        (refused.verdict, refused.reason),
        (Verdict::Refused, Reason::NoRight)
    );
    assert_eq!(owned.home.bolt.starts, 0);
    let statement = owned.sign_by_hub(Action::Lock);
    assert_eq!(
        owned
            .hub
            .command(&mut owned.home, &statement)
            .unwrap()
            .verdict,
        Verdict::Done
    );
    assert_eq!(owned.home.bolt.starts, 1);
}

#[test]
fn a_hub_cannot_grant_itself_more() {
    let mut owned = Owned::new(7);
    let mut forged = owned.grant_for(&owned.hub.keys(), Rights::ALL);
    let said = owned.hub.ask(
        &mut owned.home,
        &HubToLock::PresentGrant { statement: &forged },
    );
    assert_eq!(refusal(&said), None, "the owner's own signature is good");
    // Signed by the hub instead of the owner.
    let other = Owned {
        owner: owned.hub.identity.clone(),
        ..Owned::new(7)
    };
    forged = other.grant_for(&owned.hub.keys(), Rights::ALL);
    let said = owned.hub.ask(
        &mut owned.home,
        &HubToLock::PresentGrant { statement: &forged },
    );
    assert_eq!(refusal(&said), Some(Reason::Revoked));
}

#[test]
fn a_stranger_and_a_flipped_bit_get_no_signed_word() {
    // Guards: a relay that flips a bit of the signature, collects "refused, final" for the id of
    // the genuine command, and delivers that one afterwards.
    let mut owned = Owned::new(8);
    let info = owned.hub.session_info(&mut owned.home);
    let command = owned.command_on(&info, Action::Unlock);
    let stranger = sign(&command, &IdentitySecret::from_bytes(&[9; 32]));
    let genuine = sign(&command, &owned.owner);
    let said = owned.hub.ask(
        &mut owned.home,
        &HubToLock::Command {
            statement: &stranger,
        },
    );
    assert!(outcome(&owned.home, &said).is_none());
    assert_eq!(refusal(&said), Some(Reason::Signature));
    for bit in 0..genuine.len() * 8 {
        let mut flipped = genuine.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let said = owned.hub.ask(
            &mut owned.home,
            &HubToLock::Command {
                statement: &flipped,
            },
        );
        assert!(outcome(&owned.home, &said).is_none(), "bit {bit}");
        assert!(refusal(&said).is_some(), "bit {bit}");
    }
    assert_eq!(owned.home.bolt.starts, 0);
    assert_eq!(
        owned
            .hub
            .command(&mut owned.home, &genuine)
            .unwrap()
            .verdict,
        Verdict::Done
    );
}

#[test]
fn a_jammed_bolt_is_failed_and_not_driven_again() {
    let mut owned = Owned::new(9);
    owned.home.bolt.jammed = true;
    let statement = owned.sign(Action::Unlock);
    let jammed = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!(
        (jammed.verdict, jammed.reason),
        (Verdict::Failed, Reason::Jammed)
    );
    assert_eq!(jammed.position, Position::Jammed);
    owned.home.bolt.jammed = false;
    let repeat = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!((repeat.verdict, repeat.duplicate), (Verdict::Failed, true));
    assert_eq!(owned.home.bolt.starts, 1);
}

#[test]
fn a_query_never_moves_the_bolt() {
    let mut owned = Owned::new(10);
    let statement = owned.sign(Action::Unlock);
    let asked = owned.hub.query(&mut owned.home, &statement).unwrap();
    assert_eq!(asked.verdict, Verdict::NotSeen);
    assert!(!asked.verdict.is_final());
    assert_eq!(owned.home.bolt.starts, 0);
    assert_eq!(
        owned
            .hub
            .command(&mut owned.home, &statement)
            .unwrap()
            .verdict,
        Verdict::Done
    );
    owned.home.pass_time(31_000);
    assert_eq!(
        owned
            .hub
            .query(&mut owned.home, &statement)
            .unwrap()
            .verdict,
        Verdict::Done
    );
}

#[test]
fn beyond_the_index_the_lock_says_forgotten_not_refused() {
    let mut owned = Owned::of(Home::with_pages(11, 40));
    let first = owned.sign(Action::Unlock);
    owned.hub.command(&mut owned.home, &first).unwrap();
    for round in 0..70 {
        let action = if round % 2 == 0 {
            Action::Lock
        } else {
            Action::Unlock
        };
        let next = owned.sign(action);
        let done = owned.hub.command(&mut owned.home, &next).unwrap();
        assert_eq!(
            done.verdict,
            Verdict::Done,
            "round {round}: {:?}",
            done.reason
        );
    }
    owned.reboot();
    let asked = owned.hub.command(&mut owned.home, &first).unwrap();
    assert_eq!(asked.verdict, Verdict::Forgotten);
    assert!(asked.reason.may_have_succeeded());
    assert_eq!(owned.home.bolt.starts, 71);
}

#[test]
fn auto_relock_is_logged_and_waits_for_the_door() {
    let mut owned = Owned::new(12);
    owned.home.settings.auto_relock_ms = Some(10_000);
    owned.reboot();
    let statement = owned.sign(Action::Unlock);
    owned.hub.command(&mut owned.home, &statement).unwrap();
    let log_before = owned.home.lock().status().log_newest;
    owned.home.door = drawbridge_protocol::report::Door::Open;
    let (sensors, now) = (owned.home.sensors(), owned.home.now);
    owned.home.lock().handle_sensors(sensors, now);
    owned.home.pass_time(60_000);
    assert_eq!(
        owned.home.bolt.position,
        Position::Unlocked,
        "not into an open door"
    );
    owned.home.door = drawbridge_protocol::report::Door::Closed;
    let (sensors, now) = (owned.home.sensors(), owned.home.now);
    owned.home.lock().handle_sensors(sensors, now);
    owned.home.pass_time(10_000);
    assert_eq!(owned.home.bolt.position, Position::Locked);
    assert_eq!(
        owned.home.lock().status().log_newest,
        log_before + 2,
        "intent and outcome"
    );
}

/// Lock power lost at every flash operation of a command, in three tear models: the query answers
/// from the log, the motor never moves again, and a bolt that moved is never called untouched.
#[test]
fn power_lost_at_any_flash_write_of_a_command_moves_the_bolt_at_most_once() {
    let mut states = 0;
    let mut interrupted = 0;
    for tear in [Tear::Before, Tear::RandomTornBits, Tear::PartialErase] {
        for cut in 0.. {
            let mut owned = Owned::new(100 + cut);
            let statement = owned.sign(Action::Unlock);
            owned.home.cut_after(cut, tear, cut + 1);
            let live = owned.hub.command(&mut owned.home, &statement);
            if !owned.home.chip.0.borrow().is_dead() {
                assert_eq!(live.unwrap().verdict, Verdict::Done);
                break;
            }
            states += 1;
            assert!(live.is_none(), "a lock without power answers nothing");
            let started = owned.home.bolt.starts;
            owned.reboot();
            let asked = owned.hub.query(&mut owned.home, &statement).unwrap();
            let again = owned.hub.command(&mut owned.home, &statement).unwrap();
            assert_eq!(
                owned.home.bolt.starts, started,
                "{tear:?} cut {cut}: driven again"
            );
            assert!(started <= 1);
            match asked.verdict {
                Verdict::NotExecuted => {
                    assert_eq!(started, 0, "{tear:?} cut {cut}: moved, and denied");
                    assert_eq!(again.reason, Reason::WrongEpoch);
                }
                Verdict::Failed => {
                    assert_eq!(asked.reason, Reason::Interrupted);
                    interrupted += 1;
                }
                Verdict::Done => assert_eq!(started, 1),
                other => panic!("{tear:?} cut {cut}: {other:?}"),
            }
        }
    }
    assert!(interrupted > 0, "no cut fell between intent and outcome");
    println!("STATES command_power_cuts {states}, of them interrupted {interrupted}");
}

#[test]
fn a_thousand_mixed_commands_move_the_bolt_exactly_as_often_as_they_are_done() {
    let mut owned = Owned::of(Home::with_pages(13, 24));
    let mut dice = Seeded::new(13);
    let mut done = 0;
    for _ in 0..1_000 {
        let action = if dice.below(2) == 0 {
            Action::Lock
        } else {
            Action::Unlock
        };
        let statement = owned.sign(action);
        let copies = 1 + dice.below(4);
        for _ in 0..copies {
            let answer = owned.hub.command(&mut owned.home, &statement).unwrap();
            assert_eq!(answer.verdict, Verdict::Done, "{:?}", answer.reason);
        }
        done += 1;
    }
    assert_eq!(owned.home.bolt.starts, done);
}

#[test]
fn another_peer_without_a_grant_sees_nothing_and_moves_nothing() {
    let mut owned = Owned::new(14);
    let mut stranger = Peer::new(&mut owned.home, 2);
    assert!(stranger.connect(&mut owned.home));
    assert!(!stranger.shake(
        &mut owned.home,
        drawbridge_protocol::hello::Purpose::Session
    ));
    assert!(stranger.denied);
    assert_eq!(owned.home.bolt.starts, 0);
}
