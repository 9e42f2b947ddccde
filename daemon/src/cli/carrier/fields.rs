//! Reading answers: every field is missing, of another type, or wrong until shown otherwise.

use std::str::FromStr;

use base64ct::{Base64, Encoding};
use serde_json::Value;

use super::CarryError;

fn malformed(verb: &str, what: String) -> CarryError {
    CarryError::Malformed {
        verb: verb.to_owned(),
        what,
    }
}

/// A text field.
fn text<'v>(verb: &str, answer: &'v Value, name: &str) -> Result<&'v str, CarryError> {
    answer
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| malformed(verb, format!("it has no text '{name}'")))
}

/// A field that is written as text, such as an id.
pub(in crate::cli) fn field<T: FromStr>(
    verb: &str,
    answer: &Value,
    name: &str,
) -> Result<T, CarryError> {
    text(verb, answer, name)?
        .parse()
        .map_err(|_| malformed(verb, format!("its '{name}' cannot be read")))
}

/// Bytes in standard base64.
pub(in crate::cli) fn bytes(verb: &str, answer: &Value, name: &str) -> Result<Vec<u8>, CarryError> {
    Base64::decode_vec(text(verb, answer, name)?)
        .map_err(|_| malformed(verb, format!("its '{name}' is not base64")))
}

/// Bytes as standard base64.
pub(in crate::cli) fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}
