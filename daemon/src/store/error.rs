//! What can go wrong with the store, in the caller's terms.

use std::io;
use std::sync::Arc;

use super::op::Tree;

/// A store operation failed.
///
/// The cause is shared because one failed group commit answers many callers.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process holds the store.
    #[error("take the store's lock: another drawbridged is using this state folder")]
    InUse,
    /// The state folder cannot be made, read or written.
    #[error("prepare the store folder")]
    Folder(#[source] Arc<io::Error>),
    /// The files were written by a newer release; opening them would lose what we cannot read.
    #[error("read the store: it was written by a newer release (format {found})")]
    NewerFormat {
        /// The version byte found.
        found: u8,
    },
    /// The key is empty or over [`MAX_KEY`](super::MAX_KEY), or is not a ticket in the outbox.
    #[error("take a record: its key is {length} bytes long")]
    BadKey {
        /// Bytes offered.
        length: usize,
    },
    /// The value is over [`MAX_VALUE`](super::MAX_VALUE).
    #[error("take a record: its value is {length} bytes long")]
    TooLarge {
        /// Bytes offered.
        length: usize,
    },
    /// The batch holds more operations than one commit takes.
    #[error("take a batch: it has {length} operations")]
    BatchTooLong {
        /// Operations offered.
        length: usize,
    },
    /// The tree is at its bound and holds nothing that may be dropped.
    #[error("take a record: {tree} is full")]
    Full {
        /// Which tree.
        tree: Tree,
    },
    /// The disk refused; whether the batch survives a crash right now is open.
    #[error("write to the store")]
    Write(#[source] Arc<io::Error>),
    /// An earlier write failed and the store could not be rebuilt yet; nothing of this batch was written.
    #[error("rebuild the store after a failed write")]
    Unavailable(#[source] Arc<io::Error>),
    /// The store thread has ended.
    #[error("reach the store: it has stopped")]
    Stopped,
}

impl StoreError {
    /// Whether the batch may be found on disk after a crash although the commit failed.
    #[must_use]
    pub fn may_have_succeeded(&self) -> bool {
        matches!(self, Self::Write(_) | Self::Stopped)
    }

    /// Whether the same call may work later with nothing changed by the caller.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Write(_) | Self::Unavailable(_) | Self::Full { .. } | Self::Folder(_)
        )
    }
}
