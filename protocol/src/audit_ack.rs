//! Leave to free log records, signed with the audit key that the owner set.

use minicbor::{Decode, Encode};

use crate::codec::{CodecError, decode_exact, encode};
use crate::cose::{CoseError, Envelope, Kind, MAX_PAYLOAD, sign1};
use crate::ids::{Digest32, LockId, OwnershipId};
use crate::keys::{IdentityKey, IdentitySecret};

/// What it says: "I hold every record up to this one; you may free them."
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AuditAck {
    /// Which lock.
    #[n(1)]
    pub lock: LockId,
    /// Under which ownership.
    #[n(2)]
    pub ownership: OwnershipId,
    /// Number of the newest record held.
    #[n(3)]
    pub seq: u64,
    /// Its hash.
    #[n(4)]
    pub head: Digest32,
}

impl AuditAck {
    /// Signs it.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] when `out` is too small.
    pub fn sign<'o>(
        &self,
        audit: &IdentitySecret,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], CodecError> {
        let mut payload = [0; MAX_PAYLOAD];
        sign1(Kind::AuditAck, encode(self, &mut payload)?, audit, out)
    }

    /// Reads and verifies it.
    ///
    /// # Errors
    /// [`CoseError`].
    pub fn verify(bytes: &[u8], audit: &IdentityKey) -> Result<Self, CoseError> {
        let payload = Envelope::parse(Kind::AuditAck, bytes)?.verify(audit)?;
        Ok(decode_exact(payload)?)
    }
}
