//! Getting in as somebody else.

use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret, Psk};
use drawbridge_protocol::psk::PskGeneration;

use crate::peer::{Peer, Trouble};
use crate::report::{Ended, Flaw, Report, not_carried_out};
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
                    denied(scene, &mut stranger, purpose)?;
                    evidence.push(generation.to_string());
                }
                let evidence = format!("denied on generations {}", evidence.join(", "));
                scene.with_log(evidence, &[])
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
            denied(scene, &mut thief, Purpose::Session)?;
        }
        scene.with_log("no session comes of it".into(), &[])
    });
}

/// The handshake of `stranger` is denied while the hub's own is let in right after: it was not the
/// lock's allowance of handshakes that stopped it.
fn denied(scene: &mut Scene<'_>, stranger: &mut Peer, purpose: Purpose) -> Ended {
    for _ in 0..TRIES {
        scene.peer.leave();
        match stranger.join(purpose) {
            Ok(()) => return Err(Flaw::Worked("the lock let it in".into())),
            Err(Trouble::Denied) => {}
            Err(trouble) => return Err(trouble.into()),
        }
        stranger.leave();
        if scene.peer.join(Purpose::Session).is_ok() {
            return Ok("denied".into());
        }
        std::thread::sleep(RECOVERY);
    }
    Err(not_carried_out("the lock lets nobody in any more"))
}
