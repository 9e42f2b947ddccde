//! JSON from strangers: one strict reader for the control socket and for MQTT payloads (S22).
//!
//! A first pass looks at the form without building anything: size, UTF-8, depth, number of values, duplicate keys. Only then
//! a second pass fills the caller's type, which must itself refuse unknown fields. **Memory is bounded by the size
//! limit whatever the input, and every refusal says where.** NaN and Infinity are no JSON and are refused as such.

mod base64url;
mod form;

use serde::de::DeserializeOwned;

pub use self::base64url::{Base64Url, decode_base64url, encode_base64url};

/// Deepest nesting of objects and arrays. Our own messages need 5.
pub const MAX_DEPTH: usize = 16;

/// Most values and keys in one document: bounds the time of a document made of commas.
pub const MAX_VALUES: usize = 16 * 1024;

/// Longest piece of the input, in characters, that an error repeats.
const QUOTED: usize = 64;

/// Why a document was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Over the size limit.
    #[error("read JSON: {length} bytes are more than the {limit} allowed")]
    TooLarge {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("read JSON: not UTF-8 at byte {at}")]
    NotUtf8 {
        /// First bad byte, from 0.
        at: usize,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("read JSON: nested deeper than {MAX_DEPTH} at line {line} column {column}")]
    TooDeep {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// More than [`MAX_VALUES`] values.
    #[error("read JSON: more than {MAX_VALUES} values at line {line} column {column}")]
    TooMany {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A key twice in one object.
    #[error("read JSON: key \"{key}\" is there twice at line {line} column {column}")]
    DuplicateKey {
        /// The key, escaped and cut.
        key: String,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Not JSON.
    #[error("read JSON: {what} at line {line} column {column}")]
    Malformed {
        /// What is wrong, escaped and cut.
        what: String,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// JSON, but not what is expected here.
    #[error("understand JSON: {what} at line {line} column {column}")]
    Shape {
        /// What is wrong, escaped and cut.
        what: String,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
}

impl JsonError {
    /// A refused document changed nothing.
    #[must_use]
    pub fn may_have_succeeded(&self) -> bool {
        false
    }

    /// The same bytes are refused for ever.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        false
    }
}

/// Text from outside made fit for a log line: control and bidirectional characters escaped, and cut (S26).
#[must_use]
pub fn quotable(text: &str, most: usize) -> String {
    let mut quoted = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == most {
            quoted.push('…');
            break;
        }
        let bidirectional = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || bidirectional || matches!(character, '\u{2028}' | '\u{2029}') {
            quoted.extend(character.escape_unicode());
        } else {
            quoted.push(character);
        }
    }
    quoted
}

/// Reads one document of at most `limit` bytes into `T`.
///
/// `T` refuses unknown fields by `#[serde(deny_unknown_fields)]`.
///
/// # Errors
/// See [`JsonError`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, JsonError> {
    let text = checked(bytes, limit)?;
    serde_json::from_str(text).map_err(|error| JsonError::Shape {
        what: quotable(&without_place(&error), 3 * QUOTED),
        line: error.line(),
        column: error.column(),
    })
}

/// Fills `T` from a value already read strictly, as a verb's data is.
///
/// # Errors
/// [`JsonError::Shape`] without a place: line and column are 0.
pub fn decode_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, JsonError> {
    serde_json::from_value(value).map_err(|error| JsonError::Shape {
        what: quotable(&without_place(&error), 3 * QUOTED),
        line: error.line(),
        column: error.column(),
    })
}

fn checked(bytes: &[u8], limit: usize) -> Result<&str, JsonError> {
    if bytes.len() > limit {
        return Err(JsonError::TooLarge {
            length: bytes.len(),
            limit,
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| JsonError::NotUtf8 {
        at: error.valid_up_to(),
    })?;
    form::check(text)?;
    Ok(text)
}

/// serde_json ends its text with the place, which we give in fields.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place)
        .map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests;
