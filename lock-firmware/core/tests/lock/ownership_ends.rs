//! S19: after a reset nothing of the last ownership lives on, and without a grant a peer is blind.
//!
//! Guards: a second-hand lock that still obeys its first owner.

use drawbridge_protocol::command::Action;
use drawbridge_protocol::grant::Rights;
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::psk::PskRing;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub};

use crate::bench::{Owned, claim_of, refusal};

#[test]
fn i5_reset_keeps_the_log_and_kills_what_the_last_owner_signed() {
    // Guards: a new ownership under the same key (the same phone) that revives a withheld command.
    let mut owned = Owned::new(10);
    let withheld = owned.sign(Action::Unlock);
    let (grant, claim) = (owned.grant.clone(), owned.claim.clone());
    let before = owned.home.lock().status();
    owned.home.reset();
    let after = owned.home.lock().status();
    assert!(!after.owned && after.sessions == 0);
    assert_eq!(after.log_oldest, before.log_oldest);
    assert_eq!(after.log_newest, before.log_newest + 1);
    assert!(owned.home.dropped_links.contains(&owned.hub.link));

    // Enrolled no more, and the window is closed.
    assert!(owned.hub.connect(&mut owned.home));
    assert!(!owned.hub.shake(&mut owned.home, Purpose::Session) && owned.hub.denied);

    // The same owner, the same hub key.
    owned.home.press_button();
    owned.hub.ring = PskRing::pairing(owned.home.factory.qr().keys().pair_psk);
    assert!(owned.hub.connect(&mut owned.home));
    assert!(owned.hub.shake(&mut owned.home, Purpose::Pair));
    let (window, is_owned, epoch) = owned.hub.window(&mut owned.home).unwrap();
    assert!(!is_owned);
    assert_eq!(epoch, 1, "the policy epoch rises");
    assert_eq!(
        owned.hub.claim(&mut owned.home, &claim),
        Err(Some(Reason::WindowClosed))
    );
    let again = claim_of(
        &owned.home,
        &owned.owner,
        &owned.audit,
        window,
        Some(owned.hub.keys()),
    );
    owned.hub.claim(&mut owned.home, &again).unwrap();

    let said = owned.hub.ask(
        &mut owned.home,
        &HubToLock::PresentGrant { statement: &grant },
    );
    assert_eq!(refusal(&said), Some(Reason::Revoked));
    let dead = owned.hub.command(&mut owned.home, &withheld).unwrap();
    assert_eq!(
        (dead.verdict, dead.reason),
        (Verdict::Refused, Reason::WrongEpoch)
    );
    assert_eq!(owned.home.bolt.starts, 0);
}

#[test]
fn peer_without_a_grant_learns_neither_log_nor_handshakes() {
    let mut owned = Owned::new(11);
    let viewer = owned.hub.session_info(&mut owned.home);
    assert!(viewer.log_seq.is_some() && viewer.log_head.is_some() && viewer.handshakes.is_some());
    owned.home.boot().unwrap();
    assert!(owned.hub.rejoin(&mut owned.home));
    let blind = owned.hub.session_info(&mut owned.home);
    assert_eq!(
        (blind.log_seq, blind.log_head, blind.handshakes),
        (None, None, None)
    );
    for request in [HubToLock::LogPull { from: 1 }, HubToLock::ReportRequest] {
        let said = owned.hub.ask(&mut owned.home, &request);
        assert_eq!(refusal(&said), Some(Reason::NoRight), "{request:?}");
    }
    owned.grant = owned.grant_for(&owned.hub.keys(), Rights::LOCK);
    owned.present();
    assert_eq!(
        owned.hub.session_info(&mut owned.home).log_seq,
        None,
        "lock is not view"
    );
    // A movement is announced to those who may view, and to nobody else.
    let statement = owned.sign(Action::Unlock);
    let said = owned.hub.ask(
        &mut owned.home,
        &HubToLock::Command {
            statement: &statement,
        },
    );
    assert!(
        said.iter()
            .all(|said| !matches!(LockToHub::decode(said), Ok(LockToHub::Report { .. })))
    );
}
