//! Final results, remembered so that a repeat of the same bytes gets the same answer.

use std::collections::BTreeMap;

use drawbridge_protocol::ids::CommandId;

use crate::core::action::{StoreOp, Tree};
use crate::core::record::{FinalRecord, command_key, encoded};

/// The newest final results, a bounded number of them. One that was forgotten does no harm: the
/// lock knows its command ids, and answers a repeat from its own memory.
#[derive(Debug, Default)]
pub(in crate::core) struct Finals {
    records: BTreeMap<CommandId, FinalRecord>,
    by_age: BTreeMap<u64, CommandId>,
}

impl Finals {
    pub(in crate::core) fn find(&self, id: &CommandId) -> Option<&FinalRecord> {
        self.records.get(id)
    }

    pub(in crate::core) fn len(&self) -> usize {
        self.records.len()
    }

    /// Takes a record that is durable already.
    pub(in crate::core) fn restore(&mut self, id: CommandId, record: FinalRecord) {
        self.by_age.insert(record.order, id);
        self.records.insert(id, record);
    }

    /// Remembers `record`; returns what to store, forgetting the oldest above `bound`.
    pub(in crate::core) fn remember(
        &mut self,
        id: CommandId,
        record: FinalRecord,
        at: Option<u64>,
        bound: usize,
    ) -> Vec<StoreOp> {
        let mut ops = vec![StoreOp::Put {
            tree: Tree::Dedupe,
            key: command_key(id),
            value: encoded(&record),
            at,
        }];
        self.restore(id, record);
        while self.records.len() > bound.max(1) {
            let Some((_, oldest)) = self.by_age.pop_first() else {
                break;
            };
            self.records.remove(&oldest);
            ops.push(StoreOp::Delete {
                tree: Tree::Dedupe,
                key: command_key(oldest),
            });
        }
        ops
    }
}
