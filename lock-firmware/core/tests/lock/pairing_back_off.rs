//! S04: what a wrong pairing secret costs, and that no reboot makes it cheaper.
//!
//! Guards: locks whose short challenge or code was tried until it fitted (TTLock), counters that a
//! pulled battery puts back to zero, and failures that nobody hears of.

use drawbridge_lock::flash::model::Tear;
use drawbridge_lock::{LONGEST_WAIT_MS, WINDOW_MS};
use drawbridge_protocol::hello::{LockHello, Purpose};
use drawbridge_protocol::ids::Nonce;
use drawbridge_protocol::keys::{IdentitySecret, Psk};
use drawbridge_protocol::log_record::{LogEvent, LogRecord};
use drawbridge_protocol::psk::PskRing;

use crate::bench::{Home, Owned, Peer, claim_of};
use crate::lane::{print_count, print_states};
use crate::log_chain::everything;

/// Wrong secrets in the long run.
const WRONG: u64 = 1_000;
/// What they cost at least, in days: eight are free, seven waits double from a minute, and each of
/// the others is an hour.
const DAYS: u64 = 41;

/// The wait that is promised after so many failures in a row, in milliseconds.
fn promised(failures: u64) -> u64 {
    match failures.checked_sub(8) {
        None => 0,
        Some(more @ 0..=5) => 60_000 << more,
        Some(_) => 3_600_000,
    }
}

/// A stranger with the public half of the code tries one secret under a fresh key, with the window
/// as open as a hand inside can make it. Whether the lock answered, so that the guess is tested.
fn try_secret(home: &mut Home, secret: [u8; 32]) -> bool {
    home.press_button();
    let mut stranger = Peer::new(home, 1);
    stranger.ring = PskRing::pairing(Psk::new(secret));
    assert!(stranger.connect(home));
    assert!(!stranger.shake(home, Purpose::Pair), "a guess fitted");
    let now = home.now;
    home.lock().link_down(stranger.link, now);
    !stranger.denied && !home.is_dead()
}

/// Waits until the lock listens and spends one guess.
fn fail_once(home: &mut Home, failures: u64) {
    home.pass_time(promised(failures) + 1_000);
    assert!(try_secret(home, [9; 32]), "after {failures} failures");
}

#[test]
fn s04_a_thousand_wrong_secrets_cost_forty_one_days() {
    let mut home = Home::new(71);
    let mut days_ms = 0;
    // The handshakes of the window are limited besides; a second apart they never are.
    home.pass_time(60_000);
    for failures in 0..WRONG {
        let wait = promised(failures);
        if wait > 0 {
            home.pass_time(wait - 1);
            assert!(
                !try_secret(&mut home, [1; 32]),
                "listened to before {wait} ms, after {failures} failures"
            );
            home.pass_time(1);
        } else {
            home.pass_time(1_000);
        }
        days_ms += wait;
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&failures.to_le_bytes());
        assert!(try_secret(&mut home, secret), "after {failures} failures");
    }
    assert!(days_ms / 86_400_000 >= DAYS, "{days_ms} ms");
    println!(
        "EVIDENCE {WRONG} wrong secrets cost {} days and as many presses inside as windows",
        days_ms / 86_400_000
    );
    print_count("s04_wrong_secrets", WRONG, WRONG, 71);

    // Who has the code waits for the last failure like everybody else, and no longer than an hour.
    let mut hub = Peer::new(&mut home, 1);
    home.pass_time(LONGEST_WAIT_MS - 1);
    home.press_button();
    assert!(hub.connect(&mut home) && !hub.shake(&mut home, Purpose::Pair) && hub.denied);
    home.pass_time(1);
    assert!(hub.connect(&mut home) && hub.shake(&mut home, Purpose::Pair));
    let (window, ..) = hub.window(&mut home).unwrap();
    let owner = IdentitySecret::generate(&mut home.entropy);
    let claim = claim_of(&home, &owner, &owner, window, Some(hub.keys()));
    hub.claim(&mut home, &claim).unwrap();
    // A claim that took ends the row of failures, also across a reboot.
    home.boot().unwrap();
    home.reset();
    let now = home.now;
    home.lock().link_down(hub.link, now);
    for failures in 0..8 {
        fail_once(&mut home, failures);
    }
    home.pass_time(promised(8) - 1);
    assert!(!try_secret(&mut home, [2; 32]));
}

/// An attempt that proves itself is no failure: pairing again and again is not punished.
#[test]
fn s04_proven_handshakes_cost_nothing_and_a_lost_link_costs_one() {
    let mut home = Home::new(72);
    for _ in 0..30 {
        home.press_button();
        let mut hub = Peer::new(&mut home, 1);
        home.pass_time(1_000);
        assert!(hub.connect(&mut home) && hub.shake(&mut home, Purpose::Pair));
        assert!(hub.window(&mut home).is_some());
    }
    for failures in 0..8 {
        fail_once(&mut home, failures);
    }
    home.press_button();
    let mut hub = Peer::new(&mut home, 1);
    assert!(hub.connect(&mut home) && !hub.shake(&mut home, Purpose::Pair) && hub.denied);
    home.pass_time(promised(8));
    home.press_button();
    // Right, but its first record never arrives: to the lock it is one more failure.
    assert!(hub.connect(&mut home) && hub.shake(&mut home, Purpose::Pair));
    home.pass_time(promised(9) - 1);
    home.press_button();
    assert!(hub.connect(&mut home) && !hub.shake(&mut home, Purpose::Pair) && hub.denied);
    home.pass_time(1);
    assert!(hub.connect(&mut home) && hub.shake(&mut home, Purpose::Pair));
    assert!(hub.window(&mut home).is_some());
}

/// A guesser would only have to wait for the hub's next session.
#[test]
fn s04_a_session_of_the_paired_hub_forgives_no_wrong_secret() {
    let mut owned = Owned::new(76);
    for failures in 0..9 {
        fail_once(&mut owned.home, failures);
    }
    owned.rejoin();
    assert!(!try_secret(&mut owned.home, [5; 32]), "it gave a guess");
    owned.home.pass_time(promised(9) - 1);
    assert!(!try_secret(&mut owned.home, [5; 32]), "it ate the wait");
    owned.home.pass_time(1);
    assert!(try_secret(&mut owned.home, [5; 32]));
}

/// The lock's own clock begins at each boot, so the wait does, too; and one that is cut off its
/// power in the middle of counting has either counted or not answered.
#[test]
fn s04_back_off_survives_reboot_and_a_power_cut_at_any_flash_operation() {
    let prepared = |seed| {
        let mut home = Home::new(seed);
        for failures in 0..9 {
            fail_once(&mut home, failures);
        }
        home
    };
    let mut home = prepared(73);
    for _ in 0..3 {
        home.pass_time(promised(9) - 1);
        home.boot().unwrap();
        assert!(!try_secret(&mut home, [3; 32]), "a reboot gave a guess");
        home.pass_time(promised(9) - 1);
        assert!(!try_secret(&mut home, [3; 32]), "a reboot ate the wait");
    }
    home.reset();
    assert!(!try_secret(&mut home, [3; 32]), "a reset gave a guess");
    home.pass_time(1);
    assert!(try_secret(&mut home, [3; 32]));

    let (mut states, mut counted) = (0, 0);
    for tear in Tear::ALL {
        for cut in 0.. {
            let mut home = prepared(80 + cut);
            home.pass_time(promised(9));
            home.cut_after(cut, tear, cut * 3 + 1);
            let answered = try_secret(&mut home, [4; 32]);
            if !home.is_dead() {
                assert!(answered);
                break;
            }
            states += 1;
            let what = format!("{tear:?} cut {cut}");
            assert!(!answered, "{what}: an answer without a count");
            home.boot().unwrap();
            home.pass_time(promised(9) - 1);
            assert!(!try_secret(&mut home, [4; 32]), "{what}: a guess for free");
            home.pass_time(1);
            counted += u64::from(!try_secret(&mut home, [4; 32]));
        }
    }
    assert!(counted > 0 && counted < states, "{counted} of {states}");
    print_states("s04_power_cuts", states);
}

/// The battery is pulled after each handful, before the ten minutes after which the lock writes
/// strangers down.
#[test]
fn s04_wrong_secrets_reach_the_log_even_if_the_battery_is_pulled() {
    let mut owned = Owned::new(74);
    let records = |owned: &mut Owned| -> Vec<u64> {
        everything(owned)
            .iter()
            .map(|record| LogRecord::decode(record).unwrap())
            .filter(|record| record.event == LogEvent::Strangers)
            .map(|record| record.count.unwrap())
            .collect()
    };
    for failures in 0..6 {
        fail_once(&mut owned.home, failures);
        if failures % 2 == 1 {
            owned.home.boot().unwrap();
        }
    }
    owned.rejoin();
    assert!(records(&mut owned).is_empty(), "not yet due");
    owned.home.pass_time(600_000);
    owned.hub.receive(&mut owned.home);
    assert_eq!(records(&mut owned), [6]);
    // They are in the log now, and no reboot counts them again.
    owned.reboot();
    owned.home.pass_time(600_000);
    owned.hub.receive(&mut owned.home);
    assert_eq!(records(&mut owned), [6]);
    // A claim that the code did not seal, by somebody with the other half of the code.
    owned.home.reset();
    let mut hub = Peer::new(&mut owned.home, 1);
    owned.home.press_button();
    assert!(hub.connect(&mut owned.home) && hub.shake(&mut owned.home, Purpose::Pair));
    let (window, ..) = hub.window(&mut owned.home).unwrap();
    let (owner, audit) = (owned.owner.clone(), owned.audit.clone());
    let claim = claim_of(&owned.home, &owner, &audit, window, Some(hub.keys()));
    let mut forged = claim.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(hub.claim(&mut owned.home, &forged).is_err());
    hub.claim(&mut owned.home, &claim).unwrap();
    owned.home.pass_time(WINDOW_MS);
    owned.hub = hub;
    owned.ownership = drawbridge_protocol::ids::OwnershipId::of_claim(&claim);
    owned.policy_epoch = 1;
    owned.grant = owned.grant_for(&owned.hub.keys(), drawbridge_protocol::grant::Rights::VIEW);
    owned.present();
    owned.home.pass_time(600_000);
    owned.hub.receive(&mut owned.home);
    assert_eq!(records(&mut owned), [6, 1]);
}

/// Every nonce that the lock challenges with: of the link, of the window, of the boot.
#[test]
fn s04_challenges_have_128_bits_and_never_repeat() {
    let mut seen = std::collections::BTreeSet::new();
    let (mut ones, mut zeros) = ([0_u8; 16], [0_u8; 16]);
    let mut take = |nonce: [u8; 16]| {
        assert!(seen.insert(nonce), "{nonce:02x?} came twice");
        for (at, byte) in nonce.iter().enumerate() {
            ones[at] |= byte;
            zeros[at] |= !byte;
        }
    };
    let mut home = Home::new(75);
    let mut hub = Peer::new(&mut home, 1);
    for round in 0..200 {
        if round % 10 == 0 {
            home.boot().unwrap();
            take(home.lock().status().epoch.0);
        }
        home.press_button();
        home.pass_time(1_000);
        assert!(hub.connect(&mut home));
        take(LockHello::decode(&hub.hello).unwrap().nonce.0);
        if round % 10 < 2 {
            assert!(hub.shake(&mut home, Purpose::Pair));
            let (Nonce(window), ..) = hub.window(&mut home).unwrap();
            take(window);
        }
    }
    assert_eq!(
        (ones, zeros),
        ([0xff; 16], [0xff; 16]),
        "bits that never move"
    );
}
