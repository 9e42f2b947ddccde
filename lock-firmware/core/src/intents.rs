//! The index of the newest intents: which commands reached the motor, and how they ended.

use drawbridge_protocol::ids::{CommandId, Digest32};
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::reason::Reason;
use heapless::Deque;

/// How many intents are indexed; older ones are found in the log alone.
pub(crate) const INDEXED: usize = 64;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) verdict: Verdict,
    pub(crate) reason: Reason,
}

impl Ending {
    /// The ending of a command whose motor was started and whose outcome record gives `reason`.
    pub(crate) const fn of_motor(reason: Reason) -> Self {
        let verdict = match reason {
            Reason::None => Verdict::Done,
            _ => Verdict::Failed,
        };
        Self { verdict, reason }
    }
}

/// One intent of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Indexed {
    pub(crate) command: CommandId,
    pub(crate) digest: Digest32,
    pub(crate) seq: u64,
    /// `None` while the motor runs.
    pub(crate) ending: Option<Ending>,
}

/// The index, rebuilt from the log at boot.
///
/// **It answers "never executed" only as far back as it is complete:** [`Self::reaches`] tells.
#[derive(Debug)]
pub(crate) struct Intents {
    entries: Deque<Indexed, INDEXED>,
    /// Every intent with this number or a higher one is in `entries`.
    complete_from: u64,
    /// Power was lost under the motor at work for a local cause.
    pub(crate) local_open: bool,
}

impl Intents {
    /// Empty; the log's oldest record has the number `oldest`.
    pub(crate) const fn new(oldest: u64) -> Self {
        Self {
            entries: Deque::new(),
            complete_from: oldest,
            local_open: false,
        }
    }

    /// The record `seq` cannot be read: what it said is not known.
    pub(crate) fn lose(&mut self, seq: u64) {
        self.complete_from = self.complete_from.max(seq.saturating_add(1));
    }

    pub(crate) fn begin(&mut self, command: CommandId, digest: Digest32, seq: u64) {
        if self.entries.is_full()
            && let Some(dropped) = self.entries.pop_front()
        {
            self.lose(dropped.seq);
        }
        let entry = Indexed {
            command,
            digest,
            seq,
            ending: None,
        };
        if self.entries.push_back(entry).is_err() {
            self.lose(seq);
        }
    }

    pub(crate) fn end(&mut self, command: &CommandId, ending: Ending) {
        if let Some(entry) = self
            .entries
            .iter_mut()
            .rev()
            .find(|e| e.command == *command)
        {
            entry.ending = Some(ending);
        }
    }

    pub(crate) fn find(&self, command: &CommandId) -> Option<&Indexed> {
        self.entries
            .iter()
            .rev()
            .find(|entry| entry.command == *command)
    }

    /// The intent that never got an outcome, if the newest one did not: power was lost under it.
    pub(crate) fn open(&self) -> Option<&Indexed> {
        self.entries
            .iter()
            .rev()
            .find(|entry| entry.ending.is_none())
    }

    /// Whether a command signed when `log_position` was the newest record would be in the index
    /// had it been executed. A position behind `newest`, the newest record of all, is nobody's
    /// knowledge, and the index vouches for nothing there.
    pub(crate) const fn reaches(&self, log_position: u64, newest: u64) -> bool {
        log_position <= newest && log_position.saturating_add(1) >= self.complete_from
    }
}
