//! Identifiers, each its own type so that none can stand where another belongs.

use core::fmt;

use sha2::{Digest, Sha256};

/// A text that is not the expected number of hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotHex {
    /// How many digits were expected.
    pub digits: usize,
}

impl fmt::Display for NotHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} hexadecimal digits", self.digits)
    }
}

impl core::error::Error for NotHex {}

/// Decodes lower- or upper-case hexadecimal digits that fill `into` exactly.
pub(crate) fn hex_into(text: &str, into: &mut [u8]) -> Result<(), NotHex> {
    let error = NotHex {
        digits: into.len() * 2,
    };
    if text.len() != into.len() * 2 {
        return Err(error);
    }
    let nibble = |c: u8| (c as char).to_digit(16).map(|d| d as u8).ok_or(error);
    for (byte, pair) in into.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let &[high, low] = pair else {
            return Err(error);
        };
        *byte = (nibble(high)? << 4) | nibble(low)?;
    }
    Ok(())
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Size in bytes.
            pub const LEN: usize = $len;

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::ids::NotHex;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $len];
                $crate::ids::hex_into(text, &mut bytes)?;
                Ok(Self(bytes))
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                let bytes = d.bytes()?;
                bytes
                    .try_into()
                    .map(Self)
                    .map_err(|_| minicbor::decode::Error::message(concat!(stringify!($name), " has another length")))
            }
        }
    };
}
pub(crate) use identifier;

identifier! {
    /// A lock, for life: 8 random bytes set when it is made. In topics: 16 lower-case hex digits.
    LockId, 8
}

identifier! {
    /// One signed command: the first 16 bytes of SHA-256 of its signed payload.
    CommandId, 16
}

identifier! {
    /// One run of a lock, from boot to boot: 16 random bytes drawn at boot. A command names the
    /// epoch it was signed for, so nothing signed before a reboot acts after it.
    LockEpoch, 16
}

identifier! {
    /// One ownership of a lock: the first 8 bytes of SHA-256 of the claim that began it.
    OwnershipId, 8
}

identifier! {
    /// SHA-256 of something named elsewhere in full.
    Digest32, 32
}

identifier! {
    /// 128 random bits that make an answer fresh.
    Nonce, 16
}

impl CommandId {
    /// The id of the command whose signed payload is `payload`.
    #[must_use]
    pub fn of_payload(payload: &[u8]) -> Self {
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(Sha256::digest(payload)) {
            *to = from;
        }
        Self(id)
    }
}

impl OwnershipId {
    /// The ownership that `claim` (its whole encoded bytes) began.
    #[must_use]
    pub fn of_claim(claim: &[u8]) -> Self {
        let mut id = [0; 8];
        for (to, from) in id.iter_mut().zip(Sha256::digest(claim)) {
            *to = from;
        }
        Self(id)
    }
}

impl Digest32 {
    /// All zero: the hash before the first record of a log.
    pub const ZERO: Self = Self([0; 32]);

    /// SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}
