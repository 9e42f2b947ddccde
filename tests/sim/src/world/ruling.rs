//! What the judge is shown: starts of motors, results that users hear, the hub's own numbers.

use base64ct::{Base64, Encoding};
use drawbridge_protocol::command::{Action, MAX_AHEAD_VIA_HUB_MS};
use drawbridge_protocol::ids::{CommandId, Digest32};
use drawbridge_protocol::log_record::{LogEvent, LogRecord};
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::report::{Cause, Position};
use serde_json::Value;

use super::World;
use crate::schedule::Who;

/// Changes that may wait for a disk that takes none.
const MAX_UNSTORED: u64 = 3_000;

/// Whether two ends of a command leave the same bolt: what nobody can tell any more contradicts
/// nothing.
fn agree(one: &(String, String), other: &(String, String)) -> bool {
    let effect = |(status, reason): &(String, String)| match status.as_str() {
        _ if reason == "forgotten" => None,
        "done" => Some(2),
        "failed" => Some(1),
        _ => Some(0),
    };
    match (effect(one), effect(other)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}

impl World {
    /// I1, I3: a motor starts. Its reason has to be on flash by now, and be a good one.
    pub(super) fn motor_starts(&mut self, lock: usize, target: Position) {
        self.tally.motor_starts += 1;
        self.mix(lock as u64);
        if let Err((invariant, what)) = self.reason_to_move(lock, target) {
            self.violate(invariant, format!("lock {lock} starts its motor: {what}"));
        }
    }

    fn reason_to_move(&mut self, lock: usize, target: Position) -> Result<(), (u8, String)> {
        let wrong = |what: &str| Err((1, what.to_owned()));
        let site = &mut self.sites[lock];
        let at_ms = site.door.lock_time(self.now);
        let Some((status, (seq, bytes))) = site.door.status().zip(site.door.chip.newest_record())
        else {
            return wrong("no record on flash");
        };
        let Ok(record) = LogRecord::decode(&bytes) else {
            return wrong("the newest record is none");
        };
        let is_now = record.boot == status.boot && record.time_ms == at_ms;
        if record.event != LogEvent::Intent || record.position != Some(target) || !is_now {
            return wrong("the newest record is no intent of this moment");
        }
        site.intents.insert(seq, Digest32::of(&bytes));
        let (id, evidence) = match (record.cause, record.command, record.evidence) {
            (Cause::AutoRelock, None, None) if target == Position::Locked => return Ok(()),
            (Cause::Command, Some(id), Some(evidence)) => (id, evidence),
            _ => return wrong("the intent has no cause"),
        };
        if let Some(whole) = self.users.spoilt.remove(evidence) {
            self.users.mend(id, whole);
        }
        let Some(issued) = self.users.issued.get_mut(&id) else {
            return wrong("nobody signed such a command");
        };
        let wanted = match issued.action {
            Action::Lock => Position::Locked,
            _ => Position::Unlocked,
        };
        if !issued.may_act || issued.lock != lock || issued.statement != evidence {
            return wrong("for a command that must not act");
        }
        if issued.sent == 0 || wanted != target || issued.epoch != status.epoch {
            return wrong("for a command of another run, or another action, or not sent");
        }
        if at_ms >= issued.expiry_ms || issued.expiry_ms > at_ms + MAX_AHEAD_VIA_HUB_MS {
            return wrong("for a command outside its time");
        }
        issued.starts += 1;
        if issued.starts > 1 {
            return Err((3, format!("command {id} acts again")));
        }
        if let Some((status, _)) = &issued.end {
            return Err((2, format!("command {id} acts after it ended as {status}")));
        }
        let (holder, counter) = (issued.holder, issued.counter);
        site.driving = Some((lock, id));
        let name = site.door.factory.lock;
        if !self.judge.acted(name, status.boot, holder, counter) {
            return Err((5, format!("counter {counter} of command {id} was spent")));
        }
        self.note(|| format!("lock {lock} moves for {id}"));
        Ok(())
    }

    /// A result document came to a user.
    pub(super) fn result_told(&mut self, lock: usize, said: &Value) {
        let id = said["command"].as_str().and_then(|text| text.parse().ok());
        let Some(id) = id else {
            return self.violate(2, format!("a result without a command: {said}"));
        };
        self.note(|| format!("told of {id}: {} {}", said["status"], said["reason"]));
        let Some(status) = said["status"].as_str().map(str::to_owned) else {
            return self.violate(2, format!("a result without a status: {said}"));
        };
        if let Err(what) = self.judge_result(lock, id, &status, said) {
            self.violate(2, format!("command {id}: {what}"));
        }
    }

    /// I2: what is told as the end was signed by the lock, is true, and is told of no other end.
    fn judge_result(
        &mut self,
        lock: usize,
        id: CommandId,
        status: &str,
        said: &Value,
    ) -> Result<(), String> {
        let Some(issued) = self.users.issued.get_mut(&id) else {
            // Spoilt bytes have an id of their own, which nobody waits for.
            return Ok(());
        };
        let Some(report) = said["report"].as_str() else {
            issued.is_accepted |= status == "accepted" && issued.lock == lock;
            // Of bytes that it takes for nobody's the lock says nothing: the hub says so in its place.
            let is_nobodys = !issued.may_act || issued.who == Who::Hub;
            let told_off = status == "refused" || (status == "failed" && is_nobodys);
            issued.is_turned_away |= told_off;
            return if told_off || matches!(status, "accepted" | "delivered" | "unknown") {
                Ok(())
            } else {
                Err(format!("{status} without the lock's signature"))
            };
        };
        let key = self.sites[lock].door.factory.identity.public();
        let outcome = Base64::decode_vec(report)
            .ok()
            .and_then(|bytes| Outcome::verify(&bytes, &key).ok())
            .filter(|outcome| outcome.command == id)
            .ok_or("the report is not the lock's word on it")?;
        let is_told_so = outcome.verdict.name() == status;
        if !is_told_so && outcome.verdict != Verdict::Forgotten {
            return Err(format!("told as {status}, signed as {:?}", outcome.verdict));
        }
        let reason = said["reason"].as_str().unwrap_or_default().to_owned();
        let truth = match status {
            "done" => issued.starts == 1 && issued.has_arrived,
            "failed" => issued.starts <= 1,
            "refused" | "expired" | "not_executed" => issued.starts == 0,
            _ => false,
        };
        if !truth {
            let (starts, arrived) = (issued.starts, issued.has_arrived);
            return Err(format!(
                "told {status} ({reason}), but {starts} starts, arrived {arrived}"
            ));
        }
        let end = (status.to_owned(), reason);
        match &issued.end {
            None => {
                *self.tally.finals.entry(status.to_owned()).or_default() += 1;
                issued.end = Some(end);
            }
            Some(known) if *known == end => {}
            // Asked about again when hub and lock had both forgotten it (other commands since, a
            // disk that took no end), it ends as much undone as before.
            Some(known) if agree(known, &end) => {}
            Some(known) => return Err(format!("ended as {known:?} and as {end:?}")),
        }
        let holder = issued.holder;
        self.judge.standing(holder, &outcome.info)
    }

    /// I2, at rest: whoever heard that his command was accepted has heard how it ended.
    pub(super) fn judge_ends(&mut self) {
        let open = self.users.issued.iter().find(|(_, issued)| {
            let turned_away = issued.is_turned_away && (!issued.may_act || issued.who == Who::Hub);
            issued.is_accepted && issued.end.is_none() && !turned_away
        });
        if let Some((id, _)) = open {
            let what = format!("command {id} was accepted, and nobody heard how it ended");
            self.violate(2, what);
        }
    }

    /// I4, at rest: the auditor has every record that a motor was started on, as it was.
    pub(super) fn judge_logs(&mut self) {
        for lock in 0..self.sites.len() {
            let site = &mut self.sites[lock];
            let intents = std::mem::take(&mut site.intents);
            let records = &site.auditor.records;
            let lost = intents.into_iter().find(|(seq, digest)| {
                let record = (*seq as usize)
                    .checked_sub(1)
                    .and_then(|at| records.get(at));
                record.is_none_or(|bytes| Digest32::of(bytes) != *digest)
            });
            if let Some((seq, _)) = lost {
                self.violate(4, format!("record {seq} of lock {lock} is lost"));
            }
        }
    }

    /// I7: what the hub says of its queues.
    pub(super) fn status_told(&mut self, status: Value) {
        let number = |name: &str| status[name].as_u64().unwrap_or(u64::MAX);
        let config = &self.config;
        let bounds = [
            ("commands", config.commands as u64),
            ("finals", config.finals as u64),
            ("outbox_kept", 2 * config.outbox_kept as u64),
            (
                "outbox",
                2 * (config.outbox_kept + config.outbox_passing) as u64 + 64,
            ),
            ("unstored", MAX_UNSTORED),
        ];
        let over = bounds
            .into_iter()
            .find(|(name, bound)| number(name) > *bound);
        if let Some((name, bound)) = over {
            let what = format!("{} {name}, bound {bound}", number(name));
            self.violate(7, what);
        }
        self.users.status = Some(status);
    }
}
