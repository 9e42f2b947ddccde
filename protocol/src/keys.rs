//! Long-term keys: Ed25519 for statements, X25519 for sessions.

use core::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::entropy::Entropy;
use crate::ids::identifier;

identifier! {
    /// An Ed25519 public key: names whoever signs.
    IdentityKey, 32
}

identifier! {
    /// An X25519 public key: names an end of a session.
    LinkKey, 32
}

/// A public key that must never be enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes are no point of the curve.
    NotAKey,
    /// A point of small order: everybody knows what it "agrees" on or "signs".
    Weak,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAKey => "read a public key",
            Self::Weak => "accept a public key of small order",
        })
    }
}

impl core::error::Error for KeyError {}

impl IdentityKey {
    /// Refuses what must not be enrolled.
    ///
    /// # Errors
    /// [`KeyError`] for bytes that are no key, or a weak one (ed25519-dalek `is_weak`).
    pub fn check(&self) -> Result<(), KeyError> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| KeyError::NotAKey)?;
        if key.is_weak() {
            Err(KeyError::Weak)
        } else {
            Ok(())
        }
    }

    /// Whether `signature` over `message` was made with this key; `verify_strict`: canonical
    /// encodings only, no small-order points, so that one message has one verdict everywhere.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .and_then(|key| key.verify_strict(message, &Signature::from_bytes(signature)))
            .is_ok()
    }
}

impl LinkKey {
    /// Refuses low-order keys (RFC 7748 section 6.1): any secret would "agree" on zero with them.
    ///
    /// # Errors
    /// [`KeyError::Weak`].
    pub fn check(&self) -> Result<(), KeyError> {
        // Any scalar will do: clamping makes it a multiple of the cofactor 8.
        let probe = StaticSecret::from([0x55; 32]).diffie_hellman(&PublicKey::from(self.0));
        if probe.was_contributory() {
            Ok(())
        } else {
            Err(KeyError::Weak)
        }
    }
}

/// The secret half of an [`IdentityKey`]: an Ed25519 seed of 32 bytes.
#[derive(Clone)]
pub struct IdentitySecret(SigningKey);

impl IdentitySecret {
    /// A fresh secret.
    pub fn generate(entropy: &mut impl Entropy) -> Self {
        let mut seed = entropy.bytes();
        let secret = Self::from_bytes(&seed);
        seed.zeroize();
        secret
    }

    /// The secret with this seed.
    #[must_use]
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, to be stored where secrets are stored.
    #[must_use]
    pub fn danger_to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> IdentityKey {
        IdentityKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` (RFC 8032, deterministic).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for IdentitySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentitySecret(of {})", self.public())
    }
}

/// The secret half of a [`LinkKey`]: 32 bytes, clamped when used.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct LinkSecret([u8; 32]);

impl LinkSecret {
    /// A fresh secret.
    pub fn generate(entropy: &mut impl Entropy) -> Self {
        Self(entropy.bytes())
    }

    /// The secret with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be stored where secrets are stored.
    #[must_use]
    pub const fn danger_as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> LinkKey {
        LinkKey(PublicKey::from(&StaticSecret::from(self.0)).to_bytes())
    }
}

impl fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSecret(..)")
    }
}

/// A secret of `N` bytes that is shared, never shown, and wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SharedSecret<const N: usize>([u8; N]);

impl<const N: usize> SharedSecret<N> {
    /// Takes the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// A fresh one.
    pub fn generate(entropy: &mut impl Entropy) -> Self {
        Self(entropy.bytes())
    }

    /// The bytes, for a cipher or for where secrets are stored.
    #[must_use]
    pub const fn danger_as_bytes(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> PartialEq for SharedSecret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl<const N: usize> Eq for SharedSecret<N> {}

impl<const N: usize> fmt::Debug for SharedSecret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedSecret<{N}>(..)")
    }
}

impl<C, const N: usize> minicbor::Encode<C> for SharedSecret<N> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C, const N: usize> minicbor::Decode<'b, C> for SharedSecret<N> {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.bytes()?
            .try_into()
            .map(Self)
            .map_err(|_| minicbor::decode::Error::message("secret has another length"))
    }
}

/// A 32-byte pre-shared key of a session.
pub type Psk = SharedSecret<32>;
