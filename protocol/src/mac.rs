//! HMAC-SHA-256 with keys of fixed size.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// HMAC-SHA-256 (RFC 2104) of `message` under a key of at most 64 bytes.
pub(crate) fn hmac_sha256<const N: usize>(key: &[u8; N], message: &[u8]) -> [u8; 32] {
    const { assert!(N <= 64, "longer keys would have to be hashed first") };
    // A key shorter than the block is padded with zeros: that is what RFC 2104 does.
    let mut block = [0; 64];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}
