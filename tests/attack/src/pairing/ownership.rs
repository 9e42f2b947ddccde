//! What was good under one ownership or one run of the lock, carried over into the next.

use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::cose::MAX_STATEMENT;
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::ids::{Digest32, OwnershipId};
use drawbridge_protocol::keys::IdentitySecret;
use drawbridge_protocol::log_record::LogRecord;
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::tunnel::HubToLock;

use crate::peer::Said;
use crate::replay::is_dead;
use crate::report::{Ended, Flaw, Report, not_carried_out, refused};
use crate::scene::{sign, with_seal_of};
use crate::witness::head;

use super::bench::Bench;

/// What the hub kept of the first ownership.
struct Kept {
    claim: Vec<u8>,
    grant: Vec<u8>,
    ack: Vec<u8>,
    used: Vec<u8>,
    withheld: Vec<u8>,
}

/// Starts with a lock that is owned with another hub; ends with one that is owned with this one.
pub(super) fn run(bench: &mut Bench, report: &mut Report) {
    let kept = match first_ownership(bench) {
        Ok(kept) => kept,
        Err(flaw) => return report.attempt("pairing: an honest first ownership", || Err(flaw)),
    };
    report.attempt("owner's command: replay in the same session", || {
        replay(bench, &kept.used)
    });
    report.attempt("owner's command: replay in a new session", || {
        rejoin(bench)?;
        replay(bench, &kept.used)
    });
    report.attempt(
        "owner's command: replay after the lock was started anew",
        || {
            bench.knob(r#"{"do":"reboot"}"#)?;
            rejoin(bench)?;
            replay(bench, &kept.used)
        },
    );
    report.attempt(
        "owner's command: held back, delivered after a new start",
        || replay(bench, &kept.withheld),
    );
    let second = pair(bench);
    report.attempt("older ownership: its grant", || {
        if let Err(flaw) = &second {
            return Err(not_carried_out(flaw.to_string()));
        }
        let said = bench.peer.ask(&HubToLock::PresentGrant {
            statement: &kept.grant,
        })?;
        let refusal = refused(&said, &[Reason::Revoked])?;
        let info = bench.peer.info()?;
        let command = Command {
            lock: info.lock,
            action: Action::Lock,
            epoch: info.epoch,
            counter: info.counter + 1,
            log_position: info.log_seq.unwrap_or(0),
            expiry_ms: info.time_ms + 9_000,
            grant: Some(Digest32::of(&kept.grant)),
        };
        let command = sign(&command, &bench.peer.identity);
        let said = bench.peer.ask(&HubToLock::Command {
            statement: &command,
        })?;
        let used = refused(&said, &[Reason::GrantUnknown])?;
        bench.motor_is_as_expected()?;
        Ok(format!("{refusal}; used anyway: {used}"))
    });
    report.attempt("older ownership: its leave to free the log", || {
        let said = bench.peer.ask(&HubToLock::AuditAck {
            statement: &kept.ack,
        })?;
        refused(&said, &[Reason::Revoked])
    });
    report.attempt("older ownership: its claim", || {
        let said = bench.peer.ask(&HubToLock::Claim {
            statement: &kept.claim,
        })?;
        refused(&said, &[Reason::AlreadyOwned])
    });
    for (name, bytes) in [("used", &kept.used), ("held back", &kept.withheld)] {
        report.attempt(
            &format!("older ownership: a command that was {name}"),
            || replay(bench, bytes),
        );
    }
    report.attempt(
        "owner's leave to free the log: raised, and replayed",
        || {
            let (claim, _) = second?;
            leave_frees_no_more(bench, &claim)
        },
    );
}

/// The owner resets the lock by hand, pairs it through this hub, and uses it.
fn first_ownership(bench: &mut Bench) -> Result<Kept, Flaw> {
    let (claim, grant) = pair(bench)?;
    let used = bench.owner_command(Action::Unlock)?;
    let said = bench.peer.ask(&HubToLock::Command { statement: &used })?;
    match said {
        Said::Outcome(outcome) if outcome.verdict == Verdict::Done => bench.turns += 1,
        other => {
            return Err(not_carried_out(format!(
                "the owner's command fails: {other:?}"
            )));
        }
    }
    bench.motor_is_as_expected()?;
    let withheld = bench.owner_command(Action::Lock)?;
    let audit = bench.owner.audit.clone();
    let ack = owner_ack(bench, &claim, &audit)?;
    Ok(Kept {
        claim,
        grant,
        ack,
        used,
        withheld,
    })
}

/// Leave to free everything up to the head of now, under the ownership that `claim` began.
fn owner_ack(bench: &mut Bench, claim: &[u8], key: &IdentitySecret) -> Result<Vec<u8>, Flaw> {
    let at = head(&bench.peer.info()?)?;
    let ack = AuditAck {
        lock: bench.ticket.lock,
        ownership: OwnershipId::of_claim(claim),
        seq: at.seq,
        head: at.head,
    };
    let mut out = [0; MAX_STATEMENT];
    ack.sign(key, &mut out)
        .map(<[u8]>::to_vec)
        .map_err(|error| not_carried_out(error.to_string()))
}

/// The number of the oldest record that the lock still has.
fn oldest(bench: &mut Bench) -> Result<u64, Flaw> {
    let said = bench.peer.ask(&HubToLock::LogPull { from: 1 })?;
    let Said::Batch(records) = &said else {
        return Err(not_carried_out(format!("no log: {said:?}")));
    };
    records
        .first()
        .and_then(|bytes| LogRecord::decode(bytes).ok())
        .map(|record| record.seq)
        .ok_or_else(|| not_carried_out("the lock shows no record"))
}

/// The owner's leave frees what it names, once; with its seal on another number, nothing.
fn leave_frees_no_more(bench: &mut Bench, claim: &[u8]) -> Ended {
    let (audit, hub) = (bench.owner.audit.clone(), bench.peer.identity.clone());
    let genuine = owner_ack(bench, claim, &audit)?;
    let said = bench.peer.ask(&HubToLock::AuditAck {
        statement: &genuine,
    })?;
    if !matches!(said, Said::Freed) {
        return Err(not_carried_out(format!(
            "the owner's leave is refused: {said:?}"
        )));
    }
    // Something new to free: the lock writes down that it started.
    bench.knob(r#"{"do":"reboot"}"#)?;
    rejoin(bench)?;
    let before = oldest(bench)?;
    let raised = with_seal_of(&genuine, owner_ack(bench, claim, &hub)?, 64);
    let said = bench
        .peer
        .ask(&HubToLock::AuditAck { statement: &raised })?;
    let refusal = refused(&said, &[Reason::Signature])?;
    let replayed = bench.peer.ask(&HubToLock::AuditAck {
        statement: &genuine,
    })?;
    let after = oldest(bench)?;
    if before == after {
        Ok(format!(
            "raised: {refusal}; replayed: {replayed:?}; the oldest record is still {after}"
        ))
    } else {
        Err(Flaw::Worked(format!(
            "records {before} to {after} are gone"
        )))
    }
}

fn pair(bench: &mut Bench) -> Result<(Vec<u8>, Vec<u8>), Flaw> {
    bench.knob(r#"{"do":"button","held_ms":10000}"#)?;
    bench.peer.grant = None;
    bench.open_window()?;
    let claim = bench.owner_claims(true)?;
    let policy_epoch = bench.peer.info()?.policy_epoch;
    let grant = bench.hub_grant(&claim, policy_epoch)?;
    let said = bench
        .peer
        .ask(&HubToLock::PresentGrant { statement: &grant })?;
    if !matches!(said, Said::Granted(hash) if hash == Digest32::of(&grant)) {
        return Err(not_carried_out(format!(
            "the honest grant is refused: {said:?}"
        )));
    }
    bench.peer.grant = Some(grant.clone());
    Ok((claim, grant))
}

fn rejoin(bench: &mut Bench) -> Result<(), Flaw> {
    bench.peer.leave();
    Ok(bench.peer.join(Purpose::Session)?)
}

fn replay(bench: &mut Bench, command: &[u8]) -> Ended {
    let said = bench.peer.ask(&HubToLock::Command { statement: command })?;
    let answer = is_dead(&said)?;
    let motor = bench.motor_is_as_expected()?;
    Ok(format!("{answer}; {motor}"))
}
