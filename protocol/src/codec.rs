//! Deterministic CBOR (RFC 8949 section 4.2) with integer keys, bounded, without a heap.
//!
//! Signed statements are decoded strictly: [`decode_exact`] encodes what it understood again and
//! requires the same bytes. That one rule refuses unknown keys, duplicate keys, keys out of order,
//! longer-than-needed integers, indefinite lengths and trailing bytes.

use core::fmt;

use minicbor::encode::Write;
use minicbor::encode::write::Cursor;
use minicbor::{Decode, Decoder, Encode};

/// Bytes that are not the statement or message they should be, or do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// Not well-formed CBOR of the expected shape.
    Malformed,
    /// Well-formed, but not the one deterministic encoding (or with keys this version does not know).
    NotDeterministic,
    /// The encoding does not fit the buffer.
    TooLong,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "decode cbor of the expected shape",
            Self::NotDeterministic => "accept cbor that is not deterministic or has unknown keys",
            Self::TooLong => "fit the encoding into its bound",
        })
    }
}

impl core::error::Error for CodecError {}

/// Encodes `value` at the start of `out`.
///
/// # Errors
/// [`CodecError::TooLong`] when it does not fit.
pub fn encode<'o, T: Encode<()>>(value: &T, out: &'o mut [u8]) -> Result<&'o [u8], CodecError> {
    let mut cursor = Cursor::new(&mut *out);
    minicbor::encode(value, &mut cursor).map_err(|_| CodecError::TooLong)?;
    let len = cursor.position();
    out.get(..len).ok_or(CodecError::TooLong)
}

/// Decodes a signed statement: exactly these bytes, nothing unknown, nothing left over.
///
/// # Errors
/// [`CodecError::Malformed`] or [`CodecError::NotDeterministic`].
pub fn decode_exact<'b, T>(bytes: &'b [u8]) -> Result<T, CodecError>
where
    T: Decode<'b, ()> + Encode<()>,
{
    let value: T = minicbor::decode(bytes).map_err(|_| CodecError::Malformed)?;
    let mut same = SameBytes { rest: bytes };
    minicbor::encode(&value, &mut same).map_err(|_| CodecError::NotDeterministic)?;
    if same.rest.is_empty() {
        Ok(value)
    } else {
        Err(CodecError::NotDeterministic)
    }
}

/// Decodes a report: keys of a later version are skipped, trailing bytes are not.
///
/// # Errors
/// [`CodecError::Malformed`].
pub fn decode_report<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, CodecError> {
    let mut decoder = Decoder::new(bytes);
    let value = decoder.decode().map_err(|_| CodecError::Malformed)?;
    if decoder.position() == bytes.len() {
        Ok(value)
    } else {
        Err(CodecError::Malformed)
    }
}

/// A writer that stores nothing and fails at the first byte that differs from `rest`.
struct SameBytes<'b> {
    rest: &'b [u8],
}

/// Signals that an encoding differs from the bytes it was decoded from.
struct Differs;

impl Write for SameBytes<'_> {
    type Error = Differs;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Differs> {
        self.rest = self.rest.strip_prefix(bytes).ok_or(Differs)?;
        Ok(())
    }
}

/// Gives a C-like enum its CBOR form: the number itself. With `or Other` the enum has a variant
/// `Other(u8)` that takes the numbers of later versions and encodes them again as they came.
macro_rules! cbor_number {
    ($name:ident $(or $other:ident)? { $($variant:ident = $number:literal),+ $(,)? }) => {
        impl $name {
            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self { $(Self::$variant => $number,)+ $(Self::$other(number) => number,)? }
            }

            /// The variant with this number on the wire, if this version knows it.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.u8(self.number())?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                let number = d.u8()?;
                let known = Self::from_number(number);
                $(let known = known.or(Some(Self::$other(number)));)?
                known.ok_or_else(|| {
                    minicbor::decode::Error::message(concat!("unknown ", stringify!($name)))
                })
            }
        }

        $(
            /// The stable name; for a number of a later version `other_` and the number.
            impl core::fmt::Display for $name {
                fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                    match self {
                        Self::$other(number) => write!(f, "other_{number}"),
                        known => f.write_str(known.name()),
                    }
                }
            }
        )?
    };
}
pub(crate) use cbor_number;
