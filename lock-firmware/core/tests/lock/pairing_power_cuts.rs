//! F13: power lost at every flash operation of a claim, and of a factory reset.
//!
//! Guards: a lock that is half owned after a dead battery, that needs a technician, or that opens
//! itself to the next claim because its owner record was being written.

use drawbridge_lock::flash::model::Tear;
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::keys::IdentitySecret;
use drawbridge_protocol::psk::PskRing;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::tunnel::HubToLock;

use crate::bench::{Home, Owned, Peer, claim_of, refusal};
use crate::lane::print_states;

/// Boots until power lasts. A lock that asks for recovery fails the test here.
fn boot(home: &mut Home) {
    home.boot().unwrap();
}

#[test]
fn f13_power_cut_at_any_flash_operation_of_a_claim_leaves_it_owned_or_not() {
    let (mut states, mut owned_after) = (0, 0);
    for tear in Tear::ALL {
        for cut in 0.. {
            let mut home = Home::new(300 + cut);
            let mut hub = Peer::new(&mut home, 1);
            hub.takes_offers = false;
            let owner = IdentitySecret::generate(&mut home.entropy);
            home.press_button();
            assert!(hub.connect(&mut home) && hub.shake(&mut home, Purpose::Pair));
            let (window, ..) = hub.window(&mut home).unwrap();
            let claim = claim_of(&home, &owner, &owner, window, Some(hub.keys()));
            home.cut_after(cut, tear, cut * 7 + 1);
            let live = hub.claim(&mut home, &claim);
            if !home.is_dead() {
                live.unwrap();
                break;
            }
            states += 1;
            assert_eq!(live, Err(None), "a lock without power answers nothing");
            let what = format!("{tear:?} cut {cut}");
            boot(&mut home);
            if home.lock().status().owned {
                owned_after += 1;
                assert!(hub.connect(&mut home), "{what}");
                assert!(hub.shake(&mut home, Purpose::Session), "{what}");
                let receipt = hub.claim(&mut home, &claim).unwrap();
                assert_eq!(hub.claim(&mut home, &claim).unwrap(), receipt, "{what}");
                boot(&mut home);
                assert!(hub.connect(&mut home) && hub.shake(&mut home, Purpose::Session));
                assert_eq!(hub.claim(&mut home, &claim).unwrap(), receipt, "{what}");
            } else {
                assert!(hub.connect(&mut home));
                assert!(
                    !hub.shake(&mut home, Purpose::Session),
                    "{what}: half enrolled"
                );
                home.press_button();
                assert!(hub.connect(&mut home) && hub.shake(&mut home, Purpose::Pair));
                let (window, owned, _) = hub.window(&mut home).unwrap();
                assert!(!owned);
                let old = hub.claim(&mut home, &claim);
                assert_eq!(old, Err(Some(Reason::WindowClosed)), "{what}");
                let again = claim_of(&home, &owner, &owner, window, Some(hub.keys()));
                hub.claim(&mut home, &again).unwrap();
            }
        }
    }
    assert!(owned_after > 0, "no cut fell behind the commit");
    assert!(owned_after < states, "no cut fell before the commit");
    print_states("claim_power_cuts", states);
}

#[test]
fn f13_power_cut_at_any_flash_operation_of_a_reset_is_whole_or_absent() {
    let (mut states, mut unowned_after) = (0, 0);
    for tear in Tear::ALL {
        for cut in 0.. {
            let mut owned = Owned::new(400 + cut);
            let before = owned.home.lock().status();
            owned.home.cut_after(cut, tear, cut * 5 + 3);
            owned.home.reset();
            if !owned.home.is_dead() {
                assert!(!owned.home.lock().status().owned);
                break;
            }
            states += 1;
            let what = format!("{tear:?} cut {cut}");
            boot(&mut owned.home);
            let after = owned.home.lock().status();
            assert!(
                after.log_newest > before.log_newest,
                "{what}: log went back"
            );
            assert_eq!(after.log_oldest, before.log_oldest, "{what}");
            if after.owned {
                owned.rejoin();
                continue;
            }
            unowned_after += 1;
            assert!(owned.hub.connect(&mut owned.home));
            assert!(
                !owned.hub.shake(&mut owned.home, Purpose::Session),
                "{what}: enrolled"
            );
            owned.home.press_button();
            owned.hub.ring = PskRing::pairing(owned.home.factory.qr().keys().pair_psk);
            assert!(owned.hub.connect(&mut owned.home));
            assert!(owned.hub.shake(&mut owned.home, Purpose::Pair), "{what}");
            let (window, is_owned, epoch) = owned.hub.window(&mut owned.home).unwrap();
            assert_eq!(
                (is_owned, epoch),
                (false, 1),
                "{what}: erased without a new epoch"
            );
            let (owner, audit) = (owned.owner.clone(), owned.audit.clone());
            let claim = claim_of(&owned.home, &owner, &audit, window, Some(owned.hub.keys()));
            owned.hub.claim(&mut owned.home, &claim).unwrap();
            let grant = owned.grant.clone();
            let present = HubToLock::PresentGrant { statement: &grant };
            let said = owned.hub.ask(&mut owned.home, &present);
            assert_eq!(
                refusal(&said),
                Some(Reason::Revoked),
                "{what}: an old grant lives"
            );
        }
    }
    assert!(unowned_after > 0 && unowned_after < states);
    print_states("reset_power_cuts", states);
}
