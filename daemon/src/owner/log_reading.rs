//! Following a lock's log, record by record, to a head that the lock signed.
//!
//! Feed [`LogReading::take`] with records in the order of their numbers, then ask
//! [`LogReading::verdict`] with the signed head. What may be missing is decided by what the owner
//! holds and by nothing that comes with the log: records up to the owner's own mark (leave to free
//! them was signed), or, without one, up to the record of the lock's receipt (they are of the time
//! before). That record is known by its hash, so what is shown around it must fit it.
//!
//! **Whole means: every record after the one that the owner knows, up to the signed head, each
//! naming the one before.** A gap never heals by what follows it; only the owner can give records up.

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
    /// Records that need not be there any more: the owner let them be freed, or they are of the
    /// time before the lock was the owner's.
    Earlier {
        /// The first number that is missing.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// Records that should be there and are not; the owner has given them up.
    GivenUp {
        /// The first number that is missing.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// Records that should be there and are not: lost, or withheld.
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
    /// The lock signed less than the owner knows of it.
    #[error("follow the log: the lock signed only {signed} records, {known} are known of it")]
    Back {
        /// The record that the owner knows.
        known: u64,
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
    /// The newest record that the owner knows by its hash: those up to it need not be there.
    known: LogCursor,
    /// Up to here the owner does not ask for what is missing.
    given_up: u64,
}

impl LogReading {
    /// Starts behind `known`: the newest record that the owner read and verified before. Without
    /// one, **every record from the very first must be there**.
    #[must_use]
    pub fn behind(known: Option<LogCursor>) -> Self {
        let known = known.unwrap_or(LogCursor::START);
        Self::new(known, known)
    }

    /// Starts at the oldest record that there is. **After `known` none may be missing**; one that
    /// is shown with its number must be that record, and the first one after it must name it.
    #[must_use]
    pub fn from_oldest(known: LogCursor) -> Self {
        Self::new(LogCursor::START, known)
    }

    fn new(cursor: LogCursor, known: LogCursor) -> Self {
        Self {
            cursor,
            lines: Vec::new(),
            flaws: 0,
            heads: vec![cursor],
            started: false,
            known,
            given_up: 0,
        }
    }

    /// Takes missing records up to `seq` as given up, by the owner's own decision: nothing shows
    /// whether the lock lost them or somebody withholds them. A changed one stays a flaw.
    #[must_use]
    pub fn giving_up(mut self, seq: u64) -> Self {
        self.given_up = seq;
        self
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
                self.compare_with_known();
            }
            Err(ChainError::Gap { expected, found }) if found > expected => {
                if first {
                    self.start_late(expected, found, bytes);
                } else {
                    self.gap(expected, found - 1);
                }
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

    /// The oldest record that is shown is not the first one of all.
    fn start_late(&mut self, expected: u64, found: u64, bytes: &[u8]) {
        let last = found - 1;
        let known = self.known.seq.min(last);
        if expected <= known {
            let (from, to) = (expected, known);
            self.lines.push(Line::Earlier { from, to });
        }
        let above = expected.max(known + 1);
        if above <= last {
            self.gap(above, last);
        }
        let names_known =
            || LogRecord::decode(bytes).is_ok_and(|record| record.previous == self.known.head);
        if last == self.known.seq && !names_known() {
            self.flaw(Some(found));
        }
    }

    /// What the owner knows by its hash cannot be another record.
    fn compare_with_known(&mut self) {
        if self.cursor.seq == self.known.seq && self.cursor != self.known {
            self.flaw(Some(self.cursor.seq));
        }
    }

    fn gap(&mut self, from: u64, to: u64) {
        let given_up = self.given_up.min(to);
        if from <= given_up {
            self.lines.push(Line::GivenUp { from, to: given_up });
        }
        let from = from.max(given_up + 1);
        if from <= to {
            self.flaws += 1;
            self.lines.push(Line::Gap { from, to });
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
        self.compare_with_known();
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
        if signed.seq < self.known.seq {
            return Err(NotWhole::Back {
                known: self.known.seq,
                signed: signed.seq,
            });
        }
        // Where nothing is shown at all, nothing up to the known record need be.
        let reached = if self.started {
            self.cursor
        } else {
            self.known
        };
        if reached.seq < signed.seq {
            return Err(NotWhole::Short {
                reached: reached.seq,
                signed: signed.seq,
            });
        }
        let mut heads = self.heads.iter().chain([&self.known]);
        match heads.find(|cursor| cursor.seq == signed.seq) {
            Some(cursor) if *cursor == signed => Ok(Verified(signed)),
            _ => Err(NotWhole::OtherHead(signed.seq)),
        }
    }
}

#[cfg(test)]
#[path = "log_reading_tests.rs"]
mod tests;
