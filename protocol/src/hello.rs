//! The two hellos: in clear, and both bound into the handshake's prologue.

use minicbor::{Decode, Encode};

use crate::codec::{CodecError, cbor_number, decode_exact, encode};
use crate::ids::{LockId, Nonce};
use crate::version;

/// The longest hello, in bytes.
pub const MAX_HELLO: usize = 48;

/// The prologue's label.
const LABEL: &[u8] = b"drawbridge link v1";

/// The longest prologue.
const MAX_PROLOGUE: usize = LABEL.len() + LockId::LEN + 2 * (MAX_HELLO + 1);

/// What a lock says first on a link; holds nothing that tells one lock from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LockHello {
    /// Oldest version it speaks.
    #[n(1)]
    pub min_version: u8,
    /// Newest version it speaks.
    #[n(2)]
    pub max_version: u8,
    /// Feature bits; none are defined in version 1.
    #[n(3)]
    pub features: u32,
    /// Where its L2CAP channel listens.
    #[n(4)]
    pub psm: u16,
    /// 16 random bytes of this link: a handshake recorded on another link fails at its first tag.
    #[n(5)]
    pub nonce: Nonce,
}

/// What the handshake is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// A session of an enrolled peer.
    Session,
    /// Pairing, inside the window.
    Pair,
}

cbor_number!(Purpose { Session = 0, Pair = 1 });

/// What an initiator says before message 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct InitiatorHello {
    /// The version it chose: the highest that both speak.
    #[n(1)]
    pub version: u8,
    /// Feature bits; none are defined in version 1.
    #[n(2)]
    pub features: u32,
    /// What for.
    #[n(3)]
    pub purpose: Purpose,
}

impl LockHello {
    /// The hello of this build with the nonce of a new link.
    #[must_use]
    pub const fn new(psm: u16, nonce: Nonce) -> Self {
        Self {
            min_version: version::MIN,
            max_version: version::CURRENT,
            features: 0,
            psm,
            nonce,
        }
    }

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
        bounded(bytes)
    }
}

impl InitiatorHello {
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
        bounded(bytes)
    }
}

fn bounded<'b, T: Decode<'b, ()> + Encode<()>>(bytes: &'b [u8]) -> Result<T, CodecError> {
    if bytes.len() > MAX_HELLO {
        Err(CodecError::TooLong)
    } else {
        decode_exact(bytes)
    }
}

/// The prologue of a handshake: label, lock id, both hellos byte for byte, each after its length.
///
/// **Whoever edits a version, a feature, a purpose or a nonce on the way makes the first tag fail.**
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prologue {
    bytes: [u8; MAX_PROLOGUE],
    len: usize,
}

impl Prologue {
    /// Builds the prologue from the hellos as they were on the wire.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] for a hello over [`MAX_HELLO`].
    pub fn new(lock: LockId, lock_hello: &[u8], initiator: &[u8]) -> Result<Self, CodecError> {
        if lock_hello.len() > MAX_HELLO || initiator.len() > MAX_HELLO {
            return Err(CodecError::TooLong);
        }
        let lengths = [[lock_hello.len() as u8], [initiator.len() as u8]];
        let [lock_len, initiator_len] = &lengths;
        let parts: [&[u8]; 6] = [
            LABEL,
            lock.as_bytes(),
            lock_len,
            lock_hello,
            initiator_len,
            initiator,
        ];
        let mut bytes = [0; MAX_PROLOGUE];
        let mut len = 0;
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
            len += 1;
        }
        Ok(Self { bytes, len })
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}
