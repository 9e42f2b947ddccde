//! Getting in as somebody else.

use drawbridge_protocol::claim::Claim;
use drawbridge_protocol::cose::MAX_STATEMENT;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::ids::Nonce;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret, Psk};
use drawbridge_protocol::psk::PskGeneration;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::secret::ClaimKey;
use drawbridge_protocol::tunnel::HubToLock;

use crate::candidate::can_do_nothing;
use crate::peer::{Peer, Said, Trouble};
use crate::report::{Ended, Flaw, Report, not_carried_out, refused};
use crate::scene::{Scene, generations};

/// How often the lock's allowance of handshakes may be waited for.
const TRIES: usize = 5;
/// A lock allows one handshake a second, and a few at once.
const RECOVERY: std::time::Duration = std::time::Duration::from_secs(3);

pub(crate) fn run(scene: &mut Scene<'_>, report: &mut Report, tag: &str) {
    let air = scene.air.clone();
    for (how, purpose) in [("a session", Purpose::Session), ("pairing", Purpose::Pair)] {
        report.attempt(
            &format!("{tag}: enrol another key with the hub's psk, for {how}"),
            || {
                let mut entropy = drawbridge_lock_sim::entropy::Randomness::Kernel;
                let mut psks = generations(&scene.binding.psks);
                psks.push(PskGeneration {
                    generation: 0,
                    psk: Psk::new([0; 32]),
                });
                let mut evidence = Vec::new();
                for psk in psks {
                    let generation = psk.generation;
                    let mut stranger = Peer::new(
                        &air,
                        scene.peer.target.clone(),
                        &IdentitySecret::generate(&mut entropy),
                        &LinkSecret::generate(&mut entropy),
                        vec![psk],
                    );
                    let how = kept_out(scene, &mut stranger, purpose)?;
                    evidence.push(format!("generation {generation}: {how}"));
                }
                scene.with_log(evidence.join(", "), &[])
            },
        );
    }
    report.attempt(&format!("{tag}: the hub's key with made-up psks"), || {
        let mut entropy = drawbridge_lock_sim::entropy::Randomness::Kernel;
        let generation = scene.binding.psks.current.generation;
        for psk in [Psk::new([0; 32]), Psk::new(entropy.bytes())] {
            let psk = PskGeneration { generation, psk };
            let mut thief = Peer::new(
                &air,
                scene.peer.target.clone(),
                &scene.loot.identity,
                &scene.loot.link,
                vec![psk],
            );
            kept_out(scene, &mut thief, Purpose::Session)?;
        }
        scene.with_log("no session comes of it".into(), &[])
    });
}

/// The handshake of `stranger` is denied while the hub's own is let in right after: it was not the
/// lock's allowance of handshakes that stopped it. If the owner's window is open, whoever has the
/// pairing psk is let in to carry a claim; then it must be able to do nothing.
fn kept_out(scene: &mut Scene<'_>, stranger: &mut Peer, purpose: Purpose) -> Ended {
    for _ in 0..TRIES {
        scene.peer.leave();
        let how = match (stranger.join(purpose), purpose) {
            (Ok(()), Purpose::Pair) => {
                let nothing = can_do_nothing(stranger)?;
                let claim = takes_nothing_over(stranger)?;
                format!("in an open window, {nothing}, {claim}")
            }
            (Ok(()), _) => return Err(Flaw::Worked("the lock let it in".into())),
            (Err(Trouble::Denied), _) => "denied".to_owned(),
            (Err(trouble), _) => return Err(trouble.into()),
        };
        stranger.leave();
        if scene.peer.join(Purpose::Session).is_ok() {
            return Ok(how);
        }
        std::thread::sleep(RECOVERY);
    }
    Err(not_carried_out("the lock lets nobody in any more"))
}

/// A claim of its own on a lock that has an owner.
fn takes_nothing_over(stranger: &mut Peer) -> Ended {
    let Said::Window { nonce, .. } = stranger.once(&HubToLock::PairInfoRequest)? else {
        return Err(not_carried_out("no window"));
    };
    let mine = stranger.keys();
    let claim = Claim {
        lock: stranger.target.lock,
        window: nonce,
        device: Nonce(stranger.entropy.bytes()),
        owner: mine,
        peer1: None,
        peer2: None,
        peer3: None,
        time_key: None,
        audit_key: mine.identity,
        made_at: 1_790_000_000,
    };
    let mut out = [0; MAX_STATEMENT];
    let claim = claim
        .seal(&ClaimKey::new(stranger.entropy.bytes()), &mut out)
        .map_err(|error| not_carried_out(error.to_string()))?;
    let said = stranger.once(&HubToLock::Claim { statement: claim })?;
    refused(&said, &[Reason::AlreadyOwned])
}
