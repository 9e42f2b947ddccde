//! Unlocking with what a hub has.

use drawbridge_protocol::command::{Action, MAX_AHEAD_VIA_HUB_MS};
use drawbridge_protocol::cose::MAX_STATEMENT;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::grant::{Grant, Rights};
use drawbridge_protocol::ids::{Digest32, LockEpoch, OwnershipId};
use drawbridge_protocol::keys::IdentitySecret;
use drawbridge_protocol::reason::Reason;

use crate::peer::Trouble;
use crate::report::{Ended, Report, not_carried_out};
use crate::scene::{Scene, with_seal_of};

/// Length of a signature.
const SIGNATURE: usize = 64;
/// Every single right and all of them at once.
const WANTED: [Rights; 10] = [
    Rights::UNLOCK,
    Rights::OPEN,
    Rights::CONFIGURE,
    Rights::MANAGE_USERS,
    Rights::UPDATE,
    Rights::READ_AUDIT,
    Rights::DELEGATE,
    Rights::VIEW,
    Rights::LOCK,
    Rights::ALL,
];

pub(crate) fn run(scene: &mut Scene<'_>, report: &mut Report, tag: &str) {
    let mut attempt = |name: &str, attack: &mut dyn FnMut(&mut Scene<'_>) -> Ended| {
        report.attempt(&format!("{tag}: {name}"), || attack(scene));
    };
    attempt("unlock under the hub's own grant", &mut |scene| {
        let hash = Digest32::of(scene.grant()?);
        let command = scene.signed(Action::Unlock, Some(hash), |_| ())?;
        scene.expect_signed_refusal(&command, &[Reason::NoRight])
    });
    attempt("unlock with the hub's key and no grant", &mut |scene| {
        let command = scene.signed(Action::Unlock, None, |_| ())?;
        scene.expect_refusal(&command, &[Reason::Signature])
    });
    attempt(
        "unlock with a grant issued by the hub itself",
        &mut |scene| {
            let grant = own_grant(scene, |grant, me| grant.issuer = me.public())?;
            scene.expect_dead_grant(&grant, &[Reason::Revoked])
        },
    );
    attempt(
        "unlock with a grant that names the owner but is signed by the hub",
        &mut |scene| {
            let grant = own_grant(scene, |_, _| ())?;
            scene.expect_dead_grant(&grant, &[Reason::Signature])
        },
    );
    attempt(
        "unlock with the hub's grant, each right added in turn under the owner's signature",
        &mut |scene| {
            let mut last = String::new();
            for wanted in WANTED {
                let genuine = scene.grant()?;
                let forged = own_grant(scene, |grant, _| {
                    // A right that is there already is turned into all of them.
                    grant.rights = if grant.rights.contains(wanted) {
                        Rights::ALL
                    } else {
                        grant.rights.union(wanted)
                    };
                })?;
                let forged = with_seal_of(genuine, forged, SIGNATURE);
                last = scene.expect_dead_grant(&forged, &[Reason::Signature])?;
            }
            Ok(format!("{} grants, the last: {last}", WANTED.len()))
        },
    );
    attempt(
        "unlock with the hub's grant, its policy epoch and serial raised",
        &mut |scene| {
            let genuine = scene.grant()?;
            let forged = own_grant(scene, |grant, _| {
                grant.policy_epoch = u32::MAX;
                grant.serial = u32::MAX;
            })?;
            scene.expect_dead_grant(
                &with_seal_of(genuine, forged, SIGNATURE),
                &[Reason::Signature],
            )
        },
    );
    attempt(
        "unlock with the hub's grant moved to another ownership",
        &mut |scene| {
            let genuine = scene.grant()?;
            let forged = own_grant(scene, |grant, _| grant.ownership = OwnershipId([0x5a; 8]))?;
            scene.expect_dead_grant(
                &with_seal_of(genuine, forged, SIGNATURE),
                &[Reason::Signature],
            )
        },
    );
    attempt("unlock with the grant of another lock", &mut |scene| {
        let here = scene.binding.lock;
        let other = scene.loot.bindings.iter().find(|other| other.lock != here);
        let grant = other
            .and_then(|other| other.grant())
            .ok_or_else(|| not_carried_out("the hub has no second lock with a grant"))?;
        scene.expect_dead_grant(grant, &[Reason::WrongLock])
    });
    attempt(
        "unlock for another run of the lock, epoch guessed",
        &mut |scene| {
            let hash = Digest32::of(scene.grant()?);
            let mut last = String::new();
            for _ in 0..16 {
                let epoch = LockEpoch(scene.peer.entropy.bytes());
                let command =
                    scene.signed(Action::Unlock, Some(hash), |command| command.epoch = epoch)?;
                last = scene.expect_signed_refusal(&command, &[Reason::WrongEpoch])?;
            }
            Ok(format!("16 guesses, the last: {last}"))
        },
    );
    attempt(
        "even the hub's own right, with its expiry stretched",
        &mut |scene| {
            let hash = Digest32::of(scene.grant()?);
            let command = scene.signed(Action::Lock, Some(hash), |command| {
                command.expiry_ms += MAX_AHEAD_VIA_HUB_MS;
            })?;
            scene.expect_signed_refusal(&command, &[Reason::TooFarAhead])
        },
    );
    attempt(
        "even the hub's own right, with a counter of before",
        &mut |scene| {
            let hash = Digest32::of(scene.grant()?);
            let command = scene.signed(Action::Lock, Some(hash), |command| {
                command.counter = command.counter.saturating_sub(1);
            })?;
            scene.expect_signed_refusal(&command, &[Reason::Counter])
        },
    );
}

/// A grant like the hub's with the right to unlock, changed by `edit` and signed by the hub.
fn own_grant(
    scene: &Scene<'_>,
    edit: impl FnOnce(&mut Grant, &IdentitySecret),
) -> Result<Vec<u8>, Trouble> {
    let mut grant = Grant::verify(scene.grant()?)
        .map_err(|error| Trouble::Odd(error.to_string()))?
        .grant;
    grant.rights = grant.rights.union(Rights::UNLOCK);
    edit(&mut grant, &scene.loot.identity);
    let mut out = [0; MAX_STATEMENT];
    let signed = grant.sign(&scene.loot.identity, &mut out);
    Ok(signed
        .map_err(|error| Trouble::Odd(error.to_string()))?
        .to_vec())
}
