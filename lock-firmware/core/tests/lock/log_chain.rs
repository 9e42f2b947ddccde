//! I4, S18: the log is followed from batches to the signed head, and nobody frees it who may not.
//!
//! Guards: locks whose history an offline guest can push out (Ho et al. 2016), and logs that fill
//! up and lock their owner out.

use drawbridge_lock::flash::model::Tear;
use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::command::Action;
use drawbridge_protocol::grant::Rights;
use drawbridge_protocol::ids::{Digest32, LockId, OwnershipId};
use drawbridge_protocol::keys::IdentitySecret;
use drawbridge_protocol::log_record::{ChainError, LogCursor, LogEvent, LogRecord};
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::report::Report;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub, LogRecords};

use crate::bench::{Home, Owned, refusal};
use crate::lane::print_states;

/// Records from `from` on, and the number of the newest one, from one batch.
fn batch(owned: &mut Owned, from: u64) -> (Vec<Vec<u8>>, u64) {
    let said = owned.hub.ask(&mut owned.home, &HubToLock::LogPull { from });
    let Ok(LockToHub::LogBatch {
        newest, records, ..
    }) = LockToHub::decode(&said[0])
    else {
        panic!("no batch: {:?}", refusal(&said));
    };
    let records = LogRecords::new(records).map(|record| record.unwrap().to_vec());
    (records.collect(), newest)
}

/// Pulls from the cursor on until it stands at the newest record; what was followed.
fn pull(owned: &mut Owned, cursor: &mut LogCursor) -> Result<Vec<Vec<u8>>, ChainError> {
    let mut followed = Vec::new();
    loop {
        let (records, newest) = batch(owned, cursor.seq + 1);
        for record in records {
            cursor.follow(&record)?;
            followed.push(record);
        }
        if cursor.seq >= newest {
            return Ok(followed);
        }
    }
}

/// Every record that the log still has.
pub(crate) fn everything(owned: &mut Owned) -> Vec<Vec<u8>> {
    let from = owned.home.lock().status().log_oldest;
    let (mut all, mut next) = (Vec::new(), from);
    loop {
        let (records, newest) = batch(owned, next);
        let got = records.len() as u64;
        all.extend(records);
        next += got;
        if next > newest || got == 0 {
            return all;
        }
    }
}

fn head_stands(owned: &mut Owned, cursor: &LogCursor) -> bool {
    let info = owned.hub.session_info(&mut owned.home);
    (info.log_seq, info.log_head) == (Some(cursor.seq), Some(cursor.head))
}

pub(crate) fn ack(owned: &Owned, seq: u64, head: Digest32) -> AuditAck {
    AuditAck {
        lock: owned.home.factory.lock,
        ownership: owned.ownership,
        seq,
        head,
    }
}

pub(crate) fn acknowledge(
    owned: &mut Owned,
    ack: &AuditAck,
    by: &IdentitySecret,
) -> Result<u64, Reason> {
    let statement = ack.sign(by, &mut [0; 724]).unwrap().to_vec();
    let request = HubToLock::AuditAck {
        statement: &statement,
    };
    let said = owned.hub.ask(&mut owned.home, &request);
    match LockToHub::decode(&said[0]) {
        Ok(LockToHub::Freed { up_to }) => Ok(up_to),
        _ => Err(refusal(&said).unwrap()),
    }
}

/// Locks and unlocks by the owner's command until `until` says stop; how many commands were done.
fn work(owned: &mut Owned, mut until: impl FnMut(&mut Owned) -> bool) -> u32 {
    for done in 0..2_000 {
        if until(owned) {
            return done;
        }
        let statement = owned.sign([Action::Lock, Action::Unlock][done as usize % 2]);
        let outcome = owned.hub.command(&mut owned.home, &statement).unwrap();
        assert_eq!(
            outcome.verdict,
            Verdict::Done,
            "command {done}: {:?}",
            outcome.reason
        );
    }
    panic!("never stopped");
}

fn event(record: &[u8]) -> LogEvent {
    LogRecord::decode(record).unwrap().event
}

#[test]
fn r7_chain_is_followed_over_reboots_to_the_signed_head() {
    let mut owned = Owned::new(1);
    let mut cursor = LogCursor::START;
    for _ in 0..3 {
        let mut commands = 0;
        work(&mut owned, |_| {
            commands += 1;
            commands > 12
        });
        let before = cursor.seq;
        pull(&mut owned, &mut cursor).unwrap();
        assert!(cursor.seq > before + 24);
        assert!(head_stands(&mut owned, &cursor));
        owned.reboot();
    }
    // A changed or a left out record shows.
    let all = everything(&mut owned);
    for index in 1..all.len() {
        let mut cursor = LogCursor::START;
        let mut changed = all.clone();
        changed.remove(index - 1);
        let followed = changed
            .iter()
            .try_for_each(|record| cursor.follow(record).map(|_| ()));
        assert!(
            matches!(followed, Err(ChainError::Gap { .. })),
            "left out {index}"
        );
    }
}

#[test]
fn i4_log_is_freed_only_by_the_audit_key_for_the_right_head() {
    let mut owned = Owned::new(2);
    work(&mut owned, |owned| {
        owned.home.lock().status().log_used >= 40
    });
    let mut cursor = LogCursor::START;
    pull(&mut owned, &mut cursor).unwrap();
    let right = ack(&owned, cursor.seq, cursor.head);
    let (audit, owner, hub) = (
        owned.audit.clone(),
        owned.owner.clone(),
        owned.hub.identity.clone(),
    );
    let before = owned.home.lock().status();
    let wrong: [(Reason, AuditAck, &IdentitySecret); 7] = [
        (Reason::Signature, right.clone(), &owner),
        (Reason::Signature, right.clone(), &hub),
        (
            Reason::WrongLock,
            AuditAck {
                lock: LockId([1; 8]),
                ..right.clone()
            },
            &audit,
        ),
        (
            Reason::Revoked,
            AuditAck {
                ownership: OwnershipId([1; 8]),
                ..right.clone()
            },
            &audit,
        ),
        (
            Reason::WrongHead,
            AuditAck {
                head: Digest32([1; 32]),
                ..right.clone()
            },
            &audit,
        ),
        (
            Reason::WrongHead,
            AuditAck {
                seq: right.seq - 1,
                ..right.clone()
            },
            &audit,
        ),
        (
            Reason::WrongHead,
            AuditAck {
                seq: u64::MAX,
                ..right.clone()
            },
            &audit,
        ),
    ];
    for (reason, ack, by) in wrong {
        assert_eq!(acknowledge(&mut owned, &ack, by), Err(reason), "{ack:?}");
        assert_eq!(owned.home.lock().status().log_oldest, before.log_oldest);
    }
    assert!(!owned.home.lock().is_halted());
    assert_eq!(acknowledge(&mut owned, &right, &audit), Ok(cursor.seq));
    let after = owned.home.lock().status();
    assert!(after.log_oldest > before.log_oldest && after.log_used < before.log_used);
    assert!(after.log_oldest <= cursor.seq, "the newest record stays");
    // That it was freed, by whom and how far, is the next record; the same again is none.
    let told = pull(&mut owned, &mut cursor).unwrap();
    let told = LogRecord::decode(&told[0]).unwrap();
    assert_eq!(
        (told.event, told.count, told.actor),
        (LogEvent::Freed, Some(right.seq), Some(audit.public()))
    );
    for _ in 0..3 {
        assert_eq!(acknowledge(&mut owned, &right, &audit), Ok(right.seq));
    }
    assert!(head_stands(&mut owned, &cursor));
    // The chain goes on over the freed part, also after a reboot.
    owned.reboot();
    let statement = owned.sign(Action::Lock);
    owned.hub.command(&mut owned.home, &statement).unwrap();
    pull(&mut owned, &mut cursor).unwrap();
    assert!(head_stands(&mut owned, &cursor));
}

#[test]
fn full_log_refuses_guests_and_lets_the_owner_act_with_a_visible_gap() {
    let mut owned = Owned::of(Home::with_pages(3, 20));
    owned.grant = owned.grant_for(&owned.hub.keys(), Rights::VIEW.union(Rights::LOCK));
    let mut cursor = LogCursor::START;
    pull(&mut owned, &mut cursor).unwrap();
    work(&mut owned, |owned| {
        owned.home.lock().status().log_used >= 90
    });
    let oldest = owned.home.lock().status().log_oldest;
    assert_eq!(oldest, 1, "nothing was given up for want of an ack");
    let guest = owned.sign_by_hub(Action::Lock);
    let starts = owned.home.bolt.starts;
    let refused = owned.hub.command(&mut owned.home, &guest).unwrap();
    assert_eq!(
        (refused.verdict, refused.reason),
        (Verdict::Refused, Reason::LogFull)
    );
    assert_eq!(owned.home.bolt.starts, starts, "moved without an intent");
    // The owner goes on, and what was lost is counted and shows as a gap.
    work(&mut owned, |owned| {
        owned.home.lock().status().log_oldest > cursor.seq + 1
    });
    let lost = owned.home.lock().status().log_oldest - 1;
    let all = everything(&mut owned);
    let counted: u64 = all
        .iter()
        .map(|record| LogRecord::decode(record).unwrap())
        .filter(|record| record.event == LogEvent::Overwritten)
        .map(|record| record.count.unwrap())
        .sum();
    assert_eq!(counted, lost);
    let gap = pull(&mut owned, &mut cursor.clone());
    assert!(matches!(gap, Err(ChainError::Gap { .. })), "{gap:?}");
    // Freed again: guests are back.
    let last = all.last().unwrap();
    let right = ack(
        &owned,
        LogRecord::decode(last).unwrap().seq,
        Digest32::of(last),
    );
    let audit = owned.audit.clone();
    acknowledge(&mut owned, &right, &audit).unwrap();
    let guest = owned.sign_by_hub(Action::Lock);
    let done = owned.hub.command(&mut owned.home, &guest).unwrap();
    assert_eq!(done.verdict, Verdict::Done);
}

#[test]
fn outcome_finds_room_wherever_the_log_fills_up() {
    // The log is filled to a different byte each time; every intent has its outcome right after it.
    for offset in 0..24 {
        let mut owned = Owned::of(Home::with_pages(40 + offset, 8));
        for _ in 0..offset {
            owned.home.boot().unwrap();
        }
        owned.home.pass_time(10_000);
        owned.rejoin();
        let mut commands = 0;
        work(&mut owned, |_| {
            commands += 1;
            commands > 60
        });
        owned.reboot();
        let all = everything(&mut owned);
        assert!(
            all.iter()
                .any(|record| event(record) == LogEvent::Overwritten)
        );
        let mut cursor = LogCursor {
            seq: LogRecord::decode(&all[0]).unwrap().seq,
            head: Digest32::of(&all[0]),
        };
        for pair in all.windows(2) {
            cursor.follow(&pair[1]).unwrap();
            if event(&pair[0]) == LogEvent::Intent {
                let after = all.iter().map(|record| LogRecord::decode(record).unwrap());
                let intent = LogRecord::decode(&pair[0]).unwrap();
                let mut outcomes = after.filter(|record| {
                    record.event == LogEvent::Outcome && record.command == intent.command
                });
                assert!(
                    outcomes.next().is_some(),
                    "offset {offset}: intent {}",
                    intent.seq
                );
            }
        }
        assert!(head_stands(&mut owned, &cursor), "offset {offset}");
    }
}

/// F13, I4. Guards: an acknowledgement under which power is lost, and that takes records with it
/// which nobody acknowledged, or the end of the chain.
#[test]
fn f13_power_cut_at_any_flash_operation_of_freeing_loses_nothing_that_was_not_freed() {
    let mut owned = Owned::of(Home::with_pages(7, 10));
    work(&mut owned, |owned| {
        owned.home.lock().status().log_used >= 60
    });
    let mut cursor = LogCursor::START;
    let records = pull(&mut owned, &mut cursor).unwrap();
    // Not the newest: what is behind it must stay.
    let at = records.len() - 10;
    let right = ack(&owned, at as u64, Digest32::of(&records[at - 1]));
    let (audit, before) = (owned.audit.clone(), owned.home.lock().status());
    let cells = owned.home.chip.0.borrow().as_bytes().to_vec();
    let (mut states, mut untold) = (0, 0);
    for tear in Tear::ALL {
        for cut in 0.. {
            let chip = owned.home.chip.clone();
            chip.0.borrow_mut().as_mut_bytes().copy_from_slice(&cells);
            owned.reboot();
            owned.home.cut_after(cut, tear, cut + 1);
            let statement = right.sign(&audit, &mut [0; 724]).unwrap().to_vec();
            let request = HubToLock::AuditAck {
                statement: &statement,
            };
            let answered = owned.hub.ask(&mut owned.home, &request);
            if !owned.home.is_dead() {
                assert!(!answered.is_empty());
                break;
            }
            states += 1;
            assert!(answered.is_empty(), "a lock without power answers nothing");
            owned.reboot();
            let status = owned.home.lock().status();
            assert!(status.log_oldest <= right.seq, "{tear:?} cut {cut}");
            let all = everything(&mut owned);
            let mut cursor = LogCursor {
                seq: LogRecord::decode(&all[0]).unwrap().seq,
                head: Digest32::of(&all[0]),
            };
            assert_eq!(cursor.seq, status.log_oldest);
            for record in &all[1..] {
                cursor.follow(record).unwrap();
            }
            assert!(head_stands(&mut owned, &cursor), "{tear:?} cut {cut}");
            let told = all.iter().any(|record| event(record) == LogEvent::Freed);
            assert!(!told || status.log_oldest > before.log_oldest);
            untold += u64::from(!told && status.log_oldest > before.log_oldest);
        }
    }
    assert!(states > 5 && untold > 0, "{states} {untold}");
    print_states("freeing_power_cuts", states);
}

#[test]
fn reports_warn_from_seventy_percent_on() {
    let mut owned = Owned::new(4);
    work(&mut owned, |owned| {
        owned.home.lock().status().log_used >= 70
    });
    let said = owned.hub.ask(&mut owned.home, &HubToLock::ReportRequest);
    let Ok(LockToHub::Report { statement }) = LockToHub::decode(&said[0]) else {
        panic!("no report");
    };
    let report = Report::verify(statement, &owned.home.factory.identity.public()).unwrap();
    assert!((70..90).contains(&report.log_used), "{}", report.log_used);
}

#[test]
fn boot_loop_cannot_flush_the_log() {
    let mut owned = Owned::of(Home::with_pages(5, 8));
    for _ in 0..400 {
        owned.home.boot().unwrap();
    }
    let status = owned.home.lock().status();
    assert_eq!(status.log_oldest, 1);
    assert!(status.log_used <= 95, "{}", status.log_used);
    owned.home.pass_time(10_000);
    owned.rejoin();
    assert_eq!(event(&everything(&mut owned)[1]), LogEvent::Claimed);
    let statement = owned.sign(Action::Unlock);
    assert_eq!(
        owned
            .hub
            .command(&mut owned.home, &statement)
            .unwrap()
            .verdict,
        Verdict::Done
    );
}

#[test]
fn s04_failures_of_strangers_are_one_record_with_a_count() {
    let mut owned = Owned::new(6);
    let before = owned.home.lock().status().log_newest;
    for _ in 0..500 {
        let link = drawbridge_lock::LinkId(2);
        assert!(owned.home.link_up(link));
        owned.home.packet(link, &[0xff; 20]);
    }
    owned.home.packets.clear();
    owned.home.pass_time(600_000);
    assert_eq!(owned.home.lock().status().log_newest, before + 1);
    owned.home.pass_time(600_000);
    assert_eq!(
        owned.home.lock().status().log_newest,
        before + 1,
        "nothing new, no record"
    );
    // The report that followed the record.
    owned.hub.receive(&mut owned.home);
    let all = everything(&mut owned);
    let last = LogRecord::decode(all.last().unwrap()).unwrap();
    assert_eq!((last.event, last.count), (LogEvent::Strangers, Some(500)));
}

/// S02, S04. Guards: an alarm that lies in the lock until somebody happens to use the door. The
/// report that names the new head is what makes the hub fetch the record.
#[test]
fn s02_strangers_written_down_are_reported_to_those_who_may_view() {
    let mut owned = Owned::new(47);
    let stranger = drawbridge_lock::LinkId(9);
    assert!(owned.home.link_up(stranger));
    owned.home.packet(stranger, &[0xff; 20]);
    let now = owned.home.now;
    owned.home.lock().link_down(stranger, now);
    owned.hub.receive(&mut owned.home);
    let before = owned.home.lock().status().log_newest;
    owned.home.pass_time(600_000);
    let said = owned.hub.receive(&mut owned.home);
    let [LockToHub::Report { statement }] = said
        .iter()
        .map(|said| LockToHub::decode(said).unwrap())
        .collect::<Vec<_>>()[..]
    else {
        panic!("no report came by itself: {said:?}");
    };
    let report = Report::verify(statement, &owned.home.factory.identity.public()).unwrap();
    assert_eq!(report.log_seq, before + 1);
}
