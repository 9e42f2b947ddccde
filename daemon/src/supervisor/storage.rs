//! The core's batches on their way to disk, one at a time and in the order in which they were written.

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

/// Writes batches in order and answers each once it survives a power cut. Ends when there is no
/// store any more, so that the daemon is started anew instead of promising nothing for ever.
///
/// **No change overtakes an earlier one**: what a batch holds before an identity file is committed
/// before the file is written. A file that names a newer log position than the records reach would
/// hide the records in between.
pub(super) async fn keep(
    store: Store,
    identities: Arc<IdentityDir>,
    mut batches: mpsc::Receiver<Batch>,
    answers: mpsc::Sender<HubEvent>,
) {
    while let Some(batch) = batches.recv().await {
        let result = write(&store, &identities, batch.ops).await;
        let is_over = matches!(result, Err(Failed::Stopped(_)));
        let result = result.map_err(Failed::into_fault);
        if answers
            .send(HubEvent::Stored {
                batch: batch.number,
                result,
            })
            .await
            .is_err()
            || is_over
        {
            return;
        }
    }
}

/// Why a batch was not written.
enum Failed {
    /// For now, or this batch for good.
    Batch(StoreFault),
    /// There is no store any more.
    Stopped(StoreFault),
}

impl Failed {
    fn into_fault(self) -> StoreFault {
        match self {
            Self::Batch(fault) | Self::Stopped(fault) => fault,
        }
    }
}

async fn write(
    store: &Store,
    identities: &Arc<IdentityDir>,
    ops: Vec<StoreOp>,
) -> Result<(), Failed> {
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
                commit(store, &mut records).await?;
                files(identities, move |dir| {
                    dir.save(&name, bytes.danger_as_bytes())
                })
                .await?;
            }
            StoreOp::RemoveBinding { name } => {
                commit(store, &mut records).await?;
                files(identities, move |dir| dir.remove(&name)).await?;
            }
        }
    }
    commit(store, &mut records).await
}

/// Commits what was collected so far.
async fn commit(store: &Store, records: &mut Vec<Op>) -> Result<(), Failed> {
    if records.is_empty() {
        return Ok(());
    }
    let failed = store.commit(std::mem::take(records)).await;
    failed.map_err(|error| match error {
        StoreError::Stopped => Failed::Stopped(from_store(&error)),
        error => Failed::Batch(from_store(&error)),
    })
}

/// Runs one file operation where blocking is allowed.
async fn files(
    identities: &Arc<IdentityDir>,
    act: impl FnOnce(&IdentityDir) -> Result<(), IdentityError> + Send + 'static,
) -> Result<(), Failed> {
    let dir = Arc::clone(identities);
    let done = tokio::task::spawn_blocking(move || act(&dir)).await;
    let fault = match done {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => StoreFault {
            reason: chain(&error),
            may_have_succeeded: error.may_have_succeeded(),
            is_temporary: error.is_temporary(),
        },
        Err(_) => StoreFault {
            reason: "write an identity file: the writer was ended".into(),
            may_have_succeeded: true,
            is_temporary: true,
        },
    };
    Err(Failed::Batch(fault))
}

fn from_store(error: &StoreError) -> StoreFault {
    // What a full tree refuses must not hold back what would make room in it.
    let is_full = matches!(error, StoreError::Full { .. });
    StoreFault {
        reason: chain(error),
        may_have_succeeded: error.may_have_succeeded(),
        is_temporary: error.is_temporary() && !is_full,
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

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
