//! Bytes in JSON: base64url without padding (RFC 4648 section 5), one spelling for each value.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use super::JsonError;

/// Decodes at most `most` bytes.
///
/// # Errors
/// [`JsonError::Shape`] for padding, other alphabets, non-zero trailing bits and anything over `most`.
pub fn decode_base64url(text: &str, most: usize) -> Result<Vec<u8>, JsonError> {
    let shape = |what: &str| JsonError::Shape {
        what: what.into(),
        line: 0,
        column: 0,
    };
    if text.len().div_ceil(4) * 3 > most + 3 {
        return Err(shape("base64url text is too long"));
    }
    let bytes = Base64UrlUnpadded::decode_vec(text)
        .map_err(|_| shape("text is not base64url without padding"))?;
    if bytes.len() > most {
        return Err(shape("base64url text is too long"));
    }
    Ok(bytes)
}

/// Encodes without padding.
#[must_use]
pub fn encode_base64url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// At most `MOST` bytes that are base64url in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base64Url<const MOST: usize>(pub Vec<u8>);

impl<const MOST: usize> Serialize for Base64Url<MOST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode_base64url(&self.0))
    }
}

impl<'de, const MOST: usize> Deserialize<'de> for Base64Url<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<const MOST: usize>;

        impl<const MOST: usize> Visitor<'_> for Text<MOST> {
            type Value = Base64Url<MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "base64url text of at most {MOST} bytes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Base64Url<MOST>, E> {
                decode_base64url(text, MOST)
                    .map(Base64Url)
                    .map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text::<MOST>)
    }
}
