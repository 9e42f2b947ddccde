//! The hub's disk, which holds what was stored and nothing else.

use std::collections::BTreeMap;

use drawbridge_daemon::core::{LockBinding, Restored, StoreOp, Tree};

#[derive(Default)]
pub(super) struct Disk {
    trees: BTreeMap<Tree, BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(super) bindings: BTreeMap<String, Vec<u8>>,
}

impl Disk {
    pub(super) fn apply(&mut self, ops: Vec<StoreOp>) {
        for op in ops {
            match op {
                StoreOp::Put {
                    tree, key, value, ..
                } => {
                    self.trees.entry(tree).or_default().insert(key, value);
                }
                StoreOp::Delete { tree, key } => {
                    self.trees.entry(tree).or_default().remove(&key);
                }
                StoreOp::SaveBinding { name, bytes } => {
                    self.bindings.insert(name, bytes.danger_as_bytes().to_vec());
                }
                StoreOp::RemoveBinding { name } => {
                    self.bindings.remove(&name);
                }
            }
        }
    }

    pub(super) fn restored(&self, next_ticket: u64) -> Restored {
        let records = |tree| {
            let tree = self.trees.get(&tree).into_iter().flatten();
            tree.map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        let read = |bytes: &Vec<u8>| LockBinding::decode(bytes).expect("as it was saved");
        Restored {
            bindings: self.bindings.values().map(read).collect(),
            inbox: records(Tree::Inbox),
            outbox: records(Tree::Outbox),
            dedupe: records(Tree::Dedupe),
            meta: records(Tree::Meta),
            next_ticket,
            loss: None,
        }
    }
}
