//! What the lock's own log says about an attempt.
//!
//! **The log is followed from a head that the lock signed before to one that it signed after**, so
//! nothing that happened between can be missing from it.

use drawbridge_protocol::ids::CommandId;
use drawbridge_protocol::log_record::{LogCursor, LogEvent};
use drawbridge_protocol::report::Position;
use drawbridge_protocol::session_info::SessionInfo;
use drawbridge_protocol::tunnel::HubToLock;

use crate::peer::{Peer, Said, Trouble};
use crate::report::{Flaw, not_carried_out};

/// Where the log, and the ownership, stood.
pub(crate) struct Witness {
    before: SessionInfo,
    cursor: LogCursor,
}

impl Witness {
    /// Takes note of how things stand.
    pub(crate) fn begin(peer: &mut Peer) -> Result<Self, Trouble> {
        let before = peer.info()?;
        let cursor = head(&before)?;
        Ok(Self { before, cursor })
    }

    /// Nothing was moved, freed or taken over since: says up to which record that is known.
    pub(crate) fn nothing_done(
        &mut self,
        peer: &mut Peer,
        attempted: &[CommandId],
    ) -> Result<String, Flaw> {
        let now = peer.info()?;
        if now.ownership != self.before.ownership || now.policy_epoch != self.before.policy_epoch {
            return Err(Flaw::Worked(format!("another ownership: {now:?}")));
        }
        let signed = head(&now)?;
        let me = peer.identity.public();
        while self.cursor.seq < signed.seq {
            let from = self.cursor.seq + 1;
            let Said::Batch(records) = peer.ask(&HubToLock::LogPull { from })? else {
                return Err(not_carried_out("the log cannot be read"));
            };
            if records.is_empty() {
                return Err(Flaw::Worked(format!("record {from} is gone")));
            }
            for bytes in records {
                // Newer than the head: the next check's affair.
                if self.cursor.seq == signed.seq {
                    break;
                }
                let record = self
                    .cursor
                    .follow(&bytes)
                    .map_err(|error| Flaw::Worked(error.to_string()))?;
                let mine = record.actor == Some(me) && record.position == Some(Position::Unlocked);
                let attempted = record.command.is_some_and(|id| attempted.contains(&id));
                let bad = match record.event {
                    LogEvent::Intent => mine || attempted,
                    LogEvent::Claimed
                    | LogEvent::FactoryReset
                    | LogEvent::Freed
                    | LogEvent::Overwritten => true,
                    _ => false,
                };
                if bad {
                    return Err(Flaw::Worked(format!("in the lock's log: {record:?}")));
                }
            }
        }
        if self.cursor != signed {
            return Err(Flaw::Worked("the log is not the one signed".into()));
        }
        Ok(format!("no such turn in its log up to {}", signed.seq))
    }
}

/// The head of the log in signed facts.
pub(crate) fn head(info: &SessionInfo) -> Result<LogCursor, Trouble> {
    let (Some(seq), Some(head)) = (info.log_seq, info.log_head) else {
        return Err(Trouble::Odd(
            "the hub's grant has no right to view: the log cannot bear witness".into(),
        ));
    };
    Ok(LogCursor { seq, head })
}
