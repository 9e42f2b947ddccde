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
            // Of a verdict of a later version only that it is none of ours is known: as for one that
            // the lock has forgotten, its log decides.
            Verdict::Forgotten | Verdict::Other(_) => {
                let up_to = outcome.info.log_seq.unwrap_or(0);
                if let Some(tracked) = self.commands.tracked.get_mut(&id) {
                    tracked.forgotten = Some((statement.to_vec(), up_to));
                }
                self.conclude_from_log(lock, now);
            }
            verdict => {
                let ending = Ending {
                    status: verdict.name(),
                    reason: outcome.reason,
                    position: Some(outcome.position),
                    report: Some(statement),
                    is_remembered: true,
                };
                self.conclude(id, &ending, now);
            }
        }
    }

    /// The lock will not sign a word about these bytes: it knows nobody who signed them, or their id
    /// belongs to others. Without an end here they would be sent for ever, and everything behind
    /// them would wait. What the hub says in the lock's place is provisional.
    pub(in crate::core) fn command_refused(
        &mut self,
        lock: LockId,
        is_query: bool,
        reason: Reason,
        now: Now,
    ) {
        let Some(state) = self.locks.get_mut(&lock) else {
            return;
        };
        let refused = state.command_lane.take_if(|lane| lane.is_query == is_query);
        let Some(id) = refused.map(|lane| lane.id) else {
            return;
        };
        self.touch(lock);
        let fields = vec![
            ("lock", lock.to_string()),
            ("command", id.to_string()),
            ("reason", reason.name().to_owned()),
        ];
        self.journal(Level::Warn, "command_refused_unsigned", fields);
        if reason == Reason::GrantUnknown && self.grant_anew(lock, id) {
            return;
        }
        // A query is asked of what may have been obeyed before: by an owner who is no longer, say.
        let never_stood = matches!(
            reason,
            Reason::Signature | Reason::Form | Reason::WrongLock | Reason::IdReused
        );
        let (status, reason) = if is_query && !never_stood {
            ("failed", Reason::Forgotten)
        } else {
            ("refused", reason)
        };
        let ending = Ending {
            status,
            reason,
            position: None,
            report: None,
            is_remembered: false,
        };
        self.conclude(id, &ending, now);
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

    /// Ends those commands that the lock has forgotten and its log decides: it says what happened,
    /// it was followed to its end, or it can be followed no further.
    pub(in crate::core) fn conclude_from_log(&mut self, lock: LockId, now: Now) {
        let may_pull = self.may_pull(lock);
        let Some(seq) = self.locks.get(&lock).map(|state| state.log.cursor.seq) else {
            return;
        };
        let decided: Vec<_> = self
            .commands
            .tracked
            .iter()
            .filter(|(_, tracked)| tracked.lock == lock)
            .filter_map(|(id, tracked)| {
                let (statement, up_to) = tracked.forgotten.as_ref()?;
                let waits = tracked.logged.is_none() && may_pull && seq < *up_to;
                (!waits).then(|| (*id, statement.clone(), tracked.logged))
            })
            .collect();
        for (id, statement, logged) in decided {
            // What nobody saw may have happened all the same: unknown is never called undone.
            let (reason, position) = logged.map_or((Reason::Forgotten, None), |logged| {
                (logged.reason, logged.position)
            });
            let verdict = if reason == Reason::None {
                Verdict::Done
            } else {
                Verdict::Failed
            };
            let ending = Ending {
                status: verdict.name(),
                reason,
                position,
                report: Some(&statement),
                is_remembered: true,
            };
            let fields = vec![("lock", lock.to_string()), ("command", id.to_string())];
            self.journal(Level::Warn, "outcome_forgotten", fields);
            self.conclude(id, &ending, now);
        }
    }
}
