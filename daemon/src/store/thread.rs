//! The one thread that owns the store.
//!
//! It takes requests from a bounded queue, joins the commits that wait into one group, and answers each only when the
//! group is on the disk. After a failed write the sled folder is not trusted again (a page whose write-back
//! failed may look clean): the next commit first writes everything acknowledged into a fresh folder. **A commit is
//! answered `Ok` only after fsync and high-water mark both succeeded.**

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::fence::{Fence, Seal};
use super::high_water::{HighWater, Marks};
use super::holdings::{Holdings, Journal};
use super::ladder::{self, Standing};
use super::op::{StoreOp, Tree};
use super::{StoreConfig, StoreError, StoreHealth};

/// Commits that share one fsync at most.
const GROUP: usize = 128;
/// Waiting time between attempts to rebuild after a failed write; commits in between fail at once.
const REBUILD_PAUSE: Duration = Duration::from_millis(200);

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the handle sends.
#[derive(Debug)]
pub(super) enum Request {
    Commit {
        ops: Vec<StoreOp>,
        reply: Reply<()>,
    },
    Get {
        tree: Tree,
        key: Vec<u8>,
        reply: oneshot::Sender<Option<Vec<u8>>>,
    },
    Scan {
        tree: Tree,
        from: Vec<u8>,
        limit: usize,
        reply: oneshot::Sender<Vec<(Vec<u8>, Vec<u8>)>>,
    },
    RaiseTimeFloor {
        unix_s: u64,
        reply: Reply<()>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

enum Disk {
    Open(Fence),
    Failed {
        cause: Arc<io::Error>,
        tried: Option<Instant>,
    },
}

pub(super) struct Keeper {
    config: StoreConfig,
    disk: Disk,
    holdings: Holdings,
    high_water: HighWater,
    health: watch::Sender<StoreHealth>,
    _lock: std::fs::File,
}

impl Keeper {
    pub(super) fn new(
        config: StoreConfig,
        standing: Standing,
        health: watch::Sender<StoreHealth>,
    ) -> Self {
        let Standing {
            fence,
            holdings,
            high_water,
            lock,
        } = standing;
        let keeper = Self {
            config,
            disk: Disk::Open(fence),
            holdings,
            high_water,
            health,
            _lock: lock,
        };
        keeper.tell_health(None);
        keeper
    }

    /// Serves until told to close or until the last handle is gone.
    pub(super) fn serve(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut next = None;
        while let Some(request) = next.take().or_else(|| requests.blocking_recv()) {
            match request {
                Request::Commit { ops, reply } => {
                    let mut group = vec![(ops, reply)];
                    while group.len() < GROUP {
                        match requests.try_recv() {
                            Ok(Request::Commit { ops, reply }) => group.push((ops, reply)),
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.commit_group(group);
                }
                // A caller that no longer waits is no error of ours: its receiver is simply gone.
                Request::Get { tree, key, reply } => {
                    drop(
                        reply.send(
                            self.holdings
                                .held(tree, &key)
                                .map(|held| held.value.clone()),
                        ),
                    );
                }
                Request::Scan {
                    tree,
                    from,
                    limit,
                    reply,
                } => drop(reply.send(self.holdings.scan(tree, &from, limit))),
                Request::RaiseTimeFloor { unix_s, reply } => {
                    drop(reply.send(self.raise_time_floor(unix_s)))
                }
                Request::Close { reply } => {
                    self.shut();
                    if reply.send(()).is_err() {
                        log::debug!(event = "store_close_unheard"; "nobody waited for the store to close");
                    }
                    return;
                }
            }
        }
        self.shut();
    }

    fn shut(self) {
        let Disk::Open(fence) = self.disk else { return };
        let folder =
            ladder::records_folder(&self.config.folder, self.high_water.marks().generation);
        if let Err(error) = fence.close(&folder) {
            log::warn!(event = "store_close_failed", error = error.to_string().as_str(); "everything acknowledged is on the disk all the same");
        }
    }

    fn commit_group(&mut self, group: Vec<(Vec<StoreOp>, Reply<()>)>) {
        self.health
            .send_modify(|health| health.busy_since = Some(Instant::now()));
        if let Err(refused) = self.ensure_open() {
            for (_, reply) in group {
                drop(reply.send(Err(refused.clone())));
            }
            self.tell_health(None);
            return;
        }
        let mut journal = Journal::default();
        let start = self.holdings.mark(&journal);
        let mut staged = Vec::with_capacity(group.len());
        for (ops, reply) in group {
            match self.holdings.stage(ops, &mut journal) {
                Ok(()) => staged.push(reply),
                Err(refused) => drop(reply.send(Err(refused))),
            }
        }
        let outcome = if staged.is_empty() {
            Ok(())
        } else {
            self.write(&journal)
        };
        let outcome = outcome.map_err(|error| {
            self.holdings.roll_back(&mut journal, start);
            self.fail(error)
        });
        self.tell_health(Some(staged.len() as u64));
        for reply in staged {
            drop(reply.send(outcome.clone()));
        }
    }

    fn write(&mut self, journal: &Journal) -> io::Result<()> {
        let Disk::Open(fence) = &self.disk else {
            return Err(io::Error::other("the store is not open"));
        };
        let marks = self.high_water.marks();
        let seal = Seal::of(&self.holdings, marks.commits + 1);
        fence.commit(&journal.changes(&self.holdings), &seal)?;
        self.high_water.write(Marks {
            commits: seal.commits,
            tickets: seal.tallies.tickets,
            ..marks
        })
    }

    /// Gives up the open folder after a failed write.
    fn fail(&mut self, error: io::Error) -> StoreError {
        let cause = Arc::new(error);
        log::error!(event = "store_write_failed", error = cause.to_string().as_str(); "the store refuses commits until the disk takes them again");
        let failed = Disk::Failed {
            cause: Arc::clone(&cause),
            tried: None,
        };
        if let Disk::Open(fence) = std::mem::replace(&mut self.disk, failed) {
            fence.abandon();
        }
        StoreError::Write(cause)
    }

    fn ensure_open(&mut self) -> Result<(), StoreError> {
        let Disk::Failed { cause, tried } = &mut self.disk else {
            return Ok(());
        };
        if tried.is_some_and(|at| at.elapsed() < REBUILD_PAUSE) {
            return Err(StoreError::Unavailable(Arc::clone(cause)));
        }
        let generation = self.high_water.marks().generation + 1;
        match ladder::refill(
            &self.config.folder,
            &mut self.high_water,
            generation,
            &self.holdings,
        ) {
            Ok(fence) => {
                self.disk = Disk::Open(fence);
                log::info!(event = "store_rebuilt", generation; "the store takes commits again");
                Ok(())
            }
            Err(error) => {
                *cause = Arc::new(error);
                *tried = Some(Instant::now());
                Err(StoreError::Unavailable(Arc::clone(cause)))
            }
        }
    }

    fn raise_time_floor(&mut self, unix_s: u64) -> Result<(), StoreError> {
        let marks = self.high_water.marks();
        if unix_s <= marks.time_floor {
            return Ok(());
        }
        self.high_water
            .write(Marks {
                time_floor: unix_s,
                ..marks
            })
            .map_err(|error| StoreError::Write(Arc::new(error)))
    }

    fn tell_health(&self, committed: Option<u64>) {
        self.health.send_modify(|health| {
            health.busy_since = None;
            health.failing = match &self.disk {
                Disk::Open(_) => None,
                Disk::Failed { cause, .. } => Some(cause.to_string()),
            };
            health.loads = self.holdings.loads();
            health.dropped_telemetry = self.holdings.tallies().dropped;
            if let Some(commits) = committed {
                health.groups += 1;
                health.commits += commits;
            }
        });
    }
}
