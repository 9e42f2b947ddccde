//! Whoever keeps the lock's log: follows it record by record as the hub publishes it.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use drawbridge_protocol::ids::CommandId;
use drawbridge_protocol::log_record::{LogCursor, LogEvent, LogRecord};
use serde_json::Value;

/// One intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) boot: u32,
    pub(crate) at_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Auditor {
    pub(crate) cursor: LogCursor,
    pub(crate) intents: BTreeMap<CommandId, Vec<Intent>>,
    /// All records, as they were.
    pub(crate) records: Vec<Vec<u8>>,
    /// Failures of strangers that the lock has written down.
    pub(crate) strangers: u64,
}

impl Auditor {
    pub(crate) const fn new() -> Self {
        Self {
            cursor: LogCursor::START,
            intents: BTreeMap::new(),
            records: Vec::new(),
            strangers: 0,
        }
    }

    /// Takes a batch. What is known already, as after a restored store, must be the same again.
    pub(crate) fn take(&mut self, batch: &Value) {
        for record in batch["records"].as_array().unwrap() {
            let bytes = Base64::decode_vec(record.as_str().unwrap()).unwrap();
            let record = LogRecord::decode(&bytes).unwrap();
            if record.seq <= self.cursor.seq {
                continue;
            }
            self.cursor.follow(&bytes).expect("the log is one chain");
            match (record.event, record.command) {
                (LogEvent::Intent, Some(command)) => {
                    self.intents.entry(command).or_default().push(Intent {
                        boot: record.boot,
                        at_ms: record.time_ms,
                    });
                }
                (LogEvent::Strangers, _) => self.strangers += record.count.unwrap(),
                _ => {}
            }
            self.records.push(bytes.clone());
        }
    }

    pub(crate) fn intents_of(&self, command: &CommandId) -> usize {
        self.intents.get(command).map_or(0, Vec::len)
    }

    pub(crate) fn intents(&self) -> usize {
        self.intents.values().map(Vec::len).sum()
    }
}
