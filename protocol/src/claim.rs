//! The claim that takes ownership of a lock, made on the owner's device from the code on the lock.

use minicbor::{Decode, Encode};

use crate::codec::{CodecError, decode_exact, encode};
use crate::cose::{CoseError, Envelope, Kind, MAX_PAYLOAD, mac0};
use crate::ids::{LockId, Nonce};
use crate::keys::{IdentityKey, KeyError, LinkKey};
use crate::secret::ClaimKey;

/// The most peers that one claim can name.
pub const MAX_CLAIM_PEERS: usize = 3;

/// Both public keys of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PeerKeys {
    /// Signs its commands.
    #[n(1)]
    pub identity: IdentityKey,
    /// Its end of sessions.
    #[n(2)]
    pub link: LinkKey,
}

impl PeerKeys {
    /// Refuses keys that must not be enrolled.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn check(&self) -> Result<(), KeyError> {
        self.identity.check()?;
        self.link.check()
    }
}

/// What a claim says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Claim {
    /// Which lock.
    #[n(1)]
    pub lock: LockId,
    /// The nonce of the pairing window that it answers.
    #[n(2)]
    pub window: Nonce,
    /// 16 random bytes of the owner's device.
    #[n(3)]
    pub device: Nonce,
    /// The new owner's keys.
    #[n(4)]
    pub owner: PeerKeys,
    /// A hub that the owner lets keep a session.
    #[n(5)]
    pub peer1: Option<PeerKeys>,
    /// A second one.
    #[n(6)]
    pub peer2: Option<PeerKeys>,
    /// A third one.
    #[n(7)]
    pub peer3: Option<PeerKeys>,
    /// Whose signature tells the lock the time; absent = the owner's own.
    #[n(8)]
    pub time_key: Option<IdentityKey>,
    /// Whose signature frees log records.
    #[n(9)]
    pub audit_key: IdentityKey,
    /// When it was made, Unix seconds: the first floor of the lock's time.
    #[n(10)]
    pub made_at: u64,
}

impl Claim {
    /// The peers it names, without the owner.
    pub fn peers(&self) -> impl Iterator<Item = PeerKeys> {
        [self.peer1, self.peer2, self.peer3].into_iter().flatten()
    }

    /// Seals the claim.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] when `out` is too small.
    pub fn seal<'o>(&self, key: &ClaimKey, out: &'o mut [u8]) -> Result<&'o [u8], CodecError> {
        let mut payload = [0; MAX_PAYLOAD];
        mac0(
            Kind::Claim,
            encode(self, &mut payload)?,
            key.danger_as_bytes(),
            out,
        )
    }

    /// Reads and verifies a claim.
    ///
    /// # Errors
    /// [`CoseError`].
    pub fn verify(bytes: &[u8], key: &ClaimKey) -> Result<Self, CoseError> {
        let payload = Envelope::parse(Kind::Claim, bytes)?.verify_mac(key.danger_as_bytes())?;
        Ok(decode_exact(payload)?)
    }
}
