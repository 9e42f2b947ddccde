//! The lock's signed answer to a claim: only with it may anybody say "owned".

use minicbor::{Decode, Encode};

use crate::codec::{CodecError, decode_exact, encode};
use crate::cose::{CoseError, Envelope, Kind, MAX_PAYLOAD, sign1};
use crate::ids::{Digest32, LockId};
use crate::keys::{IdentityKey, IdentitySecret};

/// What a receipt says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Receipt {
    /// Which lock.
    #[n(1)]
    pub lock: LockId,
    /// SHA-256 of the claim.
    #[n(2)]
    pub claim: Digest32,
    /// Hash of the log record that says so.
    #[n(3)]
    pub log_head: Digest32,
    /// Its number.
    #[n(4)]
    pub log_seq: u64,
}

impl Receipt {
    /// Signs the receipt.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] when `out` is too small.
    pub fn sign<'o>(
        &self,
        lock: &IdentitySecret,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], CodecError> {
        let mut payload = [0; MAX_PAYLOAD];
        sign1(Kind::Receipt, encode(self, &mut payload)?, lock, out)
    }

    /// Reads and verifies a receipt under the key from the code on the lock.
    ///
    /// # Errors
    /// [`CoseError`].
    pub fn verify(bytes: &[u8], lock: &IdentityKey) -> Result<Self, CoseError> {
        let payload = Envelope::parse(Kind::Receipt, bytes)?.verify(lock)?;
        Ok(decode_exact(payload)?)
    }
}
