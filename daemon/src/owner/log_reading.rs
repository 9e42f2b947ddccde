//! Following a lock's log, record by record, to a head that the lock signed.
//!
//! Feed [`LogReading::take`] with records in the order of their numbers, then ask
//! [`LogReading::verdict`] with the signed head. Reading starts where it can: at the owner's own
//! mark, at the receipt, or, when older records are gone, at the first one that is left.
//!
//! **Whole means: every record from the start of reading to the signed head, each naming the one
//! before.** A gap never heals by what follows it.

use drawbridge_protocol::ids::{CommandId, Digest32};
use drawbridge_protocol::keys::IdentityKey;
use drawbridge_protocol::log_record::{ChainError, LogCursor, LogEvent, LogRecord};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::report::{Cause, Position};

/// A record, read out of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// Boots of the lock so far.
    pub boot: u32,
    /// Lock time, milliseconds since that boot.
    pub time_ms: u64,
    /// What it is about.
    pub event: LogEvent,
    /// What made it happen.
    pub cause: Cause,
    /// Whose key asked for it.
    pub actor: Option<IdentityKey>,
    /// For which command.
    pub command: Option<CommandId>,
    /// Why, where it went wrong.
    pub reason: Option<Reason>,
    /// Where the bolt is or is to go.
    pub position: Option<Position>,
    /// How many.
    pub count: Option<u64>,
}

impl From<LogRecord<'_>> for Entry {
    fn from(record: LogRecord<'_>) -> Self {
        Self {
            seq: record.seq,
            boot: record.boot,
            time_ms: record.time_ms,
            event: record.event,
            cause: record.cause,
            actor: record.actor,
            command: record.command,
            reason: record.reason,
            position: record.position,
            count: record.count,
        }
    }
}

/// One line of a reading, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A record that follows the one before.
    Entry(Entry),
    /// Records that are not there any more, before the first one that is: freed, or withheld.
    Earlier {
        /// The first number that is missing.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// Records missing in between.
    Gap {
        /// The first number that is missing.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// A record that does not fit: it or the one before was changed.
    Broken {
        /// Its number, when it can be read.
        seq: Option<u64>,
    },
}

/// A cursor that reached a signed head without a gap; cannot be made in any other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified(LogCursor);

impl Verified {
    /// Up to where.
    #[must_use]
    pub const fn cursor(&self) -> LogCursor {
        self.0
    }
}

/// Why a reading is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotWhole {
    /// Records are missing or changed.
    #[error("follow the log: {0} gaps or changed records")]
    Gaps(usize),
    /// It ends before the head that the lock signed.
    #[error("reach the signed head: the log ends at record {reached}, the lock signed {signed}")]
    Short {
        /// The last record that was given.
        reached: u64,
        /// What the lock signed.
        signed: u64,
    },
    /// The record at the head's number is another one.
    #[error("reach the signed head: record {0} is not the one that the lock signed")]
    OtherHead(u64),
}

/// A reading under way.
#[derive(Debug, Clone)]
pub struct LogReading {
    cursor: LogCursor,
    lines: Vec<Line>,
    flaws: usize,
    /// Hash of each record that followed, for the comparison with the head.
    heads: Vec<LogCursor>,
    started: bool,
}

impl LogReading {
    /// Starts behind `mark`: what the owner read and verified before.
    #[must_use]
    pub fn behind(mark: Option<LogCursor>) -> Self {
        let cursor = mark.unwrap_or(LogCursor::START);
        Self {
            cursor,
            lines: Vec::new(),
            flaws: 0,
            heads: vec![cursor],
            // Behind a mark nothing may be missing: only what was marked may be freed.
            started: mark.is_some(),
        }
    }

    /// The number of the next record that is needed.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.cursor.seq.saturating_add(1)
    }

    /// Takes the next record.
    pub fn take(&mut self, bytes: &[u8]) {
        let first = !std::mem::replace(&mut self.started, true);
        match self.cursor.follow(bytes) {
            Ok(record) => {
                self.lines.push(Line::Entry(record.into()));
                self.heads.push(self.cursor);
            }
            Err(ChainError::Gap { expected, found }) if found > expected => {
                let (from, to) = (expected, found - 1);
                self.lines.push(if first {
                    Line::Earlier { from, to }
                } else {
                    self.flaws += 1;
                    Line::Gap { from, to }
                });
                self.restart_at(bytes);
            }
            Err(ChainError::Gap { found, .. }) => self.flaw(Some(found)),
            Err(ChainError::Broken { seq }) => {
                self.flaw(Some(seq));
                self.restart_at(bytes);
            }
            Err(_) => self.flaw(None),
        }
    }

    fn flaw(&mut self, seq: Option<u64>) {
        self.flaws += 1;
        self.lines.push(Line::Broken { seq });
    }

    /// Goes on from a record whose predecessor is missing or another one.
    fn restart_at(&mut self, bytes: &[u8]) {
        let Ok(record) = LogRecord::decode(bytes) else {
            return;
        };
        self.cursor = LogCursor {
            seq: record.seq,
            head: Digest32::of(bytes),
        };
        self.heads.push(self.cursor);
        self.lines.push(Line::Entry(record.into()));
    }

    /// What was read, in order.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Whether it is whole up to the head that the lock signed. Records after that head are not
    /// vouched for by it, and not part of the answer.
    ///
    /// # Errors
    /// [`NotWhole`].
    pub fn verdict(&self, signed: LogCursor) -> Result<Verified, NotWhole> {
        if self.flaws > 0 {
            return Err(NotWhole::Gaps(self.flaws));
        }
        if self.cursor.seq < signed.seq {
            return Err(NotWhole::Short {
                reached: self.cursor.seq,
                signed: signed.seq,
            });
        }
        match self.heads.iter().find(|cursor| cursor.seq == signed.seq) {
            Some(cursor) if *cursor == signed => Ok(Verified(signed)),
            _ => Err(NotWhole::OtherHead(signed.seq)),
        }
    }
}

#[cfg(test)]
#[path = "log_reading_tests.rs"]
mod tests;
