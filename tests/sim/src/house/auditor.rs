//! Whoever keeps the lock's log: follows it record by record as the hub publishes it.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use drawbridge_protocol::ids::CommandId;
use drawbridge_protocol::log_record::{LogCursor, LogEvent, LogRecord};
use serde_json::Value;

/// One intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// Number of the lock's boot.
    pub boot: u32,
    /// Lock time, milliseconds.
    pub at_ms: u64,
}

/// The auditor of one lock.
#[derive(Debug)]
pub struct Auditor {
    /// How far the log was followed.
    pub cursor: LogCursor,
    /// Every intent of a command that the log has.
    pub intents: BTreeMap<CommandId, Vec<Intent>>,
    /// All records, as they were; the first has the number 1.
    pub records: Vec<Vec<u8>>,
    /// Failures of strangers that the lock has written down.
    pub strangers: u64,
    /// Records whose predecessors have not come yet: a broker keeps no order over its refusals.
    early: BTreeMap<u64, Vec<u8>>,
}

impl Default for Auditor {
    fn default() -> Self {
        Self::new()
    }
}

impl Auditor {
    /// At the beginning of a lock's life.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            cursor: LogCursor::START,
            intents: BTreeMap::new(),
            records: Vec::new(),
            strangers: 0,
            early: BTreeMap::new(),
        }
    }

    /// Takes a batch. What is known already, as after a restored store, is passed over; what comes
    /// early waits for what is before it.
    ///
    /// # Errors
    /// What is wrong with it: the log is not one chain, or the batch not of its form.
    pub fn take(&mut self, batch: &Value) -> Result<(), String> {
        let records = batch["records"].as_array().ok_or("a batch has records")?;
        for record in records {
            let bytes = record
                .as_str()
                .and_then(|text| Base64::decode_vec(text).ok())
                .ok_or("a record is Base64")?;
            let seq = LogRecord::decode(&bytes)
                .map_err(|error| error.to_string())?
                .seq;
            if seq > self.cursor.seq {
                self.early.insert(seq, bytes);
            }
        }
        while let Some(bytes) = self.early.remove(&(self.cursor.seq + 1)) {
            self.follow(bytes)?;
        }
        Ok(())
    }

    fn follow(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        let mut cursor = self.cursor;
        let record = cursor.follow(&bytes).map_err(|error| error.to_string())?;
        match (record.event, record.command) {
            (LogEvent::Intent, Some(command)) => {
                self.intents.entry(command).or_default().push(Intent {
                    boot: record.boot,
                    at_ms: record.time_ms,
                });
            }
            (LogEvent::Strangers, _) => self.strangers += record.count.unwrap_or(0),
            _ => {}
        }
        self.cursor = cursor;
        self.records.push(bytes);
        Ok(())
    }

    /// How often the log says that the motor was started for a command.
    #[must_use]
    pub fn intents_of(&self, command: &CommandId) -> usize {
        self.intents.get(command).map_or(0, Vec::len)
    }

    /// How often it says so for any command.
    #[must_use]
    pub fn intents(&self) -> usize {
        self.intents.values().map(Vec::len).sum()
    }
}
