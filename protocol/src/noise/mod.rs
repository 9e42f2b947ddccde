//! The handshake: `Noise_IKpsk2_25519_ChaChaPoly_SHA256`, the lock as responder.
//!
//! One pattern, one round trip, nothing negotiated. The lock runs it on clatter, hub and phone on
//! snow: two independent implementations that tests hold against each other and against published
//! vectors.

use core::fmt;

#[cfg(feature = "initiator")]
pub mod initiator;
#[cfg(feature = "responder")]
pub mod responder;
#[cfg(feature = "responder")]
pub mod suite;

/// Size of message 1: ephemeral key 32, sealed static key 48, sealed generation 4 + 16.
pub const MESSAGE_1: usize = 100;

/// Size of message 2: ephemeral key 32, two sealed labels 48 + 16.
pub const MESSAGE_2: usize = 96;

/// Why a handshake failed. For the journal; a peer without proof is told nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A message of another size.
    Length,
    /// A tag does not match: another key, another prologue, another psk, or a changed message.
    NotAuthentic,
    /// A key that agrees on zero with everybody.
    WeakKey,
    /// The handshake was driven in the wrong order.
    Order,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "read a handshake message of the right size",
            Self::NotAuthentic => "authenticate a handshake message",
            Self::WeakKey => "agree on a secret with a key of small order",
            Self::Order => "drive the handshake in order",
        })
    }
}

impl core::error::Error for HandshakeError {}
