//! S19: what a claim must be to take a lock, fault by fault.
//!
//! Guards: an owner made by a hub, by a claim for another lock, or by keys that everybody has.

use drawbridge_protocol::claim::{Claim, PeerKeys};
use drawbridge_protocol::ids::{LockId, Nonce};
use drawbridge_protocol::keys::{IdentityKey, KeyError, LinkKey};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::secret::ClaimKey;

use crate::pairing_window::{claim, pairing, seal};

#[test]
fn claim_is_refused_for_every_single_fault() {
    let (mut home, mut hub, window) = pairing(5);
    let good = claim(&home, window, &hub);
    let key = home.factory.qr().keys().claim_key;
    let (own, log) = (home.factory.link.public(), home.lock().status().log_newest);
    let weak_link = LinkKey([0; 32]);
    // The neutral element: on the curve, of order 1.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let weak_identity = IdentityKey(neutral);
    // About every second number is the y of no point.
    let no_point = (2..=u8::MAX)
        .map(|y| IdentityKey([y; 32]))
        .find(|key| key.check() == Err(KeyError::NotAKey))
        .unwrap();
    let keys = hub.keys();
    let faults: [(&str, Reason, Claim); 12] = [
        (
            "lock",
            Reason::WrongLock,
            Claim {
                lock: LockId([9; 8]),
                ..good.clone()
            },
        ),
        (
            "window",
            Reason::WindowClosed,
            Claim {
                window: Nonce([9; 16]),
                ..good.clone()
            },
        ),
        (
            "weak owner link",
            Reason::Form,
            Claim {
                owner: PeerKeys {
                    link: weak_link,
                    ..good.owner
                },
                ..good.clone()
            },
        ),
        (
            "weak owner identity",
            Reason::Form,
            Claim {
                owner: PeerKeys {
                    identity: weak_identity,
                    ..good.owner
                },
                ..good.clone()
            },
        ),
        (
            "weak peer link",
            Reason::Form,
            Claim {
                peer1: Some(PeerKeys {
                    link: weak_link,
                    ..keys
                }),
                ..good.clone()
            },
        ),
        (
            "weak peer identity",
            Reason::Form,
            Claim {
                peer3: Some(PeerKeys {
                    identity: weak_identity,
                    ..keys
                }),
                peer1: None,
                ..good.clone()
            },
        ),
        (
            "no point",
            Reason::Form,
            Claim {
                audit_key: no_point,
                ..good.clone()
            },
        ),
        (
            "weak audit key",
            Reason::Form,
            Claim {
                audit_key: weak_identity,
                ..good.clone()
            },
        ),
        (
            "weak time key",
            Reason::Form,
            Claim {
                time_key: Some(weak_identity),
                ..good.clone()
            },
        ),
        (
            "peer twice",
            Reason::Form,
            Claim {
                peer2: Some(keys),
                ..good.clone()
            },
        ),
        (
            "owner's device as peer",
            Reason::Form,
            Claim {
                peer2: Some(PeerKeys {
                    link: good.owner.link,
                    ..keys
                }),
                ..good.clone()
            },
        ),
        (
            "the lock's own key",
            Reason::Form,
            Claim {
                peer2: Some(PeerKeys { link: own, ..keys }),
                ..good.clone()
            },
        ),
    ];
    for (what, reason, faulty) in faults {
        let answer = hub.claim(&mut home, &seal(&faulty, &key));
        assert_eq!(answer, Err(Some(reason)), "{what}");
    }
    let wrong_mac = seal(&good, &ClaimKey::new([3; 32]));
    assert_eq!(
        hub.claim(&mut home, &wrong_mac),
        Err(Some(Reason::Signature))
    );
    let mut longer = seal(&good, &key);
    longer.push(0);
    assert_eq!(hub.claim(&mut home, &longer), Err(Some(Reason::Signature)));
    assert!(!home.lock().status().owned);
    assert_eq!(
        home.lock().status().log_newest,
        log,
        "a refused claim wrote a record"
    );
    assert!(hub.claim(&mut home, &seal(&good, &key)).is_ok());
}
