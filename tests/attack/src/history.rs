//! The lock's log: freeing it, and showing the owner another one.

use drawbridge_daemon::owner::command::{FreshInfo, SignError};
use drawbridge_daemon::owner::log_reading::LogReading;
use drawbridge_daemon::owner::{LockRecord, Standing};
use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::cose::MAX_STATEMENT;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::{Digest32, Nonce, OwnershipId};
use drawbridge_protocol::log_record::{LogCursor, LogEvent, LogRecord, MAX_LOG_RECORD};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::tunnel::HubToLock;

use crate::peer::{Said, Trouble, info_request};
use crate::report::{Ended, Flaw, Report, not_carried_out, refused};
use crate::scene::{Scene, with_seal_of};
use crate::witness::{Witness, head};

/// The fewest records that can be reordered with something before and after.
const ENOUGH: usize = 4;

pub(crate) fn run(scene: &mut Scene<'_>, report: &mut Report, tag: &str) {
    let acks = scene.loot.acks_for(scene.binding.lock);
    let mut attempt = |name: &str, attack: &mut dyn FnMut(&mut Scene<'_>) -> Ended| {
        report.attempt(&format!("{tag}: {name}"), || attack(scene));
    };
    attempt("free the log with leave signed by the hub", &mut |scene| {
        let ack = ack(scene, |_| ())?;
        expect_kept(scene, &ack, &[Reason::Signature])
    });
    attempt(
        "free the log with leave signed by the hub, wrong head",
        &mut |scene| {
            let ack = ack(scene, |ack| ack.head = Digest32([7; 32]))?;
            expect_kept(scene, &ack, &[Reason::Signature])
        },
    );
    attempt(
        "free the log with leave signed by the hub, another ownership",
        &mut |scene| {
            let ack = ack(scene, |ack| ack.ownership = OwnershipId([7; 8]))?;
            expect_kept(scene, &ack, &[Reason::Signature])
        },
    );
    attempt(
        "free the log with the owner's own leave, its number raised",
        &mut |scene| {
            let acks = scene.loot.acks_for(scene.binding.lock);
            let raised = ack(scene, |_| ())?;
            // Without one to steal, the owner's signature on the hub's grant is the next best.
            let seal_of = match acks.last() {
                Some(stolen) => stolen.clone(),
                None => scene.grant()?.to_vec(),
            };
            let forged = with_seal_of(&seal_of, raised, 64);
            expect_kept(scene, &forged, &[Reason::Signature])
        },
    );
    // Nothing to replay is nothing shown: then there is no such attempt.
    if !acks.is_empty() {
        attempt(
            "replay every leave found in the hub's files",
            &mut |scene| {
                let before = oldest(scene)?;
                for stolen in &acks {
                    let said = scene.peer.ask(&HubToLock::AuditAck { statement: stolen })?;
                    if matches!(said, Said::Freed) {
                        // One that still waited for its lock: the owner's own wish, and no more.
                        scene.witness = Witness::begin(&mut scene.peer)?;
                    } else {
                        refused(&said, &[Reason::WrongHead, Reason::Revoked])?;
                    }
                }
                let after = oldest(scene)?;
                scene.with_log(
                    format!("{} found; before: {before}; after: {after}", acks.len()),
                    &[],
                )
            },
        );
    }
    attempt(
        "show the owner a log with records dropped, changed, reordered or cut off",
        &mut forged_logs,
    );
    attempt(
        "show the owner a head that the hub signed, or one of before",
        &mut forged_heads,
    );
}

/// An acknowledgement of the newest record, signed by the hub after `edit`.
fn ack(scene: &mut Scene<'_>, edit: impl FnOnce(&mut AuditAck)) -> Result<Vec<u8>, Trouble> {
    let info = scene.peer.info()?;
    let at = head(&info)?;
    let ownership = info.ownership;
    let mut ack = AuditAck {
        lock: info.lock,
        ownership: ownership.ok_or_else(|| Trouble::Odd("the lock has no owner".into()))?,
        seq: at.seq,
        head: at.head,
    };
    edit(&mut ack);
    let mut out = [0; MAX_STATEMENT];
    let signed = ack.sign(&scene.loot.identity, &mut out);
    Ok(signed
        .map_err(|error| Trouble::Odd(error.to_string()))?
        .to_vec())
}

fn expect_kept(scene: &mut Scene<'_>, ack: &[u8], allowed: &[Reason]) -> Ended {
    let before = oldest(scene)?;
    let said = scene.peer.ask(&HubToLock::AuditAck { statement: ack })?;
    let refusal = refused(&said, allowed)?;
    if oldest(scene)? != before {
        return Err(Flaw::Worked("records are gone".into()));
    }
    scene.with_log(format!("{refusal}; {before}"), &[])
}

/// Which is the oldest record that the lock still has.
fn oldest(scene: &mut Scene<'_>) -> Result<String, Trouble> {
    let records = pull(scene, 1, 1)?;
    let record = records
        .first()
        .and_then(|bytes| LogRecord::decode(bytes).ok())
        .ok_or_else(|| Trouble::Odd("the lock shows no record".into()))?;
    Ok(format!("its oldest record is still {}", record.seq))
}

/// At least `enough` records from number `from` on, or all there are.
fn pull(scene: &mut Scene<'_>, from: u64, enough: usize) -> Result<Vec<Vec<u8>>, Trouble> {
    let (mut all, mut from) = (Vec::new(), from);
    while all.len() < enough {
        let Said::Batch(records) = scene.peer.ask(&HubToLock::LogPull { from })? else {
            return Err(Trouble::Odd("the log cannot be read".into()));
        };
        let Some(last) = records.last() else { break };
        let last = LogRecord::decode(last).map_err(|error| Trouble::Odd(error.to_string()))?;
        from = last.seq + 1;
        all.extend(records);
    }
    Ok(all)
}

/// What the owner knows of this log without the hub: the record of the claim, which the lock's
/// receipt names, or where that was freed by now, the last one that the owner let go.
fn known_to_the_owner(genuine: &[Vec<u8>]) -> Option<LogCursor> {
    let read = |bytes: &Vec<u8>| {
        let record = LogRecord::decode(bytes).ok()?;
        let (seq, head) = (record.seq, Digest32::of(bytes));
        (record.event == LogEvent::Claimed).then_some(LogCursor { seq, head })
    };
    genuine.iter().rev().find_map(read).or_else(|| {
        let oldest = LogRecord::decode(genuine.first()?).ok()?;
        let (seq, head) = (oldest.seq.checked_sub(1)?, oldest.previous);
        Some(LogCursor { seq, head })
    })
}

/// Reads `records` as the owner's tool does, against the head that the lock signed.
fn is_whole(records: &[Vec<u8>], known: LogCursor, signed: LogCursor) -> bool {
    let mut reading = LogReading::from_oldest(known);
    for record in records {
        reading.take(record);
    }
    reading.verdict(signed).is_ok()
}

/// The chain anew from `at` on, after `edit` of that record: every hash is right but the last.
fn rehashed(records: &[Vec<u8>], at: usize, edit: impl FnOnce(&mut LogRecord<'_>)) -> Vec<Vec<u8>> {
    let mut chain: Vec<Vec<u8>> = records.to_vec();
    let mut edit = Some(edit);
    for index in at..records.len() {
        let Ok(mut record) = LogRecord::decode(&records[index]) else {
            continue;
        };
        if let Some(edit) = edit.take() {
            edit(&mut record);
        } else {
            record.previous = Digest32::of(&chain[index - 1]);
        }
        let mut out = [0; MAX_LOG_RECORD];
        chain[index] = record
            .encode(&mut out)
            .map(<[u8]>::to_vec)
            .unwrap_or_default();
    }
    chain
}

fn forged_logs(scene: &mut Scene<'_>) -> Ended {
    let signed = head(&scene.peer.info()?)?;
    let mut genuine = pull(scene, 1, usize::try_from(signed.seq).unwrap_or(usize::MAX))?;
    genuine.retain(|bytes| LogRecord::decode(bytes).is_ok_and(|record| record.seq <= signed.seq));
    let count = genuine.len();
    if count < ENOUGH {
        return Err(not_carried_out(format!("the log has only {count} records")));
    }
    let known = known_to_the_owner(&genuine)
        .ok_or_else(|| not_carried_out("the log begins with no record"))?;
    if !is_whole(&genuine, known, signed) {
        return Err(not_carried_out("the genuine log does not verify"));
    }
    let mut tried = 0;
    let mut check = |what: &str, forged: Vec<Vec<u8>>| {
        tried += 1;
        if forged != genuine && is_whole(&forged, known, signed) {
            Err(Flaw::Worked(format!(
                "the owner's tool believes a log with {what}"
            )))
        } else {
            Ok(())
        }
    };
    for at in 0..count {
        let number = LogRecord::decode(&genuine[at]).map_or(0, |record| record.seq);
        let mut dropped = genuine.clone();
        dropped.remove(at);
        // Without the oldest one, where the owner knows a later one, nothing of the owner's time
        // is hidden.
        if at > 0 || number > known.seq {
            check("a record dropped", dropped)?;
        }
        if number > known.seq {
            check("its start hidden", genuine[at + 1..].to_vec())?;
        }
        check(
            "a record's event changed",
            rehashed(&genuine, at, |record| {
                record.event = match record.event {
                    LogEvent::Boot => LogEvent::MovedByHand,
                    _ => LogEvent::Boot,
                };
            }),
        )?;
        check(
            "a record's actor changed",
            rehashed(&genuine, at, |record| {
                record.actor = match record.actor {
                    Some(_) => None,
                    None => Some(scene.loot.identity.public()),
                };
            }),
        )?;
        check(
            "a record's time changed",
            rehashed(&genuine, at, |record| record.time_ms += 1),
        )?;
        let mut flipped = genuine.clone();
        if let Some(byte) = flipped[at].last_mut() {
            *byte ^= 1;
        }
        check("a bit flipped", flipped)?;
        if at > 0 {
            let mut swapped = genuine.clone();
            swapped.swap(at - 1, at);
            check("two records exchanged", swapped)?;
            let mut doubled = genuine.clone();
            doubled.insert(at, genuine[at - 1].clone());
            check("a record twice", doubled)?;
        }
        // Nothing at all is right where the owner knows the very head.
        if at > 0 || known.seq < signed.seq {
            check("its end cut off", genuine[..at].to_vec())?;
        }
    }
    scene.with_log(
        format!("{tried} forged logs of {count} records, each noticed"),
        &[],
    )
}

fn forged_heads(scene: &mut Scene<'_>) -> Ended {
    let nonce = Nonce(scene.peer.entropy.bytes());
    let Said::Info(old, old_bytes) = scene.peer.ask(&info_request(nonce, None))? else {
        return Err(not_carried_out("no facts"));
    };
    let ownership = old
        .ownership
        .ok_or_else(|| not_carried_out("the lock has no owner"))?;
    let record = LockRecord {
        id: scene.binding.lock,
        name: scene.binding.name.clone(),
        model: scene.binding.model,
        identity: scene.binding.identity,
        link: scene.binding.link,
        standing: Standing::Owned {
            ownership,
            claim: Digest32::ZERO,
            receipt: Vec::new(),
        },
        grants: Vec::new(),
        log: None,
    };
    if FreshInfo::verify(&record, nonce, &old_bytes).is_err() {
        return Err(not_carried_out("the owner's tool refuses the genuine head"));
    }
    let asked = Nonce(scene.peer.entropy.bytes());
    let mut forged = *old;
    (forged.nonce, forged.log_head) = (Some(asked), Some(Digest32([9; 32])));
    let mut out = [0; MAX_STATEMENT];
    let forged = forged
        .sign(&scene.loot.identity, &mut out)
        .map_err(|error| not_carried_out(error.to_string()))?
        .to_vec();
    let transplanted = with_seal_of(&old_bytes, forged.clone(), 64);
    for (what, bytes, expected) in [
        ("signed by the hub", &forged, "verify"),
        ("under the seal of another answer", &transplanted, "verify"),
        ("of before", &old_bytes, "fresh"),
    ] {
        let refusal = match FreshInfo::verify(&record, asked, bytes) {
            Ok(_) => return Err(Flaw::Worked(format!("a head {what} is believed"))),
            Err(refusal) => refusal,
        };
        let right = match expected {
            "fresh" => matches!(refusal, SignError::NotFresh),
            _ => matches!(refusal, SignError::Info(_)),
        };
        if !right {
            return Err(not_carried_out(format!("{what}: {refusal}")));
        }
    }
    scene.with_log(
        "3 heads refused: two by the signature, the old one by the owner's fresh nonce".into(),
        &[],
    )
}
