//! What the two ends say to each other inside a session.
//!
//! A message is a CBOR array: its number, then its fields. Numbers are never used again.

use minicbor::{Decode, Decoder, Encode};

use crate::codec::{CodecError, decode_report, encode};
use crate::ids::{CommandId, Digest32, Nonce};
use crate::keys::IdentityKey;
use crate::psk::{Generation, PskGeneration};
use crate::reason::Reason;

/// From a hub, a phone or a guest to the lock.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[non_exhaustive]
pub enum HubToLock<'b> {
    /// Where do you stand? Answered by [`LockToHub::SessionInfo`].
    #[n(1)]
    SessionInfoRequest {
        /// Comes back signed.
        #[n(0)]
        nonce: Nonce,
        /// Whose counter to tell; absent = the owner root's.
        #[n(1)]
        holder: Option<IdentityKey>,
    },
    /// Do this: a signed [`crate::command::Command`]. Answered by [`LockToHub::Outcome`].
    #[n(2)]
    Command {
        /// The statement.
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        statement: &'b [u8],
    },
    /// What became of this? Never moves the bolt. Answered by [`LockToHub::Outcome`].
    #[n(3)]
    Query {
        /// The signed command.
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        statement: &'b [u8],
    },
    /// Check this grant, so that commands can name it by its hash. Answered by
    /// [`LockToHub::GrantAccepted`] or [`LockToHub::Refused`].
    #[n(4)]
    PresentGrant {
        /// The statement.
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        statement: &'b [u8],
    },
    /// Send log records from this number on. Answered by [`LockToHub::LogBatch`].
    #[n(5)]
    LogPull {
        /// First number wanted.
        #[n(0)]
        from: u64,
    },
    /// Free log records: a signed [`crate::audit_ack::AuditAck`]. Answered by [`LockToHub::Freed`]
    /// or [`LockToHub::Refused`].
    #[n(6)]
    AuditAck {
        /// The statement.
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        statement: &'b [u8],
    },
    /// Which window is open? Answered by [`LockToHub::PairInfo`].
    #[n(7)]
    PairInfoRequest,
    /// Take this owner: a sealed [`crate::claim::Claim`]. Answered by [`LockToHub::Receipt`] or
    /// [`LockToHub::Refused`].
    #[n(8)]
    Claim {
        /// The statement.
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        statement: &'b [u8],
    },
    /// The proposed generation is stored durably here.
    #[n(9)]
    PskStored {
        /// Which.
        #[n(0)]
        generation: Generation,
    },
    /// What do you sense? Answered by [`LockToHub::Report`].
    #[n(10)]
    ReportRequest,
}

/// From the lock to a peer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[non_exhaustive]
pub enum LockToHub<'b> {
    /// A signed [`crate::session_info::SessionInfo`].
    #[n(1)]
    SessionInfo {
        /// The statement.
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        statement: &'b [u8],
    },
    /// A signed [`crate::outcome::Outcome`].
    #[n(2)]
    Outcome {
        /// Of which command; also inside the statement.
        #[n(0)]
        command: CommandId,
        /// The statement.
        #[n(1)]
        #[cbor(with = "minicbor::bytes")]
        statement: &'b [u8],
    },
    /// The grant with this hash is verified and can be named.
    #[n(3)]
    GrantAccepted {
        /// Its hash.
        #[n(0)]
        hash: Digest32,
    },
    /// Log records, each preceded by its length (2 bytes, big-endian).
    #[n(4)]
    LogBatch {
        /// Number of the first one.
        #[n(0)]
        first: u64,
        /// Number of the newest one in the lock.
        #[n(1)]
        newest: u64,
        /// The records; empty when there is none from the number that was asked for.
        #[n(2)]
        #[cbor(with = "minicbor::bytes")]
        records: &'b [u8],
    },
    /// The pairing window.
    #[n(5)]
    PairInfo {
        /// Nonce of the open window; a claim must name it.
        #[n(0)]
        window: Nonce,
        /// Whether the lock has an owner already.
        #[n(1)]
        owned: bool,
        /// The lock's policy epoch: the lowest that a grant made with the claim may have.
        #[n(2)]
        policy_epoch: u32,
    },
    /// A signed [`crate::receipt::Receipt`].
    #[n(6)]
    Receipt {
        /// The statement.
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        statement: &'b [u8],
    },
    /// Store this generation durably beside yours, then say so.
    #[n(7)]
    PskOffer {
        /// The next generation.
        #[n(0)]
        next: PskGeneration,
    },
    /// The label under which this session can move to another link: 24 bytes,
    /// [`crate::session::Label`].
    #[n(8)]
    NextLabel {
        /// The label.
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        label: &'b [u8],
    },
    /// A signed [`crate::report::Report`].
    #[n(9)]
    Report {
        /// The statement.
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        statement: &'b [u8],
    },
    /// A request was refused, without a signed word about a command.
    #[n(10)]
    Refused {
        /// The number of the message that is refused.
        #[n(0)]
        request: u8,
        /// Why.
        #[n(1)]
        reason: Reason,
    },
    /// Log records up to this number are freed.
    #[n(11)]
    Freed {
        /// The number.
        #[n(0)]
        up_to: u64,
    },
}

impl<'b> HubToLock<'b> {
    /// Encodes it at the start of `out`.
    ///
    /// # Errors
    /// [`CodecError::TooLong`].
    pub fn encode<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], CodecError> {
        encode(self, out)
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`CodecError::Malformed`].
    pub fn decode(bytes: &'b [u8]) -> Result<Self, CodecError> {
        decode_report(bytes)
    }

    /// The number of a message that only a later version knows. It is answered with
    /// [`LockToHub::Refused`] and [`Reason::Unsupported`]; nothing is known about its fields.
    #[must_use]
    pub fn unknown_number(bytes: &[u8]) -> Option<u8> {
        let mut decoder = Decoder::new(bytes);
        if decoder.array().ok()? != Some(2) {
            return None;
        }
        let number = decoder.u8().ok()?;
        decoder.probe().array().ok()?;
        decoder.skip().ok()?;
        let is_known = (1..=Self::LAST).contains(&number);
        (!is_known && decoder.position() == bytes.len()).then_some(number)
    }

    /// The highest number of this version.
    const LAST: u8 = Self::ReportRequest.number();

    /// Its number on the wire.
    #[must_use]
    pub const fn number(&self) -> u8 {
        match self {
            Self::SessionInfoRequest { .. } => 1,
            Self::Command { .. } => 2,
            Self::Query { .. } => 3,
            Self::PresentGrant { .. } => 4,
            Self::LogPull { .. } => 5,
            Self::AuditAck { .. } => 6,
            Self::PairInfoRequest => 7,
            Self::Claim { .. } => 8,
            Self::PskStored { .. } => 9,
            Self::ReportRequest => 10,
        }
    }
}

impl<'b> LockToHub<'b> {
    /// Encodes it at the start of `out`.
    ///
    /// # Errors
    /// [`CodecError::TooLong`].
    pub fn encode<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], CodecError> {
        encode(self, out)
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`CodecError::Malformed`].
    pub fn decode(bytes: &'b [u8]) -> Result<Self, CodecError> {
        decode_report(bytes)
    }
}

/// Splits the `records` of a [`LockToHub::LogBatch`].
#[derive(Debug, Clone)]
pub struct LogRecords<'b>(&'b [u8]);

impl<'b> LogRecords<'b> {
    /// Over the bytes of one batch.
    #[must_use]
    pub const fn new(records: &'b [u8]) -> Self {
        Self(records)
    }
}

impl<'b> Iterator for LogRecords<'b> {
    type Item = Result<&'b [u8], CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let split = self.0.split_first_chunk().and_then(|(&length, rest)| {
            rest.split_at_checked(usize::from(u16::from_be_bytes(length)))
        });
        let Some((record, rest)) = split else {
            self.0 = &[];
            return Some(Err(CodecError::Malformed));
        };
        self.0 = rest;
        Some(Ok(record))
    }
}
