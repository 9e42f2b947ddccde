//! What survives a crash of the hub.

use std::collections::BTreeMap;

use drawbridge_daemon::core::record::StoreLoss;
use drawbridge_daemon::core::{LockBinding, Restored, StoreOp, Tree};

#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) trees: BTreeMap<Tree, BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(crate) bindings: BTreeMap<String, Vec<u8>>,
    /// What the store says it lost at the next start.
    pub(crate) loss: Option<StoreLoss>,
}

impl Disk {
    pub(crate) fn apply(&mut self, ops: &[StoreOp]) {
        for op in ops {
            match op {
                StoreOp::Put {
                    tree, key, value, ..
                } => {
                    self.trees
                        .entry(*tree)
                        .or_default()
                        .insert(key.clone(), value.clone());
                }
                StoreOp::Delete { tree, key } => {
                    self.trees.entry(*tree).or_default().remove(key);
                }
                StoreOp::SaveBinding { name, bytes } => {
                    self.bindings
                        .insert(name.clone(), bytes.danger_as_bytes().to_vec());
                }
                StoreOp::RemoveBinding { name } => {
                    self.bindings.remove(name);
                }
            }
        }
    }

    /// Power goes while a batch is written. A file is written apart from the records around it, and
    /// what stands before it in the batch is durable before it.
    pub(crate) fn tear(&mut self, ops: &[StoreOp], chance: u64) {
        let is_file = |op: &StoreOp| {
            matches!(
                op,
                StoreOp::SaveBinding { .. } | StoreOp::RemoveBinding { .. }
            )
        };
        let files = ops.iter().enumerate().filter(|(_, op)| is_file(op));
        let cuts: Vec<usize> = std::iter::once(0)
            .chain(files.flat_map(|(at, _)| [at, at + 1]))
            .collect();
        let cut = cuts[chance as usize % cuts.len()];
        self.apply(&ops[..cut]);
    }

    pub(crate) fn restored(&self) -> Restored {
        let records = |tree| {
            let tree = self.trees.get(&tree).cloned().unwrap_or_default();
            tree.into_iter().collect::<Vec<_>>()
        };
        Restored {
            bindings: self
                .bindings
                .values()
                .map(|bytes| LockBinding::decode(bytes).unwrap())
                .collect(),
            inbox: records(Tree::Inbox),
            outbox: records(Tree::Outbox),
            dedupe: records(Tree::Dedupe),
            meta: records(Tree::Meta),
            next_ticket: 0,
            loss: self.loss,
        }
    }

    pub(crate) fn count(&self, tree: Tree) -> usize {
        self.trees.get(&tree).map_or(0, BTreeMap::len)
    }
}
