//! The pairing ticket: what the owner's device gives a hub so that it can pair, and no more.

use core::fmt;

use minicbor::{Decode, Encode};

use crate::codec::{CodecError, decode_exact, encode};
use crate::ids::LockId;
use crate::keys::{IdentityKey, LinkKey, Psk};
use crate::secret::BeaconKey;

/// The longest ticket, in bytes.
pub const MAX_TICKET: usize = 192;

/// A ticket. **It holds neither the setup secret nor the claim key: whoever has it can make a
/// session inside the window, and cannot take ownership.**
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PairingTicket {
    /// The maker's number for the model.
    #[n(1)]
    pub model: u16,
    /// Which lock.
    #[n(2)]
    pub lock: LockId,
    /// The lock's end of sessions.
    #[n(3)]
    pub link: LinkKey,
    /// Signs what the lock says.
    #[n(4)]
    pub identity: IdentityKey,
    /// Pre-shared key, generation 0.
    #[n(5)]
    pub pair_psk: Psk,
    /// The Bluetooth passkey, 0 to 999,999.
    #[n(6)]
    pub passkey: u32,
    /// Finds the lock on the air.
    #[n(7)]
    pub beacon_key: BeaconKey,
}

impl fmt::Debug for PairingTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PairingTicket(for {})", self.lock)
    }
}

impl PairingTicket {
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
    /// [`CodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        decode_exact(bytes)
    }
}
