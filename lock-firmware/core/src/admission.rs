//! Commands and queries: the checks, in their fixed order.

use drawbridge_protocol::command::{
    Command, MAX_AHEAD_DIRECT_MS, MAX_AHEAD_VIA_HUB_MS, ReadCommand,
};
use drawbridge_protocol::grant::Rights;
use drawbridge_protocol::keys::{IdentityKey, LinkKey};
use drawbridge_protocol::log_record::LogEvent;
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::report::{Cause, Position};

use crate::actuation::Ordered;
use crate::decided::{Admission, Recall};
use crate::flash::Flash;
use crate::grants::standing;
use crate::history::{Entry, Room};
use crate::intents::Ending;
use crate::lock::Lock;
use crate::output::Reply;
use crate::peers::Place;
use crate::sensors::target_of;

/// Number of [`drawbridge_protocol::tunnel::HubToLock::Command`], for unsigned refusals.
const COMMAND: u8 = 2;
/// Number of [`drawbridge_protocol::tunnel::HubToLock::Query`].
const QUERY: u8 = 3;

/// Who signed a command, and what that allows.
struct Signer {
    identity: IdentityKey,
    link: LinkKey,
    rights: Rights,
    is_owner: bool,
}

/// What is to be answered.
enum Answer {
    /// Nothing yet: the motor is at work for these very bytes.
    Later,
    /// Signed, about the command.
    Signed { ending: Ending, duplicate: bool },
    /// Unsigned: whoever sent these bytes need not be whoever signed the command with that id, so
    /// they must not get a signed word about it.
    Unsigned(Reason),
}

const fn refused(reason: Reason) -> Ending {
    let verdict = match reason {
        Reason::Expired => Verdict::Expired,
        _ => Verdict::Refused,
    };
    Ending { verdict, reason }
}

impl<F: Flash> Lock<F> {
    /// A command: at most one start of the motor, ever, for its id.
    pub(crate) fn handle_command(&mut self, from: Place, statement: &[u8], now_ms: u64) {
        self.decide(from, statement, now_ms, COMMAND);
    }

    /// A query about a command: never moves anything.
    pub(crate) fn handle_query(&mut self, from: Place, statement: &[u8], now_ms: u64) {
        self.decide(from, statement, now_ms, QUERY);
    }

    fn decide(&mut self, from: Place, statement: &[u8], now_ms: u64, request: u8) {
        // Form.
        let Ok(read) = Command::read(statement) else {
            self.reply(
                from,
                Reply::Refused {
                    request,
                    reason: Reason::Form,
                },
            );
            return;
        };
        // Signature.
        let signer = match self.signer_of(&read) {
            Ok(signer) => signer,
            Err(reason) => {
                self.strangers += 1;
                self.reply(from, Reply::Refused { request, reason });
                return;
            }
        };
        let answer = match self.remembered(from, &read, &signer, now_ms) {
            Some(answer) => answer,
            None if request == QUERY => self.answer_query(&read, &signer, now_ms),
            None => self.admit(from, &read, &signer, statement, now_ms),
        };
        match answer {
            Answer::Later => {}
            Answer::Signed { ending, duplicate } => {
                let holder = signer.identity;
                self.reply(
                    from,
                    Reply::Outcome {
                        command: read.id,
                        ending,
                        duplicate,
                        holder,
                    },
                );
            }
            Answer::Unsigned(reason) => self.reply(from, Reply::Refused { request, reason }),
        }
    }

    /// Whose key the command must verify under, and whether it does. A command for another lock
    /// stops here too: whatever its signature, it says nothing about this one.
    fn signer_of(&self, read: &ReadCommand<'_>) -> Result<Signer, Reason> {
        if read.command.lock != self.factory.lock {
            return Err(Reason::WrongLock);
        }
        let owner = self.owner.as_ref().ok_or(Reason::NotOwned)?;
        let signer = match &read.command.grant {
            None => Signer {
                identity: owner.keys.identity,
                link: owner.keys.link,
                rights: Rights::ALL,
                is_owner: true,
            },
            Some(hash) => {
                let grant = self.grants.find(hash).ok_or(Reason::GrantUnknown)?;
                Signer {
                    identity: grant.holder,
                    link: grant.holder_link,
                    rights: grant.rights,
                    is_owner: grant.holder == owner.keys.identity,
                }
            }
        };
        read.verify(&signer.identity)
            .map_err(|_| Reason::Signature)?;
        Ok(signer)
    }

    /// What was decided before about this id, in RAM or in the index of intents.
    fn remembered(
        &mut self,
        from: Place,
        read: &ReadCommand<'_>,
        signer: &Signer,
        now_ms: u64,
    ) -> Option<Answer> {
        if let Some(act) = &mut self.actuation
            && let Some(ordered) = &mut act.ordered
            && ordered.command == read.id
        {
            if ordered.digest != read.digest {
                return Some(Answer::Unsigned(Reason::IdReused));
            }
            ordered.to.add(from);
            return Some(Answer::Later);
        }
        match self
            .decided
            .recall(&signer.identity, &read.id, &read.digest, now_ms)
        {
            Recall::Same(ending) => {
                return Some(Answer::Signed {
                    ending,
                    duplicate: true,
                });
            }
            Recall::OtherBytes => return Some(Answer::Unsigned(Reason::IdReused)),
            Recall::New => {}
        }
        let indexed = self.memory.intents.find(&read.id)?;
        if indexed.digest != read.digest {
            return Some(Answer::Unsigned(Reason::IdReused));
        }
        Some(
            indexed
                .ending
                .map_or(Answer::Later, |ending| Answer::Signed {
                    ending,
                    duplicate: true,
                }),
        )
    }

    /// "Never executed" is only said while the index would know: else nobody can tell any more.
    fn never_executed(&self, read: &ReadCommand<'_>, ending: Ending) -> Ending {
        // Whoever signed it, a command of this run was not executed before the run began: holders
        // who may not view do not know where the log stands, and sign on 0.
        let signed_on = if read.command.epoch == self.epoch {
            read.command.log_position.max(self.epoch_from)
        } else {
            read.command.log_position
        };
        let newest = self.memory.history.newest();
        if self.memory.intents.reaches(signed_on, newest) {
            ending
        } else {
            Ending {
                verdict: Verdict::Forgotten,
                reason: Reason::Forgotten,
            }
        }
    }

    fn answer_query(&mut self, read: &ReadCommand<'_>, signer: &Signer, now_ms: u64) -> Answer {
        let command = &read.command;
        let outnumbered = command.counter <= self.decided.counter(&signer.identity);
        let dead = command.epoch != self.epoch || now_ms >= command.expiry_ms || outnumbered;
        if outnumbered {
            self.decided
                .keep_counter(&signer.identity, command.expiry_ms);
        }
        let ending = if dead {
            let ending = Ending {
                verdict: Verdict::NotExecuted,
                reason: Reason::NotSeen,
            };
            self.never_executed(read, ending)
        } else {
            Ending {
                verdict: Verdict::NotSeen,
                reason: Reason::NotSeen,
            }
        };
        Answer::Signed {
            ending,
            duplicate: false,
        }
    }

    /// Epoch, chain, right, expiry, counter, then the bolt. The order is the specification's.
    fn admit(
        &mut self,
        from: Place,
        read: &ReadCommand<'_>,
        signer: &Signer,
        statement: &[u8],
        now_ms: u64,
    ) -> Answer {
        let command = &read.command;
        let stays_dead = if command.epoch == self.epoch {
            self.chain_stands(command.grant.is_some(), read)
        } else {
            Err(Reason::WrongEpoch)
        };
        if let Err(reason) = stays_dead {
            if reason != Reason::WrongEpoch {
                self.note_refusal(read, signer, reason, now_ms);
            }
            let ending = self.never_executed(read, refused(reason));
            return Answer::Signed {
                ending,
                duplicate: false,
            };
        }
        let (holder, expiry) = (signer.identity, command.expiry_ms);
        match self
            .decided
            .admit_holder(&holder, signer.is_owner, expiry, now_ms)
        {
            Admission::Given => {}
            Admission::TurnedAway => {
                let ending = self.never_executed(read, refused(Reason::Busy));
                return Answer::Signed {
                    ending,
                    duplicate: false,
                };
            }
            Admission::Undecided => return Answer::Unsigned(Reason::Busy),
        }
        let target = target_of(command.action);
        let checked = self.check_use(from, read, signer, target, now_ms);
        // From here on the counter is spent, whatever comes of it.
        self.decided.consume(&holder, command.counter);
        let driven = checked.and_then(|()| {
            let room = if signer.is_owner {
                Room::Owner
            } else {
                Room::Guest
            };
            let ordered = Ordered {
                command: read.id,
                digest: read.digest,
                holder,
                grant: command.grant,
                statement,
                from,
            };
            self.drive(target, Some(ordered), room, now_ms)
        });
        match driven {
            Ok(()) => Answer::Later,
            Err(reason) => {
                // Never a command of this run that was signed on a record which is not there yet
                // has got further than here, so the index need not know it.
                let ending = if reason == Reason::WrongHead {
                    refused(reason)
                } else {
                    self.never_executed(read, refused(reason))
                };
                let intents = &self.memory.intents;
                self.decided
                    .remember(&holder, read.id, read.digest, ending, now_ms, intents);
                self.note_refusal(read, signer, reason, now_ms);
                Answer::Signed {
                    ending,
                    duplicate: false,
                }
            }
        }
    }

    /// Writes down who was refused what. More of them than the bucket allows are counted
    /// in the next such record.
    fn note_refusal(
        &mut self,
        read: &ReadCommand<'_>,
        signer: &Signer,
        reason: Reason,
        now_ms: u64,
    ) {
        self.refused = self.refused.saturating_add(1);
        if self.halted || !self.refusals.take(now_ms) {
            return;
        }
        let mut entry = Entry::new(LogEvent::Refused, Cause::Command);
        entry.actor = Some(signer.identity);
        entry.grant = read.command.grant;
        entry.command = Some(read.id);
        entry.reason = Some(reason);
        entry.count = Some(self.refused);
        if self.note(&entry, Room::Optional, now_ms).is_some() {
            self.refused = 0;
        }
    }

    fn chain_stands(&self, granted: bool, read: &ReadCommand<'_>) -> Result<(), Reason> {
        if !granted {
            return Ok(());
        }
        let owner = self.owner.as_ref().ok_or(Reason::NotOwned)?;
        let grant = read
            .command
            .grant
            .as_ref()
            .and_then(|hash| self.grants.find(hash));
        standing(grant.ok_or(Reason::GrantUnknown)?, owner, self.policy_epoch)
    }

    /// Right, expiry, counter, and whether the bolt is free. Schedule, transport and uses follow
    /// the right here once grants carry them.
    fn check_use(
        &self,
        from: Place,
        read: &ReadCommand<'_>,
        signer: &Signer,
        target: Position,
        now_ms: u64,
    ) -> Result<(), Reason> {
        let command = &read.command;
        if target == Position::Unknown {
            return Err(Reason::Unsupported);
        }
        if !signer.rights.contains(command.action.right()) {
            return Err(Reason::NoRight);
        }
        let direct = self
            .peers
            .get(from)
            .is_some_and(|peer| peer.record.link == signer.link);
        let ahead = if direct {
            MAX_AHEAD_DIRECT_MS
        } else {
            MAX_AHEAD_VIA_HUB_MS
        };
        if now_ms >= command.expiry_ms {
            return Err(Reason::Expired);
        }
        if command.expiry_ms > now_ms.saturating_add(ahead) {
            return Err(Reason::TooFarAhead);
        }
        // It would put itself outside of what the index of intents can tell.
        if command.log_position > self.memory.history.newest() {
            return Err(Reason::WrongHead);
        }
        if command.counter <= self.decided.counter(&signer.identity) {
            return Err(Reason::Counter);
        }
        if self.actuation.is_some() {
            return Err(Reason::Busy);
        }
        Ok(())
    }
}
