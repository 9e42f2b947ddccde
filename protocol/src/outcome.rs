//! What became of a command, signed by the lock. Nothing else is final.

use minicbor::{Decode, Encode};

use crate::codec::{CodecError, cbor_number, decode_report, encode};
use crate::cose::{CoseError, Envelope, Kind, MAX_PAYLOAD, sign1};
use crate::ids::CommandId;
use crate::keys::{IdentityKey, IdentitySecret};
use crate::reason::Reason;
use crate::report::Position;
use crate::session_info::SessionInfo;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The bolt is where the command wanted it.
    Done,
    /// The motor was started for it and did not get there, or was interrupted.
    Failed,
    /// Refused; the motor was not started and never will be for these bytes.
    Refused,
    /// Came too late; the motor was not started and never will be for these bytes.
    Expired,
    /// The lock proves that it never executed it and never will.
    NotExecuted,
    /// The lock cannot tell any more; its log decides.
    Forgotten,
    /// Only ever the answer to a query: not seen so far, and until its expiry it still can be.
    NotSeen,
    /// The number of a later version, unknown to this one: not `done`, and not `never executed`.
    /// Not made for numbers that have a variant.
    Other(u8),
}

cbor_number!(Verdict or Other {
    Done = 1,
    Failed = 2,
    Refused = 3,
    Expired = 4,
    NotExecuted = 5,
    Forgotten = 6,
    NotSeen = 7,
});

impl Verdict {
    /// Whether nothing that comes later can change it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Forgotten | Self::NotSeen | Self::Other(_))
    }

    /// The stable name, as in MQTT payloads and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::NotExecuted => "not_executed",
            Self::Forgotten => "forgotten",
            Self::NotSeen => "not_seen",
            Self::Other(_) => "other",
        }
    }
}

/// The lock's answer to a command or to a query about one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Outcome {
    /// Which command.
    #[n(1)]
    pub command: CommandId,
    /// How it ended.
    #[n(2)]
    pub verdict: Verdict,
    /// Why, unless it is done.
    #[n(3)]
    pub reason: Reason,
    /// Where the bolt was sensed when this was signed.
    #[n(4)]
    pub position: Position,
    /// Whether these bytes had been decided before: a repeat, answered from memory.
    #[n(5)]
    pub duplicate: bool,
    /// Where the lock stands now.
    #[n(6)]
    pub info: SessionInfo,
}

impl Outcome {
    /// Signs the outcome.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] when `out` is too small.
    pub fn sign<'o>(
        &self,
        lock: &IdentitySecret,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], CodecError> {
        let mut payload = [0; MAX_PAYLOAD];
        sign1(Kind::Outcome, encode(self, &mut payload)?, lock, out)
    }

    /// Reads and verifies an outcome under the lock's identity key.
    ///
    /// # Errors
    /// [`CoseError`].
    pub fn verify(bytes: &[u8], lock: &IdentityKey) -> Result<Self, CoseError> {
        let payload = Envelope::parse(Kind::Outcome, bytes)?.verify(lock)?;
        Ok(decode_report(payload)?)
    }
}
