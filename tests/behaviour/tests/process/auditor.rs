//! Reads the lock's log from the hub's store, up to heads that the lock signed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use drawbridge_daemon::owner::log_reading::Line;
use drawbridge_protocol::ids::CommandId;
use drawbridge_protocol::log_record::{LogCursor, LogEvent};
use serde_json::json;

use crate::dice::Dice;
use crate::home::insist;
use crate::owner::{Owner, base64, in_base64};

/// What the log says so far. Every record of it is one chain, or taking it fails.
#[derive(Debug, Default)]
pub(crate) struct Auditor {
    at: Option<LogCursor>,
    /// How often each command was begun, and how often ended.
    pub(crate) turns: BTreeMap<CommandId, (u64, u64)>,
    pub(crate) records: u64,
}

impl Auditor {
    /// Reads what is new, and lets the lock free it.
    pub(crate) fn catch_up(&mut self, owner: &Owner, socket: &Path, dice: &mut Dice) {
        let signed = owner.info(socket, dice).info().clone();
        let head = LogCursor {
            seq: signed.log_seq.unwrap(),
            head: signed.log_head.unwrap(),
        };
        let mut reading = owner.reading(self.at);
        let deadline = Instant::now() + Duration::from_secs(60);
        while reading.next_seq() <= head.seq {
            let data = json!({"lock": owner.lock.id.to_string(), "from": reading.next_seq()});
            let page = insist(socket, "lock.audit", &data);
            let before = reading.next_seq();
            for record in page["records"].as_array().unwrap() {
                if reading.next_seq() <= head.seq {
                    reading.take(&base64(record));
                }
            }
            if reading.next_seq() == before {
                // The hub still fetches it.
                assert!(Instant::now() < deadline, "no record {before} of {head:?}");
                std::thread::sleep(Duration::from_millis(30));
            }
        }
        for line in reading.lines() {
            match line {
                Line::Entry(entry) => {
                    self.records += 1;
                    let Some(command) = entry.command else {
                        continue;
                    };
                    let turn = self.turns.entry(command).or_default();
                    turn.0 += u64::from(entry.event == LogEvent::Intent);
                    turn.1 += u64::from(entry.event == LogEvent::Outcome);
                }
                Line::Earlier { .. } if self.at.is_none() => {}
                hole => panic!("the log has a hole: {hole:?}"),
            }
        }
        let reached = reading.verdict(head).unwrap();
        let ack = in_base64(&owner.acknowledgement(&reached));
        let data = json!({"lock": owner.lock.id.to_string(), "ack": ack});
        insist(socket, "lock.audit_ack", &data);
        self.at = Some(reached.cursor());
    }
}
