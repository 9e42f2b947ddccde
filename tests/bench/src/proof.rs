//! What a lock itself signed, taken out of what the guest told.

use base64ct::{Base64, Encoding};
use drawbridge_protocol::outcome::Outcome;
use drawbridge_protocol::qr::QrCode;
use serde_json::Value;

/// The outcome in a result, verified under the identity of the lock whose code this is.
///
/// # Panics
/// When there is none or the lock did not sign it.
#[must_use]
#[track_caller]
pub fn signed(result: &Value, code: &QrCode) -> Outcome {
    let outcome = || {
        let report = Base64::decode_vec(result["report"].as_str()?).ok()?;
        Outcome::verify(&report, &code.identity).ok()
    };
    outcome().unwrap_or_else(|| panic!("the lock did not sign an outcome in {result}"))
}
