//! The hub's store: what was answered survives a crash, what was not may or may not be there.

use std::collections::BTreeMap;

use drawbridge_daemon::core::{LockBinding, Restored, StoreOp, Tree};

/// Everything durable. A clone is an older copy of it.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    trees: BTreeMap<Tree, BTreeMap<Vec<u8>, Vec<u8>>>,
    bindings: BTreeMap<String, Vec<u8>>,
}

impl Disk {
    /// Makes a batch durable.
    pub fn apply(&mut self, ops: &[StoreOp]) {
        for op in ops {
            match op {
                StoreOp::Put {
                    tree, key, value, ..
                } => {
                    let tree = self.trees.entry(*tree).or_default();
                    tree.insert(key.clone(), value.clone());
                }
                StoreOp::Delete { tree, key } => {
                    self.trees.entry(*tree).or_default().remove(key);
                }
                StoreOp::SaveBinding { name, bytes } => {
                    let bytes = bytes.danger_as_bytes().to_vec();
                    self.bindings.insert(name.clone(), bytes);
                }
                StoreOp::RemoveBinding { name } => {
                    self.bindings.remove(name);
                }
            }
        }
    }

    /// What a hub that starts now finds.
    #[must_use]
    pub fn restored(&self) -> Restored {
        let records = |tree| {
            let tree = self.trees.get(&tree).cloned().unwrap_or_default();
            tree.into_iter().collect::<Vec<_>>()
        };
        Restored {
            bindings: self.bindings(),
            inbox: records(Tree::Inbox),
            outbox: records(Tree::Outbox),
            dedupe: records(Tree::Dedupe),
            meta: records(Tree::Meta),
            next_ticket: 0,
            loss: None,
        }
    }

    /// The locks that it knows; a binding that cannot be read is left out, as the daemon does.
    #[must_use]
    pub fn bindings(&self) -> Vec<LockBinding> {
        let bytes = self.bindings.values();
        bytes
            .filter_map(|bytes| LockBinding::decode(bytes).ok())
            .collect()
    }

    /// Records in a tree.
    #[must_use]
    pub fn count(&self, tree: Tree) -> usize {
        self.trees.get(&tree).map_or(0, BTreeMap::len)
    }
}
