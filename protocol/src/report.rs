//! What a lock senses, signed by it.

use minicbor::{Decode, Encode};

use crate::codec::{CodecError, cbor_number, decode_report, encode};
use crate::cose::{CoseError, Envelope, Kind, MAX_PAYLOAD, sign1};
use crate::ids::{CommandId, Digest32, LockId};
use crate::keys::{IdentityKey, IdentitySecret};

/// Where the bolt is, as sensed; never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Position {
    /// Thrown.
    Locked,
    /// Drawn.
    Unlocked,
    /// On its way.
    Moving,
    /// Stuck between its ends.
    Jammed,
    /// The sensor does not say.
    Unknown,
}

cbor_number!(Position { Locked = 1, Unlocked = 2, Moving = 3, Jammed = 4, Unknown = 5 });

/// The door, as sensed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Door {
    /// Shut.
    Closed,
    /// Open.
    Open,
    /// The sensor does not say, or there is none.
    Unknown,
}

cbor_number!(Door { Closed = 1, Open = 2, Unknown = 3 });

/// What made something happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// A signed command.
    Command,
    /// The lock itself, some time after it was unlocked.
    AutoRelock,
    /// A hand on the thumb-turn: sensed, not driven.
    ByHand,
    /// The lock's own start.
    Boot,
    /// A sensor.
    Sensor,
    /// The number of a later version, unknown to this one. Not made for numbers that have a variant.
    Other(u8),
}

cbor_number!(Cause or Other { Command = 1, AutoRelock = 2, ByHand = 3, Boot = 4, Sensor = 5 });

impl Position {
    /// The stable name, as in MQTT payloads.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Locked => "LOCKED",
            Self::Unlocked => "UNLOCKED",
            Self::Moving => "MOVING",
            Self::Jammed => "JAMMED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl Door {
    /// The stable name, as in MQTT payloads.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl Cause {
    /// The stable name, as in MQTT payloads.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::AutoRelock => "auto_relock",
            Self::ByHand => "by_hand",
            Self::Boot => "boot",
            Self::Sensor => "sensor",
            Self::Other(_) => "other",
        }
    }
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Report {
    /// Which lock.
    #[n(1)]
    pub lock: LockId,
    /// Boots so far.
    #[n(2)]
    pub boot: u32,
    /// Lock time, in milliseconds since boot.
    #[n(3)]
    pub time_ms: u64,
    /// The bolt.
    #[n(4)]
    pub position: Position,
    /// The door.
    #[n(5)]
    pub door: Door,
    /// Whether the case is open or was forced.
    #[n(6)]
    pub tamper: bool,
    /// Charge left, percent.
    #[n(7)]
    pub battery: u8,
    /// What led to this report.
    #[n(8)]
    pub cause: Cause,
    /// The command that did, if one did.
    #[n(9)]
    pub command: Option<CommandId>,
    /// Number of the newest log record.
    #[n(10)]
    pub log_seq: u64,
    /// Its hash.
    #[n(11)]
    pub log_head: Digest32,
    /// How full the log is, percent; a warning is due from 70.
    #[n(12)]
    pub log_used: u8,
}

impl Report {
    /// Signs the report.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] when `out` is too small.
    pub fn sign<'o>(
        &self,
        lock: &IdentitySecret,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], CodecError> {
        let mut payload = [0; MAX_PAYLOAD];
        sign1(Kind::Report, encode(self, &mut payload)?, lock, out)
    }

    /// Reads and verifies a report under the lock's identity key.
    ///
    /// # Errors
    /// [`CoseError`].
    pub fn verify(bytes: &[u8], lock: &IdentityKey) -> Result<Self, CoseError> {
        let payload = Envelope::parse(Kind::Report, bytes)?.verify(lock)?;
        Ok(decode_report(payload)?)
    }
}
