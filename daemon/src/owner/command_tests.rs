use drawbridge_protocol::report::Position;

use super::super::keys::{Kernel, OwnerBook};
use super::super::test_lock::TestLock;
use super::*;

const NONCE: Nonce = Nonce([4; 16]);

fn scene() -> (TestLock, LockRecord, OwnerBook) {
    let lock = TestLock::new(3);
    let book = OwnerBook::new(&mut Kernel);
    let record = lock.owned_record("Front", &book);
    (lock, record, book)
}

fn fresh(lock: &TestLock, record: &LockRecord) -> FreshInfo {
    FreshInfo::verify(record, NONCE, &lock.signed_info(record, Some(NONCE))).unwrap()
}

// Guards: a command the lock would refuse: old counter, other epoch, too long a life.
#[test]
fn command_follows_from_the_info_it_is_signed_on() {
    let (lock, record, book) = scene();
    let info = fresh(&lock, &record);
    let signed = SignedCommand::new(&book.keys, &info, Action::Unlock, 20_000).unwrap();
    let read = Command::read(&signed.bytes).unwrap();
    read.verify(&book.keys.identity.public()).unwrap();
    assert_eq!(read.id, signed.id);
    let said = info.info();
    let expected = Command {
        lock: lock.id,
        action: Action::Unlock,
        epoch: said.epoch,
        counter: said.counter + 1,
        log_position: said.log_seq.unwrap(),
        expiry_ms: said.time_ms + 20_000,
        grant: None,
    };
    assert_eq!(read.command, expected);
    for bad in [0, 60_001, u64::MAX] {
        assert_eq!(
            SignedCommand::new(&book.keys, &info, Action::Lock, bad),
            Err(SignError::Lifetime(bad))
        );
    }
}

// Guards (S02, S25): a relay that answers with an old, a foreign or a forged session info, so that
// what is signed on it could be held back and used later.
#[test]
fn s02_nothing_is_signed_on_info_that_is_not_fresh_and_ours() {
    let (lock, record, _) = scene();
    let verify = |bytes: &[u8]| FreshInfo::verify(&record, NONCE, bytes);
    assert_eq!(
        verify(&lock.signed_info(&record, Some(Nonce([5; 16])))),
        Err(SignError::NotFresh)
    );
    assert_eq!(
        verify(&lock.signed_info(&record, None)),
        Err(SignError::NotFresh)
    );
    let stranger = TestLock::new(4);
    assert!(matches!(
        verify(&stranger.signed_info(&record, Some(NONCE))),
        Err(SignError::Info(_))
    ));
    let other_owner = lock.owned_record("x", &OwnerBook::new(&mut Kernel));
    assert_eq!(
        verify(&lock.signed_info(&other_owner, Some(NONCE))),
        Err(SignError::NotOurs)
    );
    let mut info = lock.info(&record, Some(NONCE));
    info.lock = LockId([0xab; 8]);
    assert_eq!(verify(&lock.sign(&info)), Err(SignError::OtherLock));
    let never_proven = lock.record("pending");
    info.lock = lock.id;
    info.ownership = None;
    assert_eq!(
        FreshInfo::verify(&never_proven, NONCE, &lock.sign(&info)),
        Err(SignError::NotOurs)
    );
    let good = lock.signed_info(&record, Some(NONCE));
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(verify(&bad).is_err(), "bit flipped in byte {at}");
    }
}

// Guards (I3): a second unlock signed because a hub said, by itself, that the first one came to nothing.
#[test]
fn i3_only_the_locks_own_no_lets_a_second_command_be_signed() {
    let (lock, record, book) = scene();
    let info = fresh(&lock, &record);
    let sent = SignedCommand::new(&book.keys, &info, Action::Unlock, 9_000).unwrap();
    assert_eq!(judge(&record, &sent, None), Judgement::Hearsay);
    let verdicts = [
        Verdict::Done,
        Verdict::Failed,
        Verdict::Refused,
        Verdict::Expired,
        Verdict::NotExecuted,
        Verdict::Forgotten,
        Verdict::NotSeen,
        Verdict::Other(99),
    ];
    for verdict in verdicts {
        for number in 0..=u8::MAX {
            let reason = Reason::from_number(number).unwrap_or(Reason::Other(number));
            let report = lock.signed_outcome(&record, sent.id, verdict, reason);
            let Judgement::Settled(settled) = judge(&record, &sent, Some(&report)) else {
                panic!("{verdict:?} {reason:?} is the lock's word")
            };
            let allowed = matches!(
                (verdict, reason),
                (
                    Verdict::Refused | Verdict::Expired | Verdict::NotExecuted,
                    Reason::WrongEpoch | Reason::Counter
                )
            );
            assert_eq!(settled.may_sign_anew(), allowed, "{verdict:?} {reason:?}");
            assert_eq!(settled.outcome.position, Position::Locked);
        }
    }
    let other = lock.signed_outcome(
        &record,
        CommandId([1; 16]),
        Verdict::Refused,
        Reason::Counter,
    );
    assert_eq!(judge(&record, &sent, Some(&other)), Judgement::Forged);
    let stranger = TestLock::new(9);
    let forged = stranger.signed_outcome(&record, sent.id, Verdict::Refused, Reason::Counter);
    assert_eq!(judge(&record, &sent, Some(&forged)), Judgement::Forged);
}
