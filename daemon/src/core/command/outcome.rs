//! What the lock says became of a command.

use drawbridge_protocol::ids::{CommandId, LockId};
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::reason::Reason;

use super::Attempt;
use super::conclude::Ending;
use crate::core::action::Level;
use crate::core::hub::Hub;
use crate::core::now::Now;

/// How long the lock may take to send a report of its own after an outcome, in milliseconds.
const REPORT_MS: u64 = 300;

impl Hub {
    /// An outcome came inside the session. It counts only if the lock's identity key signed it.
    pub(in crate::core) fn outcome(
        &mut self,
        lock: LockId,
        id: CommandId,
        statement: &[u8],
        now: Now,
    ) {
        let Some(state) = self.locks.get_mut(&lock) else {
            return;
        };
        let verified = Outcome::verify(statement, &state.binding.identity)
            .ok()
            .filter(|outcome| outcome.command == id && outcome.info.lock == lock);
        let Some(outcome) = verified else {
            self.journal(
                Level::Error,
                "outcome_forged",
                vec![("lock", lock.to_string()), ("command", id.to_string())],
            );
            return;
        };
        let answered = state.command_lane.take_if(|lane| lane.id == id);
        if answered.is_some() {
            state.used_at = now.mono_ms;
        }
        let reported = state.report.as_ref();
        let is_news = reported.is_none_or(|report| {
            (report.boot, report.time_ms) < (outcome.info.boot, outcome.info.time_ms)
        });
        if is_news {
            state.report_at = Some(now.mono_ms.saturating_add(REPORT_MS));
        }
        self.touch(lock);
        self.learn_info(lock, &outcome.info);
        let Some(tracked) = self.commands.tracked.get_mut(&id) else {
            return;
        };
        if tracked.lock != lock {
            return;
        }
        match outcome.verdict {
            Verdict::NotSeen => {
                // It can still be delivered. Only a query may say so: after a command it would
                // have the hub send and ask for ever.
                if answered.is_some_and(|lane| lane.is_query) {
                    tracked.attempt = Attempt::Fresh;
                } else {
                    self.condemn(lock);
                }
            }
            Verdict::Refused
                if outcome.reason == Reason::GrantUnknown && self.grant_anew(lock, id) => {}
            Verdict::Forgotten => self.conclude_from_log(lock, id, statement, now),
            verdict => {
                let ending = Ending {
                    status: verdict.name(),
                    reason: outcome.reason,
                    position: Some(outcome.position),
                    report: Some(statement),
                };
                self.conclude(id, &ending, now);
            }
        }
    }

    /// Presents the hub's own grant once more if that is the one the command is signed under.
    /// The lock decides the command anew, and still acts on its id at most once.
    fn grant_anew(&mut self, lock: LockId, id: CommandId) -> bool {
        let (Some(state), Some(tracked)) = (
            self.locks.get_mut(&lock),
            self.commands.tracked.get_mut(&id),
        ) else {
            return false;
        };
        let own = state.binding.verified_grant().map(|grant| grant.hash);
        if tracked.is_granted_anew || own.is_none() || tracked.grant != own {
            return false;
        }
        tracked.is_granted_anew = true;
        tracked.attempt = Attempt::Fresh;
        state.wants.grant = true;
        true
    }

    /// The lock cannot tell any more: its log decides, as far as it was followed.
    fn conclude_from_log(&mut self, lock: LockId, id: CommandId, statement: &[u8], now: Now) {
        let logged = self
            .commands
            .tracked
            .get(&id)
            .and_then(|tracked| tracked.logged);
        let ending = match logged {
            Some(logged) if logged.reason == Reason::None => Ending {
                status: Verdict::Done.name(),
                reason: Reason::None,
                position: logged.position,
                report: Some(statement),
            },
            Some(logged) => Ending {
                status: Verdict::Failed.name(),
                reason: logged.reason,
                position: logged.position,
                report: Some(statement),
            },
            None => Ending {
                status: Verdict::Failed.name(),
                reason: Reason::Forgotten,
                position: None,
                report: Some(statement),
            },
        };
        self.journal(
            Level::Warn,
            "outcome_forgotten",
            vec![("lock", lock.to_string()), ("command", id.to_string())],
        );
        self.conclude(id, &ending, now);
    }
}
