//! JSON and base64 at the edge of the core: the one place where text from outside becomes values.

use base64ct::{Base64, Encoding};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::strict_json::{self, JsonError};

/// The longest JSON text that is read, bytes.
pub(super) const MAX_JSON: usize = 64 * 1024;

/// Reads a JSON text of a verb's envelope.
pub(super) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
    strict_json::decode(text, MAX_JSON)
}

/// Reads the arguments of a verb.
pub(super) fn arguments<T: DeserializeOwned>(data: Value) -> Result<T, JsonError> {
    strict_json::decode_value(data)
}

/// The text of a value.
pub(super) fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// Standard base64 with padding (RFC 4648 section 4).
pub(super) fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// Reads standard base64 of at most `max` bytes; one encoding only.
pub(super) fn from_base64(text: &str, max: usize) -> Option<Vec<u8>> {
    if text.len() > max.div_ceil(3) * 4 {
        return None;
    }
    Base64::decode_vec(text)
        .ok()
        .filter(|bytes| bytes.len() <= max)
}
