//! JSON and base64 at the edge of the core: the one place where text from outside becomes values.

use base64ct::{Base64, Encoding};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The longest JSON text that is read, bytes.
pub(super) const MAX_JSON: usize = 64 * 1024;

/// Text that is not the JSON it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read json: {0}")]
pub(super) struct NotJson(String);

/// Reads a JSON text: bounded in length and depth, no duplicate or unknown keys where `T` has
/// named fields.
pub(super) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, NotJson> {
    if text.len() > MAX_JSON {
        return Err(NotJson(format!("longer than {MAX_JSON} bytes")));
    }
    serde_json::from_slice(text).map_err(|error| NotJson(error.to_string()))
}

/// Reads the arguments of a verb.
pub(super) fn arguments<T: DeserializeOwned>(data: Value) -> Result<T, NotJson> {
    serde_json::from_value(data).map_err(|error| NotJson(error.to_string()))
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
