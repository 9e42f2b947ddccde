//! What the store keeps for the hub, and what it gives back after a restart.

use drawbridge_protocol::codec::{CodecError, decode_exact};
use drawbridge_protocol::ids::{CommandId, Digest32, LockId};
use drawbridge_protocol::log_record::LogCursor;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::binding::LockBinding;

/// The records of one tree: key and value each.
pub type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// Everything that was durable, as read at start.
///
/// A record that cannot be read is reported and left out; it is never guessed at.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// The locks.
    pub bindings: Vec<LockBinding>,
    /// [`super::Tree::Inbox`].
    pub inbox: Records,
    /// [`super::Tree::Outbox`].
    pub outbox: Records,
    /// [`super::Tree::Dedupe`].
    pub dedupe: Records,
    /// [`super::Tree::Meta`].
    pub meta: Records,
    /// No ticket below this is used again.
    pub next_ticket: u64,
    /// What the store lost since the hub last ran, if anything.
    pub loss: Option<StoreLoss>,
}

/// How much of the store is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreLoss {
    /// Everything: it was set aside and starts empty.
    Reset,
    /// Some records, and it cannot be told which.
    Records,
}

impl StoreLoss {
    /// The name of the event that tells of it.
    #[must_use]
    pub const fn event(self) -> &'static str {
        match self {
            Self::Reset => "store_reset",
            Self::Records => "store_lost_records",
        }
    }
}

/// Encodes into memory, which takes every byte: there is no error to report.
pub(super) fn encoded<T: Encode<()>>(value: &T) -> Vec<u8> {
    let encoded = minicbor::to_vec(value);
    debug_assert!(encoded.is_ok(), "a Vec takes every byte");
    encoded.unwrap_or_default()
}

/// A command that was accepted and has no final result yet.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct InboxRecord {
    /// Its place in the order of arrival.
    #[n(1)]
    pub(super) order: u64,
    /// The signed command.
    #[n(2)]
    pub(super) statement: ByteVec,
    /// Correlation Data to echo in its results.
    #[n(3)]
    pub(super) correlation: Option<ByteVec>,
    /// Whether it came over the control socket, whose client has learned the result itself.
    #[n(4)]
    pub(super) is_local: bool,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct FinalRecord {
    /// Rises with each final: what is forgotten first.
    #[n(1)]
    pub(super) order: u64,
    /// Which lock.
    #[n(2)]
    pub(super) lock: LockId,
    /// SHA-256 of the command's bytes.
    #[n(3)]
    pub(super) digest: Digest32,
    /// Status of the result.
    #[n(4)]
    pub(super) status: String,
    /// Number of the reason.
    #[n(5)]
    pub(super) reason: u8,
    /// Number of the position, if one was sensed.
    #[n(6)]
    pub(super) position: Option<u8>,
    /// The lock-signed bytes; absent for the one final that is the hub's own: its lock was removed.
    #[n(7)]
    pub(super) report: Option<ByteVec>,
}

/// A publication that must not be lost.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct OutboxRecord {
    #[n(1)]
    pub(super) topic: String,
    #[n(2)]
    pub(super) payload: ByteVec,
    #[n(3)]
    pub(super) retain: bool,
    #[n(4)]
    pub(super) correlation: Option<ByteVec>,
    #[n(5)]
    pub(super) is_urgent: bool,
}

/// How far a lock's log was followed, and what of it the audit tree holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct CursorRecord {
    #[n(1)]
    pub(super) seq: u64,
    #[n(2)]
    pub(super) head: Digest32,
    /// Lowest number that may still be in the audit tree.
    #[n(3)]
    pub(super) kept_from: u64,
}

impl CursorRecord {
    pub(super) const fn cursor(&self) -> LogCursor {
        LogCursor {
            seq: self.seq,
            head: self.head,
        }
    }
}

/// Reads what [`encoded`] wrote.
pub(super) fn decoded<'b, T>(bytes: &'b [u8]) -> Result<T, CodecError>
where
    T: Decode<'b, ()> + Encode<()>,
{
    decode_exact(bytes)
}

/// Key of a lock's [`CursorRecord`] in the meta tree.
pub(super) fn cursor_key(lock: LockId) -> Vec<u8> {
    [b"cursor/".as_slice(), lock.as_bytes()].concat()
}

/// Key of the audit acknowledgement that waits for a lock, in the meta tree.
pub(super) fn ack_key(lock: LockId) -> Vec<u8> {
    [b"ack/".as_slice(), lock.as_bytes()].concat()
}

/// The lock named in a key that [`cursor_key`] or [`ack_key`] made.
pub(super) fn lock_in_key(key: &[u8], prefix: &[u8]) -> Option<LockId> {
    key.strip_prefix(prefix)?.try_into().ok().map(LockId)
}

/// Key of a log record in the audit tree: lock id, then number, so that byte order is log order.
#[must_use]
pub fn audit_key(lock: LockId, seq: u64) -> Vec<u8> {
    [lock.as_bytes().as_slice(), &seq.to_be_bytes()].concat()
}

/// Key of a command in the inbox and in the finals.
pub(super) fn command_key(id: CommandId) -> Vec<u8> {
    id.as_bytes().to_vec()
}
