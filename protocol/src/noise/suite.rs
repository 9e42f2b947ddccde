//! clatter's traits over the same crates that the rest of the lock uses, so that a chip carries
//! one X25519, one ChaCha20-Poly1305 and one SHA-256.

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use clatter::KeyPair;
use clatter::bytearray::SensitiveByteArray;
use clatter::error::{CipherError, CipherResult, DhError, DhResult};
use clatter::traits::{Cipher, CryptoComponent, Dh, Hash, Rng};
use sha2::Digest;
use x25519_dalek::{PublicKey, StaticSecret};

/// X25519 that refuses an all-zero result (RFC 7748 section 6.1) and makes no keys of its own.
#[derive(Debug, Clone)]
pub struct X25519;

impl CryptoComponent for X25519 {
    fn name() -> &'static str {
        "25519"
    }
}

impl Dh for X25519 {
    type PrivateKey = SensitiveByteArray<[u8; 32]>;
    type PubKey = [u8; 32];
    type Output = SensitiveByteArray<[u8; 32]>;

    /// Always an error: the ephemeral key is handed in, so that the lock has one source of
    /// randomness and the handshake none.
    fn genkey_rng<R: Rng>(_: &mut R) -> DhResult<KeyPair<Self::PubKey, Self::PrivateKey>> {
        Err(DhError::KeyGeneration)
    }

    fn pubkey(secret: &Self::PrivateKey) -> Self::PubKey {
        PublicKey::from(&StaticSecret::from(**secret)).to_bytes()
    }

    fn dh(secret: &Self::PrivateKey, public: &Self::PubKey) -> DhResult<Self::Output> {
        let shared = StaticSecret::from(**secret).diffie_hellman(&PublicKey::from(*public));
        if shared.was_contributory() {
            Ok(SensitiveByteArray::new(shared.to_bytes()))
        } else {
            Err(DhError::KeyGeneration)
        }
    }
}

/// ChaCha20-Poly1305 with Noise's nonces.
#[derive(Debug, Clone)]
pub struct ChaChaPoly;

impl CryptoComponent for ChaChaPoly {
    fn name() -> &'static str {
        "ChaChaPoly"
    }
}

impl Cipher for ChaChaPoly {
    type Key = SensitiveByteArray<[u8; 32]>;

    fn tag_len() -> usize {
        16
    }

    fn encrypt(
        key: &Self::Key,
        nonce: u64,
        ad: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> CipherResult<()> {
        out.get_mut(..plaintext.len())
            .ok_or(CipherError::Encrypt)?
            .copy_from_slice(plaintext);
        Self::encrypt_in_place(key, nonce, ad, out, plaintext.len()).map(|_| ())
    }

    fn encrypt_in_place(
        key: &Self::Key,
        nonce: u64,
        ad: &[u8],
        in_out: &mut [u8],
        plaintext_len: usize,
    ) -> CipherResult<usize> {
        let (text, rest) = in_out
            .split_at_mut_checked(plaintext_len)
            .ok_or(CipherError::Encrypt)?;
        let tag = rest.get_mut(..16).ok_or(CipherError::Encrypt)?;
        let made = ChaCha20Poly1305::new((&**key).into())
            .encrypt_inout_detached(&noise_nonce(nonce).into(), ad, text.into())
            .map_err(|_| CipherError::Encrypt)?;
        tag.copy_from_slice(&made);
        Ok(plaintext_len + 16)
    }

    fn decrypt(
        key: &Self::Key,
        nonce: u64,
        ad: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> CipherResult<()> {
        let text_len = ciphertext
            .len()
            .checked_sub(16)
            .ok_or(CipherError::Decrypt)?;
        let (sealed, tag) = ciphertext
            .split_at_checked(text_len)
            .ok_or(CipherError::Decrypt)?;
        let text = out.get_mut(..text_len).ok_or(CipherError::Decrypt)?;
        text.copy_from_slice(sealed);
        let tag = tag.try_into().map_err(|_| CipherError::Decrypt)?;
        ChaCha20Poly1305::new((&**key).into())
            .decrypt_inout_detached(&noise_nonce(nonce).into(), ad, text.into(), tag)
            .map_err(|_| CipherError::Decrypt)
    }

    fn decrypt_in_place(
        key: &Self::Key,
        nonce: u64,
        ad: &[u8],
        in_out: &mut [u8],
        ciphertext_len: usize,
    ) -> CipherResult<usize> {
        let text_len = ciphertext_len.checked_sub(16).ok_or(CipherError::Decrypt)?;
        let message = in_out
            .get_mut(..ciphertext_len)
            .ok_or(CipherError::Decrypt)?;
        let (text, tag) = message
            .split_at_mut_checked(text_len)
            .ok_or(CipherError::Decrypt)?;
        let tag = (&*tag).try_into().map_err(|_| CipherError::Decrypt)?;
        ChaCha20Poly1305::new((&**key).into())
            .decrypt_inout_detached(&noise_nonce(nonce).into(), ad, text.into(), tag)
            .map_err(|_| CipherError::Decrypt)?;
        Ok(text_len)
    }
}

fn noise_nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    for (to, from) in nonce.iter_mut().skip(4).zip(counter.to_le_bytes()) {
        *to = from;
    }
    nonce
}

/// SHA-256.
#[derive(Debug, Clone, Default)]
pub struct Sha256(sha2::Sha256);

impl CryptoComponent for Sha256 {
    fn name() -> &'static str {
        "SHA256"
    }
}

impl Hash for Sha256 {
    type Block = [u8; 64];
    type Output = SensitiveByteArray<[u8; 32]>;

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(self) -> Self::Output {
        let digest: [u8; 32] = self.0.finalize().into();
        SensitiveByteArray::new(digest)
    }
}

/// Fills the place of clatter's generator, which asks for one even when the ephemeral key is
/// handed in. It is never drawn from: [`X25519::genkey_rng`] refuses before it could be.
#[derive(Debug, Clone, Default)]
pub struct NeverDrawn;

impl rand_core::RngCore for NeverDrawn {
    fn next_u32(&mut self) -> u32 {
        0
    }

    fn next_u64(&mut self) -> u64 {
        0
    }

    fn fill_bytes(&mut self, _: &mut [u8]) {}

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), rand_core::Error> {
        const NONE_HERE: core::num::NonZeroU32 =
            core::num::NonZeroU32::MIN.saturating_add(rand_core::Error::CUSTOM_START);
        Err(rand_core::Error::from(NONE_HERE))
    }
}

impl rand_core::CryptoRng for NeverDrawn {}
