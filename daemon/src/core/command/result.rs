//! The `result` document.

use drawbridge_protocol::ids::CommandId;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::report::Position;
use serde_json::{Value, json};

use crate::core::document::base64;
use crate::core::record::FinalRecord;

/// What is said about a command.
#[derive(Debug, Clone, Copy)]
pub(in crate::core) struct Said<'a> {
    pub(in crate::core) command: CommandId,
    pub(in crate::core) status: &'a str,
    pub(in crate::core) reason: Reason,
    pub(in crate::core) position: Option<Position>,
    /// Whether it answers a repeat of bytes whose final result is known.
    pub(in crate::core) is_duplicate: bool,
    /// The lock-signed bytes; without them the hub speaks for itself.
    pub(in crate::core) report: Option<&'a [u8]>,
}

impl<'a> Said<'a> {
    /// What the hub says on its own.
    pub(in crate::core) const fn by_hub(
        command: CommandId,
        status: &'a str,
        reason: Reason,
    ) -> Self {
        Self {
            command,
            status,
            reason,
            position: None,
            is_duplicate: false,
            report: None,
        }
    }

    /// A final result from memory.
    pub(in crate::core) fn again(command: CommandId, record: &'a FinalRecord) -> Self {
        Self {
            command,
            status: &record.status,
            reason: Reason::from_number(record.reason).unwrap_or(Reason::Other(record.reason)),
            position: record.position.and_then(Position::from_number),
            is_duplicate: true,
            report: record.report.as_deref().map(|bytes| bytes.as_slice()),
        }
    }

    pub(in crate::core) fn document(&self) -> Value {
        // While nobody knows, both may be: the bolt may have moved, and the answer will come.
        let is_open = self.status == "unknown";
        json!({
            "command": self.command.to_string(),
            "status": self.status,
            "reason": (self.reason != Reason::None).then(|| self.reason.to_string()),
            "position": self.position.map(Position::name),
            "may_have_succeeded": is_open || self.reason.may_have_succeeded(),
            "is_temporary": is_open || self.reason.is_temporary(),
            "duplicate": self.is_duplicate,
            "provisional": self.report.is_none(),
            "report": self.report.map(base64),
        })
    }
}
