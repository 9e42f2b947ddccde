//! Rotation of the pre-shared keys: a lost message or a power cut at any step locks nobody out.
//!
//! Guards: hubs that must be paired again by hand because a key was half changed.

use drawbridge_lock::flash::model::Tear;
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::keys::IdentitySecret;
use drawbridge_protocol::psk::PskGeneration;
use drawbridge_protocol::tunnel::HubToLock;

use crate::bench::{Home, Owned, Peer, Seeded, claim_of};
use crate::lane::{print_count, print_states, rounds};

/// A hub that was claimed and never took an offer: generation 0 on both sides.
fn claimed(seed: u64) -> (Home, Peer) {
    let mut home = Home::new(seed);
    let mut hub = Peer::new(&mut home, 1);
    hub.takes_offers = false;
    let owner = IdentitySecret::generate(&mut home.entropy);
    home.press_button();
    assert!(hub.connect(&mut home) && hub.shake(&mut home, Purpose::Pair));
    let (window, ..) = hub.window(&mut home).unwrap();
    let claim = claim_of(&home, &owner, &owner, window, Some(hub.keys()));
    hub.claim(&mut home, &claim).unwrap();
    (home, hub)
}

fn enters(home: &mut Home, hub: &mut Peer, psk: &PskGeneration) -> bool {
    home.pass_time(2_000);
    assert!(hub.connect(home));
    hub.shake_with(home, Purpose::Session, psk)
}

#[test]
fn pairing_key_dies_after_the_first_session_on_generation_one() {
    let mut owned = Owned::new(1);
    let zero = owned.hub.ring.previous.clone().unwrap();
    assert_eq!((zero.generation, owned.hub.ring.current.generation), (0, 1));
    // Committed and not yet proven: both work.
    assert!(enters(&mut owned.home, &mut owned.hub, &zero));
    assert!(owned.hub.rejoin(&mut owned.home));
    assert!(!enters(&mut owned.home, &mut owned.hub, &zero) && owned.hub.denied);
    owned.home.boot().unwrap();
    assert!(
        !enters(&mut owned.home, &mut owned.hub, &zero),
        "dead on flash too"
    );
    assert!(owned.hub.rejoin(&mut owned.home));
}

#[test]
fn unproven_handshake_kills_no_generation() {
    // Guards: a handshake that is only begun on n+1 and costs the peer its n.
    let mut owned = Owned::new(2);
    let (one, zero) = (
        owned.hub.ring.current.clone(),
        owned.hub.ring.previous.clone().unwrap(),
    );
    assert!(enters(&mut owned.home, &mut owned.hub, &one));
    // No record followed.
    assert!(enters(&mut owned.home, &mut owned.hub, &zero));
    owned.hub.session_info(&mut owned.home);
}

#[test]
fn offer_that_is_lost_is_made_again_and_a_reboot_between_locks_nobody_out() {
    let (mut home, mut hub) = claimed(3);
    assert_eq!(hub.offers, [1]);
    // The offer came, was stored, and the answer was lost; then the lock forgot what it offered.
    for rebooted in [false, true, true, false] {
        if rebooted {
            home.boot().unwrap();
        }
        assert!(hub.rejoin(&mut home));
        assert_eq!(hub.offers.last(), Some(&1));
        let stale = PskGeneration {
            generation: 1,
            psk: drawbridge_protocol::keys::Psk::new([7; 32]),
        };
        hub.ring.advance(stale);
        assert!(hub.rejoin(&mut home), "newest, then the one before");
    }
    hub.takes_offers = true;
    assert!(hub.rejoin(&mut home));
    assert!(hub.rejoin(&mut home));
    assert_eq!(
        (hub.ring.current.generation, hub.ring.previous.clone()),
        (1, None)
    );
}

#[test]
fn f13_power_cut_at_any_flash_operation_of_a_rotation_locks_nobody_out() {
    let mut states = 0;
    for tear in Tear::ALL {
        for proving in [false, true] {
            for cut in 0.. {
                let (mut home, mut hub) = claimed(500 + cut);
                hub.takes_offers = true;
                if proving {
                    // Commit in peace; the cut falls into the first session on generation 1.
                    assert!(hub.rejoin(&mut home));
                    home.pass_time(2_000);
                    assert!(hub.connect(&mut home));
                    home.cut_after(cut, tear, cut + 11);
                    assert!(hub.shake(&mut home, Purpose::Session));
                } else {
                    home.pass_time(2_000);
                    assert!(hub.connect(&mut home) && hub.shake(&mut home, Purpose::Session));
                    home.cut_after(cut, tear, cut + 11);
                }
                // The first record proves the session: the offer follows, or the old key dies.
                hub.ask(&mut home, &HubToLock::PairInfoRequest);
                if !home.is_dead() {
                    break;
                }
                states += 1;
                home.boot().unwrap();
                assert!(
                    hub.rejoin(&mut home),
                    "{tear:?} cut {cut} proving {proving}"
                );
                assert!(
                    hub.rejoin(&mut home),
                    "{tear:?} cut {cut} proving {proving}"
                );
                assert_eq!(hub.ring.previous, None, "the rotation ended");
            }
        }
    }
    assert!(states > 10);
    print_states("psk_rotation_power_cuts", states);
}

#[test]
fn every_sixteenth_handshake_rotates_and_never_past_an_unproven_generation() {
    let mut owned = Owned::new(4);
    assert!(owned.hub.rejoin(&mut owned.home));
    owned.hub.takes_offers = false;
    owned.hub.offers.clear();
    for _ in 0..48 {
        assert!(owned.hub.rejoin(&mut owned.home));
    }
    assert_eq!(
        owned.hub.offers,
        [2, 2, 2],
        "the only proven generation stays"
    );
    owned.hub.takes_offers = true;
    for _ in 0..33 {
        assert!(owned.hub.rejoin(&mut owned.home));
    }
    assert!(owned.hub.ring.current.generation >= 3);
    owned.home.boot().unwrap();
    assert!(owned.hub.rejoin(&mut owned.home));
}

#[test]
fn thousand_rotations_with_losses_and_reboots_lock_nobody_out() {
    let (full, seed) = (1_000, 77);
    let ran = rounds(full, 10);
    let mut dice = Seeded::new(seed);
    let (mut home, mut hub) = claimed(seed);
    for round in 0..ran {
        hub.takes_offers = dice.below(3) != 0;
        if dice.below(4) == 0 {
            home.cut_after(dice.below(12), Tear::ALL[dice.below(3) as usize], round);
        }
        let entered = hub.rejoin(&mut home);
        if home.is_dead() || dice.below(5) == 0 {
            home.boot().unwrap();
        } else {
            assert!(entered, "round {round} seed {seed}");
            // A cut that has not struck yet does not strike below.
            home.chip.0.borrow_mut().restore();
        }
        assert!(hub.rejoin(&mut home), "round {round} seed {seed}");
    }
    print_count("psk_rotation_losses", ran, full, seed);
}
