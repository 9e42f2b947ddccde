//! Records of a lock's history: numbered, chained by hash, closed by a signed head.

use minicbor::{Decode, Encode};

use crate::codec::{CodecError, cbor_number, decode_exact, encode};
use crate::ids::{CommandId, Digest32};
use crate::keys::IdentityKey;
use crate::reason::Reason;
use crate::report::{Cause, Position};

/// The longest record, in bytes.
pub const MAX_LOG_RECORD: usize = 480;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogEvent {
    /// The lock started.
    Boot,
    /// The bolt is about to be driven. Written before the motor is.
    Intent,
    /// The motor stopped, or was found stopped after a power loss.
    Outcome,
    /// The lock got an owner.
    Claimed,
    /// Owner, peers and codes were erased by hand.
    FactoryReset,
    /// The bolt was seen to move without the motor.
    MovedByHand,
    /// The case was opened or forced.
    Tamper,
    /// The battery fell below what moves the bolt safely.
    BatteryLow,
    /// Records were given up to make room for an owner's command; `count` says how many.
    Overwritten,
    /// Strangers failed to get in since the last such record; `count` says how often.
    Strangers,
    /// An authentic peer's command was refused after its signature verified.
    Refused,
    /// Records up to the number in `count` were freed by the audit key.
    Freed,
    /// Places of the log's flash cannot be read and no power cut explains them; `count` says how
    /// many. Records are missing there.
    LogDamaged,
    /// The log had no room for what happened without a command; `count` says how often since the
    /// last such record.
    LeftOut,
    /// The number of a later version, unknown to this one. Not made for numbers that have a variant.
    Other(u8),
}

cbor_number!(LogEvent or Other {
    Boot = 1,
    Intent = 2,
    Outcome = 3,
    Claimed = 4,
    FactoryReset = 5,
    MovedByHand = 6,
    Tamper = 7,
    BatteryLow = 8,
    Overwritten = 9,
    Strangers = 10,
    Refused = 11,
    Freed = 12,
    LogDamaged = 13,
    LeftOut = 14,
});

impl LogEvent {
    /// The stable name, as in MQTT payloads.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::Claimed => "claimed",
            Self::FactoryReset => "factory_reset",
            Self::MovedByHand => "moved_by_hand",
            Self::Tamper => "tamper",
            Self::BatteryLow => "battery_low",
            Self::Overwritten => "overwritten",
            Self::Strangers => "strangers",
            Self::Refused => "refused",
            Self::Freed => "freed",
            Self::LogDamaged => "log_damaged",
            Self::LeftOut => "left_out",
            Self::Other(_) => "other",
        }
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LogRecord<'b> {
    /// Its number: one more than the one before, across boots, resets and owners.
    #[n(1)]
    pub seq: u64,
    /// SHA-256 of the record before; zero for the first.
    #[n(2)]
    pub previous: Digest32,
    /// Boots so far.
    #[n(3)]
    pub boot: u32,
    /// Lock time, in milliseconds since that boot.
    #[n(4)]
    pub time_ms: u64,
    /// What it is about.
    #[n(5)]
    pub event: LogEvent,
    /// What made it happen.
    #[n(6)]
    pub cause: Cause,
    /// Whose key asked for it.
    #[n(7)]
    pub actor: Option<IdentityKey>,
    /// Under which grant.
    #[n(8)]
    pub grant: Option<Digest32>,
    /// For which command.
    #[n(9)]
    pub command: Option<CommandId>,
    /// Why, where it went wrong.
    #[n(10)]
    pub reason: Option<Reason>,
    /// Where the bolt is, or for an intent where it is to go.
    #[n(11)]
    pub position: Option<Position>,
    /// How many.
    #[n(12)]
    pub count: Option<u64>,
    /// The signed command itself, so that an auditor needs to trust nobody.
    #[n(13)]
    #[cbor(with = "minicbor::bytes")]
    pub evidence: Option<&'b [u8]>,
}

impl<'b> LogRecord<'b> {
    /// Encodes the record at the start of `out`.
    ///
    /// # Errors
    /// [`CodecError::TooLong`].
    pub fn encode<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], CodecError> {
        encode(self, out)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn decode(bytes: &'b [u8]) -> Result<Self, CodecError> {
        decode_exact(bytes)
    }
}

/// Follows a chain of records.
///
/// Feed it records in order; **a link is accepted only if its number is the next one and it names
/// the hash of the record before.** When the last one's hash is the head that the lock signed,
/// nothing between was changed, dropped or added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogCursor {
    /// Number of the newest record followed; 0 before the first.
    pub seq: u64,
    /// Its hash.
    pub head: Digest32,
}

/// A record that does not follow the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainError {
    /// Not a record.
    Malformed,
    /// Records are missing before this one.
    Gap {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// The record names another predecessor: one of them was changed.
    Broken {
        /// The record that does not fit.
        seq: u64,
    },
}

impl core::fmt::Display for ChainError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Malformed => f.write_str("read a log record"),
            Self::Gap { expected, found } => {
                write!(
                    f,
                    "follow the log: record {expected} is missing, got {found}"
                )
            }
            Self::Broken { seq } => write!(f, "follow the log: record {seq} breaks the chain"),
        }
    }
}

impl core::error::Error for ChainError {}

impl LogCursor {
    /// Before the first record of a lock's life.
    pub const START: Self = Self {
        seq: 0,
        head: Digest32::ZERO,
    };

    /// Follows `bytes` and returns the record.
    ///
    /// # Errors
    /// [`ChainError`]; the cursor has not moved then.
    pub fn follow<'b>(&mut self, bytes: &'b [u8]) -> Result<LogRecord<'b>, ChainError> {
        let record = LogRecord::decode(bytes).map_err(|_| ChainError::Malformed)?;
        if self.seq.checked_add(1) != Some(record.seq) {
            return Err(ChainError::Gap {
                expected: self.seq.saturating_add(1),
                found: record.seq,
            });
        }
        if record.previous != self.head {
            return Err(ChainError::Broken { seq: record.seq });
        }
        *self = Self {
            seq: record.seq,
            head: Digest32::of(bytes),
        };
        Ok(record)
    }
}
