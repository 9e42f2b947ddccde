//! What a lock is after a power loss: what its flash says, or in recovery; never a fresh lock.
//!
//! Guards: locks that call themselves unowned because a record did not read, or that deny a command
//! whose record is gone.

use drawbridge_lock::BootError;
use drawbridge_lock::flash::model::Tear;
use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::ids::Digest32;
use drawbridge_protocol::log_record::{LogEvent, LogRecord};
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::report::{Cause, Position};
use drawbridge_protocol::tunnel::{HubToLock, LockToHub, LogRecords};

use crate::bench::{Home, Owned, Seeded};
use crate::lane::{print_count, print_states, rounds};

/// Pages of the critical record store, and bytes in a page.
const STORE: usize = 4 * 4_096;

fn newest_records(owned: &mut Owned, count: u64) -> Vec<Vec<u8>> {
    let newest = owned.home.lock().status().log_newest;
    let from = newest + 1 - count;
    let read = |seq| {
        let said = owned
            .hub
            .ask(&mut owned.home, &HubToLock::LogPull { from: seq });
        let Ok(LockToHub::LogBatch { records, .. }) = LockToHub::decode(&said[0]) else {
            panic!("no batch");
        };
        LogRecords::new(records).next().unwrap().unwrap().to_vec()
    };
    (from..=newest).map(read).collect()
}

#[test]
fn i5_boot_count_rises_and_epochs_never_repeat() {
    let mut owned = Owned::new(1);
    let mut epochs = Vec::new();
    for boot in 1..=50 {
        let status = owned.home.lock().status();
        assert_eq!(status.boot, boot);
        epochs.push(status.epoch);
        owned.home.boot().unwrap();
    }
    epochs.sort();
    epochs.dedup();
    assert_eq!(epochs.len(), 50);
}

#[test]
fn interrupted_auto_relock_gets_an_outcome_with_the_sensed_position() {
    let (mut states, mut interrupted) = (0, 0);
    for tear in Tear::ALL {
        for cut in 0.. {
            let mut owned = Owned::new(100 + cut);
            owned.home.settings.auto_relock_ms = Some(5_000);
            owned.reboot();
            let statement = owned.sign(Action::Unlock);
            owned.hub.command(&mut owned.home, &statement).unwrap();
            let newest = owned.home.lock().status().log_newest;
            owned.home.cut_after(cut, tear, cut + 1);
            owned.home.pass_time(5_000);
            if !owned.home.is_dead() {
                break;
            }
            states += 1;
            let starts = owned.home.bolt.starts;
            owned.home.settings.auto_relock_ms = None;
            owned.reboot();
            assert_eq!(owned.home.bolt.starts, starts, "driven again at boot");
            let written = owned.home.lock().status().log_newest - newest;
            let records = newest_records(&mut owned, written);
            let records: Vec<_> = records
                .iter()
                .map(|r| LogRecord::decode(r).unwrap())
                .collect();
            let intents = records
                .iter()
                .filter(|r| r.event == LogEvent::Intent)
                .count();
            let outcomes: Vec<_> = records
                .iter()
                .filter(|r| r.event == LogEvent::Outcome)
                .collect();
            assert_eq!(intents, outcomes.len(), "{tear:?} cut {cut}");
            if let Some(outcome) = outcomes
                .first()
                .filter(|outcome| outcome.cause == Cause::Boot)
            {
                assert_eq!(outcome.reason, Some(Reason::Interrupted));
                assert_eq!(outcome.position, Some(owned.home.bolt.position));
                interrupted += 1;
            }
        }
    }
    assert!(interrupted > 0);
    print_states("auto_relock_power_cuts", states);
}

#[test]
fn freed_history_makes_an_old_command_forgotten_and_a_new_one_not_executed() {
    let mut owned = Owned::new(2);
    let never_sent = owned.sign(Action::Unlock);
    for round in 0..80 {
        let statement = owned.sign([Action::Lock, Action::Unlock][round % 2]);
        owned.hub.command(&mut owned.home, &statement).unwrap();
    }
    let last = newest_records(&mut owned, 1).pop().unwrap();
    let ack = AuditAck {
        lock: owned.home.factory.lock,
        ownership: owned.ownership,
        seq: LogRecord::decode(&last).unwrap().seq,
        head: Digest32::of(&last),
    };
    let statement = ack.sign(&owned.audit, &mut [0; 724]).unwrap().to_vec();
    owned.hub.ask(
        &mut owned.home,
        &HubToLock::AuditAck {
            statement: &statement,
        },
    );
    let recent = owned.sign(Action::Unlock);
    owned.reboot();
    assert!(owned.home.lock().status().log_oldest > 1);
    let asked = owned.hub.query(&mut owned.home, &never_sent).unwrap();
    assert_eq!(asked.verdict, Verdict::Forgotten);
    let sent = owned.hub.command(&mut owned.home, &never_sent).unwrap();
    assert_eq!(sent.verdict, Verdict::Forgotten);
    let asked = owned.hub.query(&mut owned.home, &recent).unwrap();
    assert_eq!(asked.verdict, Verdict::NotExecuted);
}

/// I3. Guards: a holder who signs on a record far in the future, has the bolt moved, and later gets
/// the lock's signed word that it never was.
#[test]
fn i3_log_position_ahead_of_the_log_moves_nothing_and_denies_nothing() {
    let mut owned = Owned::new(20);
    let info = owned.hub.session_info(&mut owned.home);
    let newest = info.log_seq.unwrap();
    // The first refusal gets a record.
    for (log_position, counter) in [(u64::MAX, 1), (newest + 2, 2)] {
        let command = Command {
            log_position,
            counter,
            ..owned.command_on(&info, Action::Unlock)
        };
        let statement = crate::bench::sign(&command, &owned.owner);
        let refused = owned.hub.command(&mut owned.home, &statement).unwrap();
        assert_eq!(
            (refused.verdict, refused.reason),
            (Verdict::Refused, Reason::WrongHead)
        );
        let again = owned.hub.command(&mut owned.home, &statement).unwrap();
        assert!(again.duplicate, "it may come back to life");
        assert_eq!(owned.home.bolt.starts, 0);
    }
    let command = Command {
        log_position: newest,
        counter: 3,
        ..owned.command_on(&info, Action::Unlock)
    };
    let good = crate::bench::sign(&command, &owned.owner);
    let done = owned.hub.command(&mut owned.home, &good).unwrap();
    assert_eq!(done.verdict, Verdict::Done, "{:?}", done.reason);
    // In a later run nothing final is said about such positions either.
    let ahead = Command {
        log_position: u64::MAX,
        counter: 4,
        ..command
    };
    let statement = crate::bench::sign(&ahead, &owned.owner);
    owned.reboot();
    let asked = owned.hub.query(&mut owned.home, &statement).unwrap();
    assert_eq!(asked.verdict, Verdict::Forgotten);
    let sent = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!(sent.verdict, Verdict::Forgotten);
}

/// I2. Guards: a lock that answers "nobody can tell" to everybody who may not see where its log
/// stands, as soon as its log is older than the index of intents.
#[test]
fn i2_refusal_of_a_holder_without_view_is_final_while_this_run_is_indexed() {
    let mut owned = Owned::new(21);
    for round in 0..70 {
        let statement = owned.sign([Action::Lock, Action::Unlock][round % 2]);
        owned.hub.command(&mut owned.home, &statement).unwrap();
    }
    owned.reboot();
    let blind = |owned: &mut Owned| {
        let holder = owned.hub.identity.public();
        let info = owned.hub.session_info_of(&mut owned.home, Some(holder));
        let command = Command {
            log_position: 0,
            expiry_ms: info.time_ms + 5_000,
            grant: Some(Digest32::of(&owned.grant)),
            ..owned.command_on(&info, Action::Unlock)
        };
        crate::bench::sign(&command, &owned.hub.identity)
    };
    let statement = blind(&mut owned);
    let refused = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!(
        (refused.verdict, refused.reason),
        (Verdict::Refused, Reason::NoRight)
    );
    let of_this_run = blind(&mut owned);
    owned.home.pass_time(5_000);
    let asked = owned.hub.query(&mut owned.home, &of_this_run).unwrap();
    assert_eq!(asked.verdict, Verdict::NotExecuted);
    // When the index has lost something of this run, or the run is over, nobody can tell.
    let statement = blind(&mut owned);
    for round in 0..70 {
        let statement = owned.sign([Action::Lock, Action::Unlock][round % 2]);
        owned.hub.command(&mut owned.home, &statement).unwrap();
    }
    let asked = owned.hub.command(&mut owned.home, &statement).unwrap();
    assert_eq!(asked.verdict, Verdict::Forgotten);
    owned.reboot();
    let asked = owned.hub.query(&mut owned.home, &of_this_run).unwrap();
    assert_eq!(asked.verdict, Verdict::Forgotten);
    assert_eq!(owned.home.bolt.starts, 140);
}

#[test]
fn damaged_intent_is_a_hole_in_the_log_and_not_a_denial() {
    let mut owned = Owned::new(3);
    let statement = owned.sign(Action::Unlock);
    owned.hub.command(&mut owned.home, &statement).unwrap();
    for action in [Action::Lock, Action::Unlock] {
        let later = owned.sign(action);
        owned.hub.command(&mut owned.home, &later).unwrap();
    }
    // One bit of the evidence rots.
    {
        let mut chip = owned.home.chip.0.borrow_mut();
        let cells = chip.as_mut_bytes();
        let at = cells
            .windows(statement.len())
            .position(|window| window == statement)
            .unwrap();
        let byte = at + (0..40).find(|offset| cells[at + offset] != 0).unwrap();
        cells[byte] &= cells[byte] - 1;
    }
    owned.reboot();
    let asked = owned.hub.query(&mut owned.home, &statement).unwrap();
    assert_eq!(
        asked.verdict,
        Verdict::Forgotten,
        "it moved the bolt, and is denied"
    );
    let fresh = owned.sign(Action::Lock);
    assert_eq!(
        owned.hub.command(&mut owned.home, &fresh).unwrap().verdict,
        Verdict::Done
    );
}

#[test]
fn f16_damaged_store_is_recovery_or_the_same_owner_and_never_unowned() {
    let (full, seed) = (4_000, 16);
    let ran = rounds(full, 10);
    let mut dice = Seeded::new(seed);
    let owned = Owned::new(seed);
    let good = owned.home.chip.0.borrow().as_bytes().to_vec();
    let used: Vec<usize> = (0..STORE).filter(|at| good[*at] != 0xff).collect();
    let mut home = owned.home;
    let (mut recovery, mut kept) = (0, 0);
    for round in 0..ran {
        let mut cells = good.clone();
        match dice.below(4) {
            // All of it is gone.
            _ if round % 100 == 0 => cells[..STORE].fill(0xff),
            // A whole page is gone.
            0 if dice.below(4) == 0 => {
                let page = dice.below(4) as usize * 4_096;
                cells[page..page + 4_096].fill([0x00, 0xff][dice.below(2) as usize]);
            }
            // A run of bytes, or one bit, of what is written.
            kind => {
                let at = used[dice.below(used.len() as u64) as usize];
                let len = if kind == 1 {
                    dice.below(64) as usize + 1
                } else {
                    1
                };
                for cell in &mut cells[at..(at + len).min(STORE)] {
                    *cell ^= 1 << dice.below(8);
                }
            }
        }
        home.chip
            .0
            .borrow_mut()
            .as_mut_bytes()
            .copy_from_slice(&cells);
        let starts = home.bolt.starts;
        // Twice: what one boot writes down must not make the next one forget the damage.
        let boots = [home.boot(), home.boot()].map(|booted| {
            let owned = || home.lock.as_ref().unwrap().status().owned;
            booted.map(|()| assert!(owned(), "round {round} seed {seed}: unowned"))
        });
        match boots {
            [Ok(()), Ok(())] => kept += 1,
            [Err(BootError::Store), Err(BootError::Store)] => recovery += 1,
            other => panic!("round {round} seed {seed}: {other:?}"),
        }
        assert_eq!(home.bolt.starts, starts);
    }
    assert!(recovery > 0 && kept + recovery == ran);
    print_count("store_damage", ran, full, seed);
}

/// F16. Guards: a start that takes the log for longer than the next one finds it, so that a lock
/// which still worked with its damage does not start any more.
#[test]
fn f16_damaged_log_starts_every_time_or_never_and_no_number_comes_back() {
    let (full, seed) = (4_000, 22);
    let ran = rounds(full, 10);
    let mut dice = Seeded::new(seed);
    let mut owned = Owned::new(seed);
    for round in 0..40 {
        let statement = owned.sign([Action::Lock, Action::Unlock][round % 2]);
        owned.hub.command(&mut owned.home, &statement).unwrap();
    }
    owned.reboot();
    let mut home = owned.home;
    let newest = home.lock().status().log_newest;
    let good = home.chip.0.borrow().as_bytes().to_vec();
    let used: Vec<usize> = (STORE..good.len()).filter(|at| good[*at] != 0xff).collect();
    let (mut recovery, mut started, mut told) = (0, 0, 0);
    for round in 0..ran {
        let mut cells = good.clone();
        for _ in 0..=dice.below(3) {
            let at = used[dice.below(used.len() as u64) as usize];
            match dice.below(8) {
                _ if round % 100 == 0 => cells[STORE..].fill(0xff),
                0 => {
                    let page = at / 4_096 * 4_096;
                    cells[page..page + 4_096].fill([0x00, 0xff, 0xa5][dice.below(3) as usize]);
                }
                kind => {
                    let len = if kind < 4 {
                        dice.below(64) as usize + 1
                    } else {
                        1
                    };
                    let end = (at + len).min(cells.len());
                    for cell in &mut cells[at..end] {
                        *cell ^= 1 << dice.below(8);
                    }
                }
            }
        }
        let chip = home.chip.clone();
        chip.0.borrow_mut().as_mut_bytes().copy_from_slice(&cells);
        let what = format!("round {round} seed {seed}");
        // The very last record may look as if its write had been cut.
        let mut last = newest - 1;
        let boots = [(); 4].map(|()| {
            home.boot().map(|()| {
                let status = home.lock().status();
                assert!(status.owned, "{what}");
                assert!(status.log_newest > last, "{what}: numbers go back");
                last = status.log_newest;
            })
        });
        assert!(
            boots.iter().all(|boot| *boot == boots[0]),
            "{what}: {boots:?}"
        );
        match boots[0] {
            Ok(()) => started += 1,
            Err(BootError::Log) => recovery += 1,
            other => panic!("{what}: {other:?}"),
        }
        told += u64::from(last > newest + 4);
    }
    assert!(told > ran / 2, "damage was told in {told} of {ran} rounds");
    assert_eq!(recovery + started, ran);
    print_count("log_damage", ran, full, seed);
}

/// F16. Guards: a lock whose log is gone, which numbers anew from 1 and signs that what it did was
/// never done, because a new log knows of nothing.
#[test]
fn f16_lost_log_is_recovery_and_never_a_denial() {
    let mut owned = Owned::new(17);
    let at_claim = owned.home.chip.0.borrow().as_bytes().to_vec();
    let work = |owned: &mut Owned| {
        for round in 0..30 {
            let statement = owned.sign([Action::Lock, Action::Unlock][round % 2]);
            owned.hub.command(&mut owned.home, &statement).unwrap();
        }
    };
    work(&mut owned);
    owned.reboot();
    let whole = owned.home.chip.0.borrow().as_bytes().to_vec();
    let blank = vec![0xff; whole.len()];
    for (what, log) in [("blank", &blank), ("of the day of the claim", &at_claim)] {
        let mut cells = whole.clone();
        cells[STORE..].copy_from_slice(&log[STORE..]);
        let chip = owned.home.chip.clone();
        chip.0.borrow_mut().as_mut_bytes().copy_from_slice(&cells);
        for boot in 1..=3 {
            assert_eq!(
                owned.home.boot(),
                Err(BootError::Log),
                "{what}, boot {boot}"
            );
        }
    }
    // Before the first boot after a claim it is the claim that is missed.
    let mut fresh = Owned::new(18);
    fresh.home.chip.0.borrow_mut().as_mut_bytes()[STORE..].fill(0xff);
    assert_eq!(fresh.home.boot(), Err(BootError::Log));
    // The same cells with their log are a lock like any other.
    let chip = owned.home.chip.clone();
    chip.0.borrow_mut().as_mut_bytes().copy_from_slice(&whole);
    owned.reboot();
}

/// F16. Guards: a page of the log that went bad, that nobody is told of, and whose commands are
/// called undone.
#[test]
fn f16_lost_page_of_the_log_is_told_and_its_commands_are_not_denied() {
    let mut owned = Owned::new(19);
    let mut last = Vec::new();
    for round in 0..30 {
        last = owned.sign([Action::Lock, Action::Unlock][round % 2]);
        owned.hub.command(&mut owned.home, &last).unwrap();
    }
    let newest = owned.home.lock().status().log_newest;
    let good = owned.home.chip.0.borrow().as_bytes().to_vec();
    let pages: Vec<_> = (STORE..good.len())
        .step_by(4_096)
        .filter(|at| good[*at..at + 4_096] != [0xff; 4_096])
        .collect();
    assert!(pages.len() > 2, "{pages:?}");
    for (what, pages) in [
        ("the newest page", &pages[pages.len() - 1..]),
        ("a page in the middle", &pages[1..2]),
    ] {
        let mut cells = good.clone();
        for at in pages {
            cells[at + 64..at + 4_096].fill(0x55);
        }
        let chip = owned.home.chip.clone();
        chip.0.borrow_mut().as_mut_bytes().copy_from_slice(&cells);
        owned.reboot();
        let status = owned.home.lock().status();
        assert!(status.log_newest > newest, "{what}: a number came back");
        let damaged = newest_records(&mut owned, 2).swap_remove(0);
        let damaged = LogRecord::decode(&damaged).unwrap();
        assert_eq!(damaged.event, LogEvent::LogDamaged, "{what}");
        assert!(damaged.count.is_some_and(|places| places > 0), "{what}");
        let asked = owned.hub.query(&mut owned.home, &last).unwrap();
        if what == "the newest page" {
            assert_eq!(asked.verdict, Verdict::Forgotten, "it moved the bolt");
        } else {
            assert_eq!(asked.verdict, Verdict::Done);
        }
    }
}

#[test]
fn f13_power_cut_at_any_flash_operation_of_a_boot_is_made_good_by_the_next() {
    let mut states = 0;
    for tear in Tear::ALL {
        for cut in 0.. {
            let mut owned = Owned::new(200 + cut);
            // Power is lost under the motor, then again while the boot writes that down.
            let statement = owned.sign(Action::Unlock);
            owned.home.stalled = true;
            owned.hub.ask(
                &mut owned.home,
                &HubToLock::Command {
                    statement: &statement,
                },
            );
            owned.home.stalled = false;
            owned.home.bolt.position = Position::Jammed;
            let interrupted = owned.home.boot_with_cut(cut, tear, cut + 1);
            if !owned.home.is_dead() {
                interrupted.unwrap();
                break;
            }
            states += 1;
            assert_eq!(
                interrupted.err(),
                Some(BootError::PowerLost),
                "{tear:?} cut {cut}"
            );
            owned.home.boot().unwrap();
            owned.rejoin();
            let asked = owned.hub.query(&mut owned.home, &statement).unwrap();
            assert_eq!(
                (asked.verdict, asked.reason),
                (Verdict::Failed, Reason::Interrupted)
            );
            assert_eq!(owned.home.bolt.starts, 1);
        }
    }
    assert!(states > 10);
    print_states("boot_power_cuts", states);
}

#[test]
fn command_counts_from_any_boot_are_numbers_and_nothing_overflows() {
    let mut owned = Owned::new(4);
    owned.home.pass_time(1_000_000);
    let info = owned.hub.session_info(&mut owned.home);
    let numbers = [0, 1, u64::MAX - 1, u64::MAX];
    for expiry_ms in numbers {
        for log_position in numbers {
            for counter in [0, 1, u64::MAX - 1] {
                let command = Command {
                    counter,
                    log_position,
                    expiry_ms,
                    ..owned.command_on(&info, Action::Unlock)
                };
                let statement = crate::bench::sign(&command, &owned.owner);
                assert!(owned.hub.query(&mut owned.home, &statement).is_some());
                assert!(owned.hub.command(&mut owned.home, &statement).is_some());
            }
        }
    }
    assert_eq!(owned.home.bolt.starts, 0);
    for request in [
        HubToLock::LogPull { from: u64::MAX },
        HubToLock::LogPull { from: 0 },
        HubToLock::PskStored {
            generation: u32::MAX,
        },
    ] {
        owned.hub.ask(&mut owned.home, &request);
    }
    assert_eq!(owned.home.lock().status().sessions, 1);
}

#[test]
fn home_without_power_answers_nothing_and_leaves_the_bolt_alone() {
    let mut home = Home::new(5);
    home.cut_after(0, Tear::Before, 1);
    home.reset();
    assert!(home.lock().is_halted());
    home.press_button();
    assert!(!home.link_up(drawbridge_lock::LinkId(1)));
    home.pass_time(100_000);
    assert_eq!(home.bolt.starts, 0);
}
