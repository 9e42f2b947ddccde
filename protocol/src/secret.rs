//! What follows from the 16-byte setup secret in the code on a lock.

use core::fmt;

use hkdf::Hkdf;
use sha2::Sha256;

use crate::ids::LockId;
use crate::keys::{Psk, SharedSecret};

/// The setup secret itself; stays on the owner's device and in the lock.
pub type SetupSecret = SharedSecret<16>;

/// Proves that whoever made a claim has seen the code. Never given to a hub.
pub type ClaimKey = SharedSecret<32>;

/// Lets a peer tell its lock's adverts from all others.
pub type BeaconKey = SharedSecret<16>;

/// Everything derived from one setup secret: HKDF-SHA-256 (RFC 5869), salt = lock id, one label
/// each, so that none of them tells anything about another.
#[derive(Clone)]
pub struct SetupKeys {
    /// The pre-shared key of the pairing session (generation 0).
    pub pair_psk: Psk,
    /// The Bluetooth passkey, 0 to 999,999.
    pub passkey: u32,
    /// Seals the claim.
    pub claim_key: ClaimKey,
    /// The first beacon key.
    pub beacon_key: BeaconKey,
}

impl fmt::Debug for SetupKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetupKeys(..)")
    }
}

impl SetupKeys {
    /// Derives them.
    #[must_use]
    pub fn derive(lock: LockId, secret: &SetupSecret) -> Self {
        let hkdf = Hkdf::<Sha256>::new(Some(lock.as_bytes()), secret.danger_as_bytes());
        let passkey = u32::from_be_bytes(expand(&hkdf, b"drawbridge v1 passkey"));
        Self {
            pair_psk: Psk::new(expand(&hkdf, b"drawbridge v1 pair psk")),
            // 2^32 is no multiple of 10^6: the bias is below 1 in 4,000 and no boundary rests on it.
            passkey: passkey % 1_000_000,
            claim_key: ClaimKey::new(expand(&hkdf, b"drawbridge v1 claim key")),
            beacon_key: BeaconKey::new(expand(&hkdf, b"drawbridge v1 beacon key")),
        }
    }
}

fn expand<const N: usize>(hkdf: &Hkdf<Sha256>, label: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    // RFC 5869 limits the output to 255 * 32 bytes; N is at most 32.
    let fits = hkdf.expand(label, &mut out).is_ok();
    debug_assert!(fits, "a key of {N} bytes is within HKDF's bound");
    out
}
