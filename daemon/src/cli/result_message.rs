//! A result as a hub reports it (`lock/<id>/result` of `mqtt.md`). Hearsay, but for its `report`.

use base64ct::{Base64, Encoding};
use drawbridge_protocol::ids::CommandId;
use serde_json::Value;

/// What the hub says about a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HubWord {
    /// It has it, durably.
    Accepted,
    /// The lock has it.
    Delivered,
    /// The link was lost; it is finding out.
    Unknown,
    /// One of the final words; proven only by a report.
    Over,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResultMessage {
    /// About which command.
    pub(super) command: CommandId,
    /// What the hub says.
    pub(super) word: HubWord,
    /// The same as it said it.
    pub(super) status: String,
    /// Why.
    pub(super) reason: Option<String>,
    /// Bytes that are said to be signed by the lock.
    pub(super) report: Option<Vec<u8>>,
}

impl ResultMessage {
    /// Reads one; what cannot be read is not a result.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let status = text("status")?;
        let word = match status {
            "accepted" => HubWord::Accepted,
            "delivered" => HubWord::Delivered,
            "unknown" => HubWord::Unknown,
            "done" | "failed" | "refused" | "expired" | "not_executed" => HubWord::Over,
            _ => return None,
        };
        Some(Self {
            command: text("command")?.parse().ok()?,
            word,
            status: status.to_owned(),
            reason: text("reason").map(str::to_owned),
            report: text("report").and_then(|report| Base64::decode_vec(report).ok()),
        })
    }
}
