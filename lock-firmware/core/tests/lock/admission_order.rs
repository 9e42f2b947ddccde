//! S07: the order of checks. Of two faults, the one that the specification checks first answers.
//!
//! Guards: a lock whose answer depends on the build, and refusals that leave a command alive because
//! a later check ran before the one that spends its counter.

use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::grant::{Grant, Rights};
use drawbridge_protocol::ids::{Digest32, LockEpoch, LockId};
use drawbridge_protocol::keys::IdentitySecret;
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::session_info::SessionInfo;
use drawbridge_protocol::tunnel::HubToLock;

use crate::bench::{Owned, Peer, outcome, refusal, sign};

/// Faults of a guest's command, in the order in which they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    WrongLock,
    GrantUnknown,
    Signature,
    WrongEpoch,
    NoRight,
    Expiry,
    Counter,
    Busy,
    Battery,
}

impl Fault {
    const ALL: [Self; 9] = [
        Self::WrongLock,
        Self::GrantUnknown,
        Self::Signature,
        Self::WrongEpoch,
        Self::NoRight,
        Self::Expiry,
        Self::Counter,
        Self::Busy,
        Self::Battery,
    ];

    fn reason(self, expired: bool) -> Reason {
        match self {
            Self::WrongLock => Reason::WrongLock,
            Self::GrantUnknown => Reason::GrantUnknown,
            Self::Signature => Reason::Signature,
            Self::WrongEpoch => Reason::WrongEpoch,
            Self::NoRight => Reason::NoRight,
            Self::Expiry if expired => Reason::Expired,
            Self::Expiry => Reason::TooFarAhead,
            Self::Counter => Reason::Counter,
            Self::Busy => Reason::Busy,
            Self::Battery => Reason::BatteryLow,
        }
    }

    /// Whether the lock signs the refusal: only once it knows who signed the command.
    fn is_signed(self) -> bool {
        self > Self::Signature
    }

    /// Whether the counter is spent: what is checked after the revocation.
    fn spends(self) -> bool {
        self > Self::WrongEpoch
    }
}

/// A guest who may lock, carried by the hub.
struct Guest {
    identity: IdentitySecret,
    grant: Digest32,
}

fn guest(owned: &mut Owned, rights: Rights) -> Guest {
    let peer = Peer::new(&mut owned.home, 5);
    let statement = owned.grant_for(&peer.keys(), rights);
    let said = owned.hub.ask(
        &mut owned.home,
        &HubToLock::PresentGrant {
            statement: &statement,
        },
    );
    assert_eq!(refusal(&said), None);
    Guest {
        identity: peer.identity,
        grant: Digest32::of(&statement),
    }
}

fn info(owned: &mut Owned, guest: &Guest) -> SessionInfo {
    let key = guest.identity.public();
    owned.hub.session_info_of(&mut owned.home, Some(key))
}

fn command(owned: &mut Owned, guest: &Guest, action: Action) -> Command {
    let info = info(owned, guest);
    Command {
        grant: Some(guest.grant),
        ..owned.command_on(&info, action)
    }
}

/// Makes the motor busy: the bolt does not answer, so the command stays under way.
fn start_motor(owned: &mut Owned) {
    let statement = owned.sign(Action::Unlock);
    owned.home.stalled = true;
    let said = owned.hub.ask(
        &mut owned.home,
        &HubToLock::Command {
            statement: &statement,
        },
    );
    assert!(outcome(&owned.home, &said).is_none());
    assert!(owned.home.lock().status().moving);
}

#[test]
fn s07_of_any_two_faults_the_earlier_check_answers_and_spends_as_stated() {
    let mut pairs = 0;
    for (i, first) in Fault::ALL.into_iter().enumerate() {
        for second in Fault::ALL.into_iter().skip(i) {
            for expired in [false, true] {
                let what = format!("{first:?} and {second:?}, expired {expired}");
                let mut owned = Owned::new(i as u64 + 1);
                owned.home.pass_time(100_000);
                let guest = guest(&mut owned, Rights::LOCK);
                // One good command, so that there is a counter to fall behind.
                let good = command(&mut owned, &guest, Action::Lock);
                let statement = sign(&good, &guest.identity);
                owned.hub.command(&mut owned.home, &statement).unwrap();

                let mut faulty = command(&mut owned, &guest, Action::Lock);
                faulty.counter += 10;
                let mut signer = guest.identity.clone();
                let both = [Some(first), (second != first).then_some(second)];
                for fault in both.into_iter().flatten() {
                    match fault {
                        Fault::WrongLock => faulty.lock = LockId([1; 8]),
                        Fault::GrantUnknown => faulty.grant = Some(Digest32([1; 32])),
                        Fault::Signature => signer = IdentitySecret::from_bytes(&[8; 32]),
                        Fault::WrongEpoch => faulty.epoch = LockEpoch([1; 16]),
                        Fault::NoRight => faulty.action = Action::Unlock,
                        Fault::Expiry if expired => faulty.expiry_ms = owned.home.now,
                        Fault::Expiry => faulty.expiry_ms = owned.home.now + 60_001,
                        Fault::Counter => faulty.counter = good.counter,
                        Fault::Busy => start_motor(&mut owned),
                        Fault::Battery => {
                            owned.home.battery = 2;
                            let (sensors, now) = (owned.home.sensors(), owned.home.now);
                            owned.home.lock().handle_sensors(sensors, now);
                            owned.home.settle();
                        }
                    }
                }
                let starts = owned.home.bolt.starts;
                let statement = sign(&faulty, &signer);
                let request = HubToLock::Command {
                    statement: &statement,
                };
                let said = owned.hub.ask(&mut owned.home, &request);
                let answer = outcome(&owned.home, &said);
                assert_eq!(answer.is_some(), first.is_signed(), "{what}");
                let reason = answer.as_ref().map(|outcome| outcome.reason);
                assert_eq!(
                    reason.or(refusal(&said)),
                    Some(first.reason(expired)),
                    "{what}"
                );
                assert_eq!(owned.home.bolt.starts, starts, "{what}");
                let counter = info(&mut owned, &guest).counter;
                let spent = if first.spends() {
                    good.counter.max(faulty.counter)
                } else {
                    good.counter
                };
                assert_eq!(counter, spent, "{what}");
                if let Some(answer) = answer {
                    check_repeat(&mut owned, &statement, &answer, first.spends(), &what);
                }
                pairs += 1;
            }
        }
    }
    println!("EVIDENCE admission_fault_pairs {pairs}");
}

/// The same bytes, the same answer; and no later moment makes them good.
fn check_repeat(owned: &mut Owned, statement: &[u8], first: &Outcome, stored: bool, what: &str) {
    owned.home.battery = 90;
    owned.home.stalled = false;
    let sensors = owned.home.sensors();
    owned.home.pass_time(5_000);
    let now = owned.home.now;
    owned.home.lock().handle_sensors(sensors, now);
    owned.home.settle();
    owned.hub.receive(&mut owned.home);
    let starts = owned.home.bolt.starts;
    for _ in 0..3 {
        let again = owned.hub.command(&mut owned.home, statement).unwrap();
        assert_eq!(
            (again.verdict, again.reason),
            (first.verdict, first.reason),
            "{what}"
        );
        assert_eq!(again.duplicate, stored, "{what}");
        owned.home.pass_time(20_000);
    }
    assert_eq!(
        owned.home.bolt.starts, starts,
        "{what}: acted after a final refusal"
    );
}

#[test]
fn refusals_of_an_authentic_holder_reach_the_log_at_a_bounded_rate() {
    // S07: refused *and logged*; I7: a guest cannot fill the log with its failures.
    let mut owned = Owned::new(30);
    let guest = guest(&mut owned, Rights::LOCK);
    let before = owned.home.lock().status().log_newest;
    for _ in 0..100 {
        let command = command(&mut owned, &guest, Action::Unlock);
        let statement = sign(&command, &guest.identity);
        let refused = owned.hub.command(&mut owned.home, &statement).unwrap();
        assert_eq!(refused.reason, Reason::NoRight);
    }
    let written = owned.home.lock().status().log_newest - before;
    assert!(
        (1..=8).contains(&written),
        "{written} records for 100 refusals"
    );
}

#[test]
fn direct_commands_live_ten_seconds_and_carried_ones_sixty() {
    // (who signs, how far ahead, what becomes of it); the hub is the session's peer.
    for (by_hub, ahead, verdict) in [
        (true, 10_000, Verdict::Done),
        (true, 10_001, Verdict::Refused),
        (false, 60_000, Verdict::Done),
        (false, 60_001, Verdict::Refused),
        (false, u64::MAX, Verdict::Refused),
        (false, 0, Verdict::Expired),
    ] {
        let mut owned = Owned::new(31);
        owned.home.pass_time(50_000);
        let holder = by_hub.then(|| owned.hub.identity.public());
        let info = owned.hub.session_info_of(&mut owned.home, holder);
        let mut command = owned.command_on(&info, Action::Lock);
        command.expiry_ms = owned.home.now.saturating_add(ahead);
        command.grant = by_hub.then(|| Digest32::of(&owned.grant));
        let signer = if by_hub {
            &owned.hub.identity
        } else {
            &owned.owner
        };
        let statement = sign(&command, signer);
        let answer = owned.hub.command(&mut owned.home, &statement).unwrap();
        assert_eq!(answer.verdict, verdict, "by hub {by_hub}, {ahead} ms ahead");
    }
}

#[test]
fn grant_of_another_epoch_or_time_gives_nothing() {
    let mut owned = Owned::new(32);
    owned.home.reset();
    let mut again = Owned::of(owned.home);
    let peer = Peer::new(&mut again.home, 5);
    let base = Grant {
        issuer: again.owner.public(),
        holder: peer.identity.public(),
        holder_link: peer.secret.public(),
        lock: again.home.factory.lock,
        rights: Rights::ALL,
        not_before: None,
        not_after: None,
        serial: 1,
        policy_epoch: 1,
        ownership: again.ownership,
    };
    for (grant, expected) in [
        (base.clone(), None),
        (
            Grant {
                policy_epoch: 0,
                ..base.clone()
            },
            Some(Reason::Revoked),
        ),
        (
            Grant {
                not_before: Some(0),
                ..base.clone()
            },
            Some(Reason::NoTime),
        ),
        (
            Grant {
                not_after: Some(u64::MAX),
                ..base.clone()
            },
            Some(Reason::NoTime),
        ),
        (
            Grant {
                lock: LockId([2; 8]),
                ..base.clone()
            },
            Some(Reason::WrongLock),
        ),
    ] {
        let statement = grant.sign(&again.owner, &mut [0; 724]).unwrap().to_vec();
        let request = HubToLock::PresentGrant {
            statement: &statement,
        };
        let said = again.hub.ask(&mut again.home, &request);
        assert_eq!(refusal(&said), expected, "{grant:?}");
    }
}
