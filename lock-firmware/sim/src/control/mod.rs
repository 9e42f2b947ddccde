//! The knobs: JSON lines on a Unix socket, one answer for each line.
//!
//! Every answer has `ok`; one that is `false` has `error` and `advice`.

mod fields;
mod request;
mod socket;

pub use fields::RequestError;
pub use request::{Cut, HELP, Request};
pub use socket::{ControlError, ControlSocket, Order};

use serde_json::{Value, json};

/// An answer that says no.
#[must_use]
pub fn refusal(error: &str, advice: &str) -> Value {
    json!({ "ok": false, "error": error, "advice": advice })
}
