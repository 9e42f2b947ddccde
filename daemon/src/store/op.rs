//! What callers ask of the store.

use std::fmt;

/// Longest key, bytes. A lock id (16) and a sequence number (8) fit several times over.
pub const MAX_KEY: usize = 128;

/// Longest value, bytes: below 128 KiB, over which sled never syncs (`dependencies.md`).
pub const MAX_VALUE: usize = 120 * 1024;

/// Most operations in one commit.
pub const MAX_BATCH: usize = 1_024;

/// A named set of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Tree {
    /// Commands accepted and not yet concluded.
    Inbox = 1,
    /// Messages to publish, by [`Ticket`].
    Outbox = 2,
    /// Final results by command id; what makes a repeat a `duplicate`.
    Results = 3,
    /// Lock log entries pulled, kept until acknowledged.
    Audit = 4,
    /// Small state of the hub's own: jobs, cursors, desired documents.
    Meta = 5,
}

impl Tree {
    /// Every tree, in the order of their tags.
    pub const ALL: [Self; 5] = [
        Self::Inbox,
        Self::Outbox,
        Self::Results,
        Self::Audit,
        Self::Meta,
    ];

    pub(super) fn tag(self) -> u8 {
        self as u8
    }

    pub(super) fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|tree| tree.tag() == tag)
    }

    /// Position in [`Tree::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.tag()) - 1
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inbox => "inbox",
            Self::Outbox => "outbox",
            Self::Results => "results",
            Self::Audit => "audit",
            Self::Meta => "meta",
        })
    }
}

/// A place in the outbox. Tickets rise and are never used twice, even when the outbox ran empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

impl Ticket {
    /// The key in [`Tree::Outbox`]: big-endian, so byte order is publishing order.
    #[must_use]
    pub fn key(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The ticket whose key this is.
    #[must_use]
    pub fn from_key(key: &[u8]) -> Option<Self> {
        Some(Self(u64::from_be_bytes(key.try_into().ok()?)))
    }
}

/// What may be given up when the outbox is full (F05).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OutboxClass {
    /// Results, events and audit batches: never dropped; a full outbox refuses them instead.
    Kept = 0,
    /// Health, battery, signal: the oldest goes first, and is counted.
    Telemetry = 1,
}

/// One change. A batch of them is applied whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreOp {
    /// Insert or replace. In the outbox the class is [`OutboxClass::Kept`]; in the results the
    /// age counts from the newest result known.
    Put {
        /// Where.
        tree: Tree,
        /// At most [`MAX_KEY`] bytes, at least one.
        key: Vec<u8>,
        /// At most [`MAX_VALUE`] bytes.
        value: Vec<u8>,
    },
    /// Remove; removing what is not there is no error.
    Delete {
        /// Where.
        tree: Tree,
        /// The key given when it was put.
        key: Vec<u8>,
    },
    /// Queue a message.
    Publish {
        /// Its place.
        ticket: Ticket,
        /// Whether it may be dropped.
        class: OutboxClass,
        /// The encoded message, at most [`MAX_VALUE`] bytes.
        value: Vec<u8>,
    },
    /// Remember the final result of a command.
    Conclude {
        /// Command id.
        id: Vec<u8>,
        /// When it was concluded, Unix seconds by the hub's clock floor.
        at: u64,
        /// The final result as published.
        value: Vec<u8>,
    },
}

impl StoreOp {
    /// Inserts or replaces a record.
    #[must_use]
    pub fn put(tree: Tree, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self::Put {
            tree,
            key: key.into(),
            value: value.into(),
        }
    }

    /// Removes a record.
    #[must_use]
    pub fn delete(tree: Tree, key: impl Into<Vec<u8>>) -> Self {
        Self::Delete {
            tree,
            key: key.into(),
        }
    }
}
