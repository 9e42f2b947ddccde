//! S09, S12, S19, S25: who may pair, and what a claim needs.
//!
//! Guards: locks that can be taken over from the air (KeyWe, Ultraloq), hubs that put their own key
//! into a lock, and pairing that leaves a lock half owned after a lost link.

use drawbridge_lock::WINDOW_MS;
use drawbridge_protocol::claim::{Claim, PeerKeys};
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::ids::Nonce;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::psk::PskRing;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::secret::ClaimKey;
use drawbridge_protocol::tunnel::HubToLock;

use crate::bench::{Home, Peer, refusal};

/// A home whose window is open and whose hub holds a pairing session.
pub(crate) fn pairing(seed: u64) -> (Home, Peer, Nonce) {
    let mut home = Home::new(seed);
    let mut hub = Peer::new(&mut home, 1);
    home.press_button();
    assert!(hub.connect(&mut home) && hub.shake(&mut home, Purpose::Pair));
    let (window, owned, _) = hub.window(&mut home).unwrap();
    assert!(!owned);
    (home, hub, window)
}

pub(crate) fn claim(home: &Home, window: Nonce, hub: &Peer) -> Claim {
    let owner = LinkSecret::from_bytes([0x31; 32]);
    Claim {
        lock: home.factory.lock,
        window,
        device: Nonce([6; 16]),
        owner: PeerKeys {
            identity: IdentitySecret::from_bytes(&[0x41; 32]).public(),
            link: owner.public(),
        },
        peer1: Some(hub.keys()),
        peer2: None,
        peer3: None,
        time_key: None,
        audit_key: IdentitySecret::from_bytes(&[0x42; 32]).public(),
        made_at: 1_790_000_000,
    }
}

pub(crate) fn seal(claim: &Claim, key: &ClaimKey) -> Vec<u8> {
    claim.seal(key, &mut [0; 724]).unwrap().to_vec()
}

#[test]
fn closed_window_denies_unknown_keys() {
    let mut home = Home::new(1);
    let mut hub = Peer::new(&mut home, 1);
    for purpose in [Purpose::Pair, Purpose::Session] {
        assert!(hub.connect(&mut home));
        assert!(!hub.shake(&mut home, purpose));
        assert!(hub.denied);
    }
    home.press_button();
    assert!(hub.connect(&mut home));
    assert!(!hub.shake(&mut home, Purpose::Session), "only to pair");
    home.pass_time(WINDOW_MS);
    assert!(hub.connect(&mut home));
    assert!(!hub.shake(&mut home, Purpose::Pair), "the window is over");
}

#[test]
fn wrong_code_is_noticed_by_the_initiator_and_stores_no_key() {
    let mut home = Home::new(2);
    let other = Home::new(3);
    let mut hub = Peer::new(&mut home, 1);
    hub.ring = PskRing::pairing(other.factory.qr().keys().pair_psk);
    home.press_button();
    assert!(hub.connect(&mut home));
    assert!(!hub.shake(&mut home, Purpose::Pair));
    assert!(
        hub.session.is_none() && !hub.denied,
        "message 2 came and did not open"
    );
    // What is written to flash is that it failed (S04): the key is a stranger's again.
    home.boot().unwrap();
    assert!(hub.connect(&mut home));
    assert!(!hub.shake(&mut home, Purpose::Session) && hub.denied);
    home.press_button();
    // The right code right after it, with the same key.
    hub.ring = PskRing::pairing(home.factory.qr().keys().pair_psk);
    assert!(hub.connect(&mut home) && hub.shake(&mut home, Purpose::Pair));
    assert!(hub.window(&mut home).is_some());
}

#[test]
fn candidate_may_pair_and_nothing_else() {
    let (mut home, mut hub, _) = pairing(4);
    let nothing: &[u8] = &[];
    let requests = [
        HubToLock::SessionInfoRequest {
            nonce: Nonce([1; 16]),
            holder: None,
        },
        HubToLock::Command { statement: nothing },
        HubToLock::Query { statement: nothing },
        HubToLock::PresentGrant { statement: nothing },
        HubToLock::LogPull { from: 1 },
        HubToLock::AuditAck { statement: nothing },
        HubToLock::PskStored { generation: 1 },
        HubToLock::ReportRequest,
    ];
    for request in requests {
        let said = hub.ask(&mut home, &request);
        assert_eq!(refusal(&said), Some(Reason::NotAllowed), "{request:?}");
        assert_eq!(said.len(), 1);
    }
    assert_eq!(home.bolt.starts, 0);
}

#[test]
fn same_claim_gives_the_same_receipt_after_reboot_and_a_closed_window() {
    let (mut home, mut hub, window) = pairing(6);
    let statement = seal(
        &claim(&home, window, &hub),
        &home.factory.qr().keys().claim_key,
    );
    // The receipt is lost on the way, and so is the offer of generation 1.
    hub.takes_offers = false;
    let first = hub.claim(&mut home, &statement).unwrap();
    assert_eq!(hub.claim(&mut home, &statement).unwrap(), first);
    home.pass_time(WINDOW_MS);
    assert!(!home.lock().status().window_open);
    assert_eq!(
        hub.claim(&mut home, &statement).unwrap(),
        first,
        "on the old session"
    );

    home.boot().unwrap();
    assert_eq!(hub.ring.current.generation, 0);
    assert!(hub.connect(&mut home) && hub.shake(&mut home, Purpose::Session));
    assert_eq!(
        hub.claim(&mut home, &statement).unwrap(),
        first,
        "after a reboot"
    );

    let other = seal(
        &Claim {
            device: Nonce([7; 16]),
            ..claim(&home, window, &hub)
        },
        &home.factory.qr().keys().claim_key,
    );
    assert_eq!(
        hub.claim(&mut home, &other),
        Err(Some(Reason::AlreadyOwned))
    );
}

#[test]
fn unnamed_candidate_dies_with_the_window() {
    let (mut home, mut guest, _) = pairing(7);
    assert!(home.lock().status().window_open);
    home.pass_time(WINDOW_MS);
    assert!(home.dropped_links.contains(&guest.link));
    assert_eq!(home.lock().status().sessions, 0);
    assert!(guest.connect(&mut home));
    assert!(!guest.shake(&mut home, Purpose::Pair) && guest.denied);
}

/// Guards: a window that stays open for the rest of its two minutes although it has had its claim,
/// so that whoever listened along with the code can come in behind the owner.
#[test]
fn claim_closes_the_window_and_who_is_not_named_leaves_with_the_receipt() {
    let (mut home, mut guest, window) = pairing(10);
    let mut hub = Peer::new(&mut home, 2);
    // The carrier of the claim is not in it; the hub that is was never here.
    let statement = seal(
        &claim(&home, window, &hub),
        &home.factory.qr().keys().claim_key,
    );
    let receipt = guest.claim(&mut home, &statement).unwrap();
    let status = home.lock().status();
    assert_eq!((status.window_open, status.sessions), (false, 0));
    assert_eq!(home.dropped_links, [guest.link]);
    // Neither it nor anybody else unknown comes in, though the two minutes are not over.
    let mut late = Peer::new(&mut home, 3);
    for peer in [&mut guest, &mut late] {
        for purpose in [Purpose::Pair, Purpose::Session] {
            home.pass_time(1_000);
            assert!(peer.connect(&mut home));
            assert!(!peer.shake(&mut home, purpose) && peer.denied);
        }
        let (link, now) = (peer.link, home.now);
        home.lock().link_down(link, now);
    }
    // Who is named does, and gets the same receipt for the same claim.
    assert!(hub.connect(&mut home) && hub.shake(&mut home, Purpose::Session));
    assert_eq!(hub.claim(&mut home, &statement), Ok(receipt));
    assert_eq!(hub.window(&mut home), None);
    // The next window is the owner's to open.
    home.press_button();
    assert_eq!(hub.window(&mut home).map(|(_, owned, _)| owned), Some(true));
}

#[test]
fn stranger_without_the_code_does_not_throw_out_a_proven_candidate() {
    // Guards: message 1, which needs no code, taking the place of somebody who has it.
    let (mut home, mut hub, window) = pairing(8);
    let mut stranger = Peer::new(&mut home, 2);
    stranger.ring = PskRing::pairing(drawbridge_protocol::keys::Psk::new([0; 32]));
    assert!(stranger.connect(&mut home));
    assert!(!stranger.shake(&mut home, Purpose::Pair));
    assert!(stranger.denied);
    let statement = seal(
        &claim(&home, window, &hub),
        &home.factory.qr().keys().claim_key,
    );
    assert!(hub.claim(&mut home, &statement).is_ok());
}

#[test]
fn abort_at_any_step_and_retry_works_without_clean_up() {
    for step in 0..4 {
        let mut home = Home::new(20 + step);
        let mut hub = Peer::new(&mut home, 1);
        hub.takes_offers = false;
        home.press_button();
        assert!(hub.connect(&mut home));
        let mut kept = None;
        if step >= 1 {
            assert!(hub.shake(&mut home, Purpose::Pair));
        }
        if step >= 2 {
            let (window, ..) = hub.window(&mut home).unwrap();
            kept = Some(seal(
                &claim(&home, window, &hub),
                &home.factory.qr().keys().claim_key,
            ));
        }
        if step >= 3 {
            hub.claim(&mut home, kept.as_ref().unwrap()).unwrap();
        }
        // The link dies, and the hub forgets its session.
        hub.session = None;
        assert!(hub.connect(&mut home));
        assert!(hub.shake(&mut home, Purpose::Pair), "step {step}");
        let statement = kept.unwrap_or_else(|| {
            let (window, ..) = hub.window(&mut home).unwrap();
            seal(
                &claim(&home, window, &hub),
                &home.factory.qr().keys().claim_key,
            )
        });
        assert!(hub.claim(&mut home, &statement).is_ok(), "step {step}");
    }
}

#[test]
fn one_window_listens_to_eight_handshakes_of_unknown_keys() {
    let mut home = Home::new(9);
    home.press_button();
    let mut let_in = 0;
    for _ in 0..12 {
        let mut hub = Peer::new(&mut home, 1);
        home.pass_time(1_000);
        assert!(hub.connect(&mut home));
        let_in += u32::from(hub.shake(&mut home, Purpose::Pair));
    }
    assert_eq!(let_in, 8);
}

#[test]
fn proven_candidate_keeps_its_session_until_the_next_one_is_proven() {
    // Guards: message 1 of a copy of the hub, or its own retry that is lost, ending the pairing.
    let (mut home, mut hub, window) = pairing(10);
    let mut again = Peer::new(&mut home, 2);
    again.secret = hub.secret.clone();
    again.ring = hub.ring.clone();
    assert!(again.connect(&mut home) && again.shake(&mut home, Purpose::Pair));
    assert_eq!(hub.window(&mut home).map(|said| said.0), Some(window));
    // The first record of the new one ends the old one.
    assert_eq!(again.window(&mut home).map(|said| said.0), Some(window));
    assert!(home.dropped_links.contains(&hub.link));
}

#[test]
fn candidate_comes_back_only_to_pair() {
    // Guards: a candidate that is treated as a peer because it was there before.
    let (mut home, mut hub, _) = pairing(11);
    assert!(hub.connect(&mut home));
    assert!(!hub.shake(&mut home, Purpose::Session) && hub.denied);
    assert!(hub.connect(&mut home));
    assert!(hub.shake(&mut home, Purpose::Pair));
}

#[test]
fn one_window_takes_eight_handshakes_even_of_who_has_the_code() {
    // Guards: a window kept busy without end by somebody whose every handshake is proven, and so never waits.
    let mut home = Home::new(12);
    let mut hub = Peer::new(&mut home, 1);
    home.press_button();
    let mut let_in = 0;
    for _ in 0..12 {
        home.pass_time(1_000);
        assert!(hub.connect(&mut home));
        if hub.shake(&mut home, Purpose::Pair) {
            assert!(hub.window(&mut home).is_some());
            let_in += 1;
        }
    }
    assert_eq!(let_in, 8);
}
