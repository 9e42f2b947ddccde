//! The core's batches on their way to disk: identity files first, then the store, one at a time.

use std::sync::Arc;

use tokio::sync::mpsc;

pub(super) use crate::error_chain::chain;

use crate::core::{HubEvent, StoreFault, StoreOp, Tree};
use crate::store::identity::{IdentityDir, IdentityError};
use crate::store::{Store, StoreError, StoreOp as Op, Tree as Shelf};

/// A batch.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) number: u64,
    pub(super) ops: Vec<StoreOp>,
}

/// Writes batches in order and answers each once it survives a power cut.
///
/// A binding is written before the records that go with it: after a cut in between the core finds
/// the newer binding and the older records, which is the state before the batch was answered.
pub(super) async fn keep(
    store: Store,
    identities: Arc<IdentityDir>,
    mut batches: mpsc::Receiver<Batch>,
    answers: mpsc::Sender<HubEvent>,
) {
    while let Some(batch) = batches.recv().await {
        let result = write(&store, &identities, batch.ops).await;
        if answers
            .send(HubEvent::Stored {
                batch: batch.number,
                result,
            })
            .await
            .is_err()
        {
            return;
        }
    }
}

async fn write(
    store: &Store,
    identities: &Arc<IdentityDir>,
    ops: Vec<StoreOp>,
) -> Result<(), StoreFault> {
    let mut records = Vec::with_capacity(ops.len());
    for op in ops {
        match op {
            StoreOp::Put {
                tree: Tree::Dedupe,
                key,
                value,
                at,
            } => {
                // Without a trusted clock the age counts from the newest result known.
                records.push(match at {
                    Some(at) => Op::Conclude { id: key, at, value },
                    None => Op::Put {
                        tree: Shelf::Results,
                        key,
                        value,
                    },
                });
            }
            StoreOp::Put {
                tree, key, value, ..
            } => {
                records.push(Op::Put {
                    tree: shelf(tree),
                    key,
                    value,
                });
            }
            StoreOp::Delete { tree, key } => records.push(Op::Delete {
                tree: shelf(tree),
                key,
            }),
            StoreOp::SaveBinding { name, bytes } => {
                files(identities, move |dir| {
                    dir.save(&name, bytes.danger_as_bytes())
                })
                .await?;
            }
            StoreOp::RemoveBinding { name } => {
                files(identities, move |dir| dir.remove(&name)).await?
            }
        }
    }
    if records.is_empty() {
        return Ok(());
    }
    store
        .commit(records)
        .await
        .map_err(|error| from_store(&error))
}

/// Runs one file operation where blocking is allowed.
async fn files(
    identities: &Arc<IdentityDir>,
    act: impl FnOnce(&IdentityDir) -> Result<(), IdentityError> + Send + 'static,
) -> Result<(), StoreFault> {
    let dir = Arc::clone(identities);
    let done = tokio::task::spawn_blocking(move || act(&dir)).await;
    match done {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(StoreFault {
            reason: chain(&error),
            may_have_succeeded: error.may_have_succeeded(),
            is_temporary: error.is_temporary(),
        }),
        Err(_) => Err(StoreFault {
            reason: "write an identity file: the writer was ended".into(),
            may_have_succeeded: true,
            is_temporary: true,
        }),
    }
}

fn from_store(error: &StoreError) -> StoreFault {
    StoreFault {
        reason: chain(error),
        may_have_succeeded: error.may_have_succeeded(),
        is_temporary: error.is_temporary(),
    }
}

pub(super) const fn shelf(tree: Tree) -> Shelf {
    match tree {
        Tree::Inbox => Shelf::Inbox,
        Tree::Outbox => Shelf::Outbox,
        Tree::Dedupe => Shelf::Results,
        Tree::Audit => Shelf::Audit,
        Tree::Meta => Shelf::Meta,
    }
}
