//! Taking ownership while an honest owner pairs a new lock through the stolen hub.
//!
//! The lock is a simulated one of this program's own, so that its button can be pressed and its
//! power cut; the owner is an honest one beside it, who holds the code. **The attacker is given
//! what a hub is given and no more**: the pairing ticket, and what it carries.

mod bench;
mod claims;
mod ownership;

use std::time::Duration;

use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::ids::{Digest32, Nonce};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::tunnel::HubToLock;

use crate::candidate::can_do_nothing;
use crate::loot::Loot;
use crate::peer::{Said, Trouble, info_request};
use crate::report::{Ended, Flaw, Report, not_carried_out, refused};

use bench::Bench;

/// A pairing window, and a little more.
const WINDOW: Duration = Duration::from_secs(122);

/// All attempts around a pairing; `patient`: waits for a window to end by itself.
pub(crate) fn run(loot: &Loot, patient: bool, report: &mut Report) {
    let mut bench = match Bench::set_up(loot) {
        Ok(bench) => bench,
        Err(flaw) => return report.attempt("pairing: a new lock", || Err(flaw)),
    };
    report.attempt(
        "pairing: join a new lock while its window is closed",
        || stays_out(&mut bench),
    );
    claims::run(&mut bench, report);
    report.attempt("pairing: act as a peer that no claim has named", || {
        unnamed_can_do_nothing(&mut bench)
    });
    let relayed = bench.owner_claims(false);
    report.attempt(
        "pairing: keep a session without being named (owner names another hub)",
        || {
            relayed?;
            is_gone(&mut bench)
        },
    );
    report.attempt("pairing: a second claim on the owned lock", || {
        claims::second(&mut bench)
    });
    if patient {
        report.attempt("pairing: stay when the window has ended by itself", || {
            std::thread::sleep(WINDOW);
            match bench.peer.once(&info_request(Nonce([1; 16]), None)) {
                Err(Trouble::Gone) => {}
                Ok(said) => {
                    refused(&said, &[Reason::NotAllowed, Reason::WindowClosed])?;
                }
                Err(trouble) => return Err(trouble.into()),
            }
            stays_out(&mut bench)
        });
    }
    report.attempt("pairing: come back after the lock was started anew", || {
        bench.knob(r#"{"do":"reboot"}"#)?;
        stays_out(&mut bench)
    });
    ownership::run(&mut bench, report);
    report.attempt(
        "pairing: the motor ran for the owner's own commands only",
        || bench.motor_is_as_expected(),
    );
}

/// Outside the window neither way in exists.
fn stays_out(bench: &mut Bench) -> Ended {
    for purpose in [Purpose::Pair, Purpose::Session] {
        bench.peer.leave();
        match bench.peer.join(purpose) {
            Err(Trouble::Denied) => {}
            Ok(()) => return Err(Flaw::Worked("the lock let it in".into())),
            Err(trouble) => return Err(trouble.into()),
        }
    }
    Ok("both kinds of handshake denied".into())
}

/// The session ended with the window, and neither kind of handshake makes another.
fn is_gone(bench: &mut Bench) -> Ended {
    match bench.peer.once(&info_request(Nonce([1; 16]), None)) {
        Err(Trouble::Gone) => {}
        Ok(said) => return Err(Flaw::Worked(format!("the session goes on: {said:?}"))),
        Err(trouble) => return Err(trouble.into()),
    }
    let out = stays_out(bench)?;
    let motor = bench.motor_is_as_expected()?;
    Ok(format!("its link was ended; {out}; {motor}"))
}

/// Every request but those for pairing is refused to whoever was not named.
fn unnamed_can_do_nothing(bench: &mut Bench) -> Ended {
    let refusal = can_do_nothing(&mut bench.peer)?;
    let motor = bench.motor_is_as_expected()?;
    Ok(format!("{refusal}; {motor}"))
}

/// The window that the lock tells of, and whether it says it is owned.
fn window(bench: &mut Bench) -> Result<(Nonce, bool), Flaw> {
    match bench.peer.once(&HubToLock::PairInfoRequest)? {
        Said::Window { nonce, owned } => Ok((nonce, owned)),
        other => Err(not_carried_out(format!("no window: {other:?}"))),
    }
}

/// Whether `receipt` is for `claim`.
fn is_receipt_for(said: &Said, claim: &[u8]) -> bool {
    matches!(said, Said::Receipt(receipt) if receipt.claim == Digest32::of(claim))
}
