//! Where a lock stands, signed by it: what a signer needs to sign a command that will be accepted.

use minicbor::{Decode, Encode};

use crate::codec::{CodecError, decode_report, encode};
use crate::cose::{CoseError, Envelope, Kind, MAX_PAYLOAD, sign1};
use crate::ids::{Digest32, LockEpoch, LockId, Nonce, OwnershipId};
use crate::keys::{IdentityKey, IdentitySecret};

/// The facts, as of one moment; ordered by (`boot`, `time_ms`). Rides in every answer, so stale
/// data costs one retry.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SessionInfo {
    /// Which lock.
    #[n(1)]
    pub lock: LockId,
    /// Boots so far; never goes back.
    #[n(2)]
    pub boot: u32,
    /// This run of the lock.
    #[n(3)]
    pub epoch: LockEpoch,
    /// Lock time: milliseconds since boot.
    #[n(4)]
    pub time_ms: u64,
    /// Grants below it are dead.
    #[n(5)]
    pub policy_epoch: u32,
    /// Digest of the set of revoked serials; absent while nothing is revoked.
    #[n(6)]
    pub revoked: Option<Digest32>,
    /// Number of the newest log record; 0 before the first. Only with the right to view.
    #[n(7)]
    pub log_seq: Option<u64>,
    /// Hash of the newest log record. Only with the right to view.
    #[n(8)]
    pub log_head: Option<Digest32>,
    /// Handshakes of the peer of this session since boot. Only with the right to view.
    #[n(9)]
    pub handshakes: Option<u32>,
    /// The last counter that the holder named in the request used in this epoch.
    #[n(10)]
    pub counter: u64,
    /// The request's nonce, when there was one.
    #[n(11)]
    pub nonce: Option<Nonce>,
    /// The ownership in force; absent without an owner.
    #[n(12)]
    pub ownership: Option<OwnershipId>,
}

impl SessionInfo {
    /// Signs the facts.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] when `out` is too small.
    pub fn sign<'o>(
        &self,
        lock: &IdentitySecret,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], CodecError> {
        let mut payload = [0; MAX_PAYLOAD];
        sign1(Kind::SessionInfo, encode(self, &mut payload)?, lock, out)
    }

    /// Reads and verifies the facts under the lock's identity key.
    ///
    /// # Errors
    /// [`CoseError`].
    pub fn verify(bytes: &[u8], lock: &IdentityKey) -> Result<Self, CoseError> {
        let payload = Envelope::parse(Kind::SessionInfo, bytes)?.verify(lock)?;
        Ok(decode_report(payload)?)
    }
}
