//! Leave for a lock to free the log records that the owner holds.

use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::codec::CodecError;
use drawbridge_protocol::cose::MAX_STATEMENT;

use super::keys::OwnerKeys;
use super::lock_record::LockRecord;
use super::log_reading::Verified;

/// Why no leave can be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// The lock is not proven to be ours.
    #[error("sign leave to free records: the lock is not proven to be ours")]
    NotOurs,
    /// There is nothing to free.
    #[error("sign leave to free records: the log is empty")]
    Empty,
    /// A statement outgrew its bound.
    #[error("encode leave to free records")]
    Encode(#[source] CodecError),
}

/// Signs leave to free everything up to the head that was reached. Taking a [`Verified`] is the
/// point: **nobody signs away records whose chain did not end at a head that the lock signed.**
///
/// # Errors
/// [`AckError`].
pub fn acknowledge(
    keys: &OwnerKeys,
    record: &LockRecord,
    reached: &Verified,
) -> Result<Vec<u8>, AckError> {
    let ownership = record.ownership().ok_or(AckError::NotOurs)?;
    let cursor = reached.cursor();
    if cursor.seq == 0 {
        return Err(AckError::Empty);
    }
    let ack = AuditAck {
        lock: record.id,
        ownership,
        seq: cursor.seq,
        head: cursor.head,
    };
    let mut out = [0; MAX_STATEMENT];
    Ok(ack
        .sign(&keys.audit, &mut out)
        .map_err(AckError::Encode)?
        .to_vec())
}
