//! The hub's memory: what was accepted, what is to be published, what came of it.
//!
//! [`Store`] is a handle to one thread that owns a sled database (`thread.rs`, fenced in `fence.rs`). No
//! sled type leaves this folder. All records are also held in memory, so reads never touch the disk and a failed disk
//! can be rebuilt from them.
//!
//! Contract: [`Store::open`] once, then clone the handle freely. **[`Store::commit`] answers `Ok` only when the whole
//! batch survives a power cut**; an error leaves the records as they were, and [`StoreError::may_have_succeeded`] says
//! when a crash could still bring the batch to light.
//!
//! Keys, trust anchors and lock bindings are not in here: see [`identity`].

mod drowsy;
mod error;
mod fence;
mod high_water;
mod holdings;
pub mod identity;
mod ladder;
mod limits;
mod op;
pub mod record;
pub mod sealed_file;
mod thread;

use std::path::PathBuf;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

pub use self::error::StoreError;
pub use self::ladder::StoreOpened;
pub use self::limits::{Bound, Limits, RECORD_COST};
pub use self::op::{MAX_BATCH, MAX_KEY, MAX_VALUE, OutboxClass, StoreOp, Ticket, Tree};
use self::thread::{Keeper, Request};

/// Requests that may wait for the store thread; further callers wait for a place.
const QUEUE: usize = 256;

/// Where the store is and how much it holds.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// A folder of the store's own; made with mode 0700.
    pub folder: PathBuf,
    /// Bounds of the trees.
    pub limits: Limits,
}

impl StoreConfig {
    /// The default bounds in this folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            limits: Limits::default(),
        }
    }
}

/// How the store is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreHealth {
    /// Set while a group of commits is being written; long ago means a disk that hangs (F15).
    pub busy_since: Option<Instant>,
    /// Why commits fail at present.
    pub failing: Option<String>,
    /// Records and bytes per tree, in the order of [`Tree::ALL`].
    pub loads: [Bound; Tree::ALL.len()],
    /// Telemetry dropped from a full outbox, ever.
    pub dropped_telemetry: u64,
    /// Groups of commits written since start; one fsync each.
    pub groups: u64,
    /// Commits written since start.
    pub commits: u64,
}

/// A handle to the store thread.
#[derive(Debug, Clone)]
pub struct Store {
    requests: mpsc::Sender<Request>,
    health: watch::Receiver<StoreHealth>,
}

impl Store {
    /// Opens the store and starts its thread. Blocking: call before the runtime starts its work.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Folder`] when the disk is full or read-only,
    /// [`StoreError::NewerFormat`]. Damage is no error: see [`StoreOpened`].
    pub fn open(config: StoreConfig) -> Result<(Self, StoreOpened), StoreError> {
        let (standing, opened) = ladder::climb(&config)?;
        let (requests, queue) = mpsc::channel(QUEUE);
        let (tell_health, health) = watch::channel(StoreHealth::default());
        let keeper = Keeper::new(config, standing, tell_health);
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || keeper.serve(queue))
            .map_err(|error| StoreError::Folder(std::sync::Arc::new(error)))?;
        Ok((Self { requests, health }, opened))
    }

    /// Applies a batch, whole or not at all; `Ok` means durable. Commits that wait together share one fsync.
    ///
    /// Once the call has started to wait for its answer, dropping it does not take the batch back.
    ///
    /// # Errors
    /// See [`StoreError`]; nothing is applied in memory when it fails.
    pub async fn commit(&self, ops: Vec<StoreOp>) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Commit { ops, reply }, answer).await?
    }

    /// The value under a key.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] only.
    pub async fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask(
            Request::Get {
                tree,
                key: key.to_vec(),
                reply,
            },
            answer,
        )
        .await
    }

    /// Up to `limit` keys and values from `from` on (inclusive), in key order.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] only.
    pub async fn scan(
        &self,
        tree: Tree,
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask(
            Request::Scan {
                tree,
                from: from.to_vec(),
                limit,
                reply,
            },
            answer,
        )
        .await
    }

    /// Persists a higher time floor, Unix seconds; a lower one is ignored.
    ///
    /// # Errors
    /// [`StoreError::Write`]; the floor stays what it was.
    pub async fn raise_time_floor(&self, unix_s: u64) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::RaiseTimeFloor { unix_s, reply }, answer)
            .await?
    }

    /// How the store is doing right now; does not wait for it.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        self.health.borrow().clone()
    }

    /// Finishes what is queued and lets go of the files.
    pub async fn close(self) {
        let (reply, answer) = oneshot::channel();
        // A thread that is gone already has let go of them too.
        drop(self.ask(Request::Close { reply }, answer).await);
    }

    async fn ask<T>(
        &self,
        request: Request,
        answer: oneshot::Receiver<T>,
    ) -> Result<T, StoreError> {
        self.requests
            .send(request)
            .await
            .map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)
    }
}
