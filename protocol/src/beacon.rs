//! Beacons: how a peer finds its lock, and nobody else can tell two locks apart.

use crate::entropy::Entropy;
use crate::mac::hmac_sha256;
use crate::secret::BeaconKey;

/// The service data of an advert: a nonce of 4 bytes and 8 bytes of
/// HMAC-SHA-256(beacon key, nonce). It finds, it does not authenticate: 4 bytes repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beacon(pub [u8; Self::LEN]);

impl Beacon {
    /// Size in bytes.
    pub const LEN: usize = 12;

    /// A beacon with a fresh nonce.
    pub fn generate(key: &BeaconKey, entropy: &mut impl Entropy) -> Self {
        Self::with_nonce(key, entropy.bytes())
    }

    /// Whether a lock with this beacon key sent it.
    #[must_use]
    pub fn is_from(&self, key: &BeaconKey) -> bool {
        let [a, b, c, d, ..] = self.0;
        *self == Self::with_nonce(key, [a, b, c, d])
    }

    fn with_nonce(key: &BeaconKey, nonce: [u8; 4]) -> Self {
        let tag = hmac_sha256(key.danger_as_bytes(), &nonce);
        let mut bytes = [0; Self::LEN];
        for (to, from) in bytes.iter_mut().zip(nonce.iter().chain(tag.iter())) {
            *to = *from;
        }
        Self(bytes)
    }
}
