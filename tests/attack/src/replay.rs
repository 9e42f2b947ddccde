//! Commands that others signed and the hub carried.

use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::ids::Digest32;
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::tunnel::HubToLock;

use crate::peer::{Said, Trouble};
use crate::report::{Ended, Flaw, Report, not_carried_out};
use crate::scene::{Scene, sign, with_seal_of};

/// Length of a signature.
const SIGNATURE: usize = 64;

pub(crate) fn run(scene: &mut Scene<'_>, report: &mut Report, tag: &str) {
    let commands = scene.loot.commands_for(scene.binding.lock);
    let mut attempt = |name: &str, attack: &mut dyn FnMut(&mut Scene<'_>) -> Ended| {
        report.attempt(&format!("{tag}: {name}"), || {
            if commands.is_empty() {
                return Err(not_carried_out(
                    "the hub's files have no command of the owner for this lock: send one first",
                ));
            }
            attack(scene)
        });
    };
    attempt(
        "replay every stolen command in this session",
        &mut |scene| replay_all(scene, &commands),
    );
    attempt(
        "replay every stolen command in a new session",
        &mut |scene| {
            rejoin(scene)?;
            replay_all(scene, &commands)
        },
    );
    attempt(
        "sign the stolen commands anew with the hub's key",
        &mut |scene| {
            each(scene, &commands, |scene, stolen| {
                let forged = sign(&read(stolen)?, &scene.loot.identity);
                scene.expect_refusal(&forged, &[Reason::Signature])
            })
        },
    );
    attempt(
        "the stolen commands brought up to date and signed by the hub under its grant",
        &mut |scene| {
            each(scene, &commands, |scene, stolen| {
                let (hash, old) = (Digest32::of(scene.grant()?), read(stolen)?);
                let fresh = scene.signed(Action::Unlock, Some(hash), |fresh| {
                    fresh.log_position = old.log_position;
                })?;
                scene.expect_signed_refusal(&fresh, &[Reason::NoRight])
            })
        },
    );
    attempt(
        "the stolen commands with epoch, counter and expiry of now under the owner's signature",
        &mut |scene| {
            each(scene, &commands, |scene, stolen| {
                let old = read(stolen)?;
                let fresh = scene.command(Action::Unlock, old.grant, |fresh| {
                    fresh.counter = old.counter + 1_000;
                })?;
                let forged = with_seal_of(stolen, sign(&fresh, &scene.loot.identity), SIGNATURE);
                scene.expect_refusal(&forged, &[Reason::Signature])
            })
        },
    );
    attempt(
        "the stolen commands with only their expiry stretched",
        &mut |scene| {
            each(scene, &commands, |scene, stolen| {
                let mut edited = read(stolen)?;
                edited.expiry_ms += 3_600_000;
                let forged = with_seal_of(stolen, sign(&edited, &scene.loot.identity), SIGNATURE);
                scene.expect_refusal(&forged, &[Reason::Signature])
            })
        },
    );
    attempt(
        "the stolen commands with only their action turned round",
        &mut |scene| {
            each(scene, &commands, |scene, stolen| {
                let mut edited = read(stolen)?;
                edited.action = match edited.action {
                    Action::Lock => Action::Unlock,
                    _ => Action::Lock,
                };
                let forged = with_seal_of(stolen, sign(&edited, &scene.loot.identity), SIGNATURE);
                scene.expect_refusal(&forged, &[Reason::Signature])
            })
        },
    );
}

fn read(bytes: &[u8]) -> Result<Command, Trouble> {
    let read = Command::read(bytes).map_err(|error| Trouble::Odd(error.to_string()))?;
    Ok(read.command)
}

fn rejoin(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    scene.peer.leave();
    scene.peer.join(Purpose::Session)
}

/// One after the other; the first that is not defeated decides.
fn each(
    scene: &mut Scene<'_>,
    commands: &[Vec<u8>],
    mut attack: impl FnMut(&mut Scene<'_>, &[u8]) -> Ended,
) -> Ended {
    let mut last = String::new();
    for stolen in commands {
        last = attack(scene, stolen)?;
    }
    Ok(format!("{} commands, the last: {last}", commands.len()))
}

/// The same bytes must be answered from memory, or be dead; the log must have no new turn.
fn replay_all(scene: &mut Scene<'_>, commands: &[Vec<u8>]) -> Ended {
    each(scene, commands, |scene, stolen| {
        let said = scene.peer.ask(&HubToLock::Command { statement: stolen })?;
        let verdict = is_dead(&said)?;
        scene.with_log(verdict, stolen)
    })
}

/// Whether the lock's answer to a replay is from memory or a refusal.
pub(crate) fn is_dead(said: &Said) -> Ended {
    match said {
        Said::Outcome(outcome) if outcome.duplicate => Ok(format!(
            "the lock signed: a duplicate, it was {} then",
            outcome.verdict.name()
        )),
        Said::Outcome(outcome)
            if !matches!(
                outcome.verdict,
                Verdict::Done | Verdict::Failed | Verdict::NotSeen
            ) =>
        {
            Ok(format!(
                "the lock signed: {} ({})",
                outcome.verdict.name(),
                outcome.reason.name()
            ))
        }
        // Commands under grants that nobody presented in this run of the lock.
        Said::Refused(reason @ (Reason::GrantUnknown | Reason::Signature)) => {
            Ok(format!("refused in the session: {}", reason.name()))
        }
        other => Err(Flaw::Worked(format!("acted again: {other:?}"))),
    }
}
