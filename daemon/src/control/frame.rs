//! One line each way.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest line either way, bytes, without its newline.
pub const MAX_LINE: usize = 64 * 1024;

/// Longest verb, bytes.
const MAX_VERB: usize = 64;

/// A request as it comes in.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Chosen by the asker, repeated in every answer.
    pub id: u64,
    /// What is asked, such as `lock.list`.
    pub verb: String,
    /// What the verb needs.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

impl Request {
    /// Verbs are `[a-z0-9_.]{1,64}`: they reach topics and logs (S26).
    #[must_use]
    pub fn has_sound_verb(&self) -> bool {
        let allowed =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'_';
        (1..=MAX_VERB).contains(&self.verb.len()) && self.verb.bytes().all(allowed)
    }
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Fault {
    /// Stable word for programs.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Fault {
    /// A fault without advice.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            advice: None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// What kind of line this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Done; the last line for this id.
    Ok,
    /// Not done; the last line for this id.
    Error,
    /// One of a stream; more will come.
    Event,
}

/// A line back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The request's id; absent when no request could be read.
    pub id: Option<u64>,
    /// What kind of line this is.
    pub status: Status,
    /// With `ok` and `event`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// With `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

impl Response {
    pub(super) fn ok(id: u64, data: Value) -> Self {
        Self {
            id: Some(id),
            status: Status::Ok,
            data: Some(data),
            error: None,
        }
    }

    pub(super) fn event(id: u64, data: Value) -> Self {
        Self {
            id: Some(id),
            status: Status::Event,
            data: Some(data),
            error: None,
        }
    }

    pub(super) fn error(id: Option<u64>, fault: Fault) -> Self {
        Self {
            id,
            status: Status::Error,
            data: None,
            error: Some(fault),
        }
    }

    /// The line with its newline. An answer over [`MAX_LINE`] becomes an error that says so, because the other side
    /// would refuse it.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        if line.len() > MAX_LINE || line.is_empty() {
            let fault = Fault::new("answer_too_long", "the answer does not fit one line")
                .advise("ask for fewer items");
            line = serde_json::to_vec(&Self::error(self.id, fault)).unwrap_or_default();
        }
        line.push(b'\n');
        line
    }
}
