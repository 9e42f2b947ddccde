//! The only file that names sled.
//!
//! One tree, every group commit one sled batch (sled recovers a batch whole), then `flush`, then `fsync`
//! of the `db` file through a descriptor of our own that stays open, so that no write-back error is
//! reported to somebody else. Every call runs under `catch_unwind`: sled panics on some damage.

use std::fs::{self, File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use super::drowsy::Drowsy;
use super::holdings::{Change, Holdings, Tallies};
use super::op::{MAX_VALUE, Tree};
use super::record::{self, BadFrame, Held, Place};

/// sled's default is 1 GiB (`dependencies.md`).
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Tag and key of the record that says what the others must add up to.
const COMMIT_TAG: u8 = 0;
const COMMIT_KEY: &[u8] = b"commit";
/// Records in one batch while a folder is filled; the commit record comes last.
const FILL_BATCH: usize = 256;

/// What a commit says of the whole store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) commits: u64,
    pub(super) count: u64,
    pub(super) sum: u64,
    pub(super) tallies: Tallies,
}

impl Seal {
    pub(super) fn of(holdings: &Holdings, commits: u64) -> Self {
        Self {
            commits,
            count: holdings.count(),
            sum: holdings.sum(),
            tallies: holdings.tallies(),
        }
    }

    fn frame(&self) -> Vec<u8> {
        let fields = [
            self.commits,
            self.count,
            self.sum,
            self.tallies.tickets,
            self.tallies.dropped,
        ];
        let value = fields
            .iter()
            .flat_map(|field| field.to_be_bytes())
            .collect();
        record::encode(
            COMMIT_TAG,
            COMMIT_KEY,
            &Held {
                class: 0,
                stamp: 0,
                value,
            },
        )
    }

    fn read(value: &[u8]) -> Option<Self> {
        let mut fields = [0u64; 5];
        if value.len() != 8 * fields.len() {
            return None;
        }
        for (field, bytes) in fields.iter_mut().zip(value.chunks_exact(8)) {
            *field = u64::from_be_bytes(bytes.try_into().ok()?);
        }
        let [commits, count, sum, tickets, dropped] = fields;
        Some(Self {
            commits,
            count,
            sum,
            tallies: Tallies { tickets, dropped },
        })
    }
}

/// All that could be read from a records folder.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) records: Vec<(Place, Held)>,
    pub(super) seal: Option<Seal>,
    /// Records that failed their checksum or could not be read.
    pub(super) bad: u64,
    /// A sound record of a later format.
    pub(super) newer: Option<u8>,
}

/// An open records folder.
pub(super) struct Fence {
    db: sled::Db,
    file: File,
}

impl std::fmt::Debug for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fence").finish_non_exhaustive()
    }
}

fn outward(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(cause) => cause,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}

/// Runs `act`; a panic becomes an error of kind [`io::ErrorKind::InvalidData`].
pub(super) fn guarded<T>(act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the storage engine panicked: {text}"),
        ))
    })
}

/// Syncs a folder, so that names made in it survive a power cut.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// How long to wait for sled's own threads to let go of a folder.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);

/// Waits until no sled of this or another process holds the folder.
///
/// sled: its pool threads keep the file and its lock for a moment after the last handle is dropped. Seen: reopening at once
/// fails with "could not acquire lock", which looks like damage. So: wait for the lock here, at both ends.
pub(super) fn await_release(folder: &Path) -> io::Result<()> {
    let file = match File::open(folder.join("db")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let deadline = Instant::now() + RELEASE_LIMIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    "the records folder is still held",
                ));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

impl Fence {
    /// Opens or makes a records folder.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        guarded(|| {
            let _pool_starts_here = Drowsy::begin();
            let db = sled::Config::new()
                .path(folder)
                .cache_capacity(CACHE_BYTES)
                .flush_every_ms(None)
                .open()
                .map_err(outward)?;
            let file = File::open(folder.join("db"))?;
            Ok(Self { db, file })
        })
    }

    /// Makes a folder that holds exactly these records, and syncs all of it.
    pub(super) fn fill(folder: &Path, holdings: &Holdings, seal: &Seal) -> io::Result<Self> {
        let fence = Self::open(folder)?;
        guarded(|| {
            let _or_here = Drowsy::begin();
            let mut batch = sled::Batch::default();
            for (at, (tree, key, held)) in holdings.all().enumerate() {
                insert(
                    &mut batch,
                    tree.tag(),
                    key,
                    &record::encode(tree.tag(), key, held),
                );
                if at % FILL_BATCH == FILL_BATCH - 1 {
                    fence
                        .db
                        .apply_batch(std::mem::take(&mut batch))
                        .map_err(outward)?;
                }
            }
            fence.db.apply_batch(batch).map_err(outward)
        })?;
        fence.commit(&[], seal)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                File::open(entry.path())?.sync_all()?;
            }
        }
        sync_folder(folder)?;
        Ok(fence)
    }

    /// Writes the changes and the seal as one batch; on return they are on the disk.
    pub(super) fn commit(&self, changes: &[Change<'_>], seal: &Seal) -> io::Result<()> {
        guarded(|| {
            let _or_here = Drowsy::begin();
            let mut batch = sled::Batch::default();
            for change in changes {
                let tag = change.tree.tag();
                let kept = match change.new {
                    Some(held) => {
                        insert(
                            &mut batch,
                            tag,
                            change.key,
                            &record::encode(tag, change.key, held),
                        );
                        record::chunk_count(held.value.len())
                    }
                    None => 0,
                };
                for chunk in kept..change
                    .old
                    .map_or(0, |held| record::chunk_count(held.value.len()))
                {
                    batch.remove(record::chunk_key(tag, change.key, chunk));
                }
            }
            insert(&mut batch, COMMIT_TAG, COMMIT_KEY, &seal.frame());
            self.db.apply_batch(batch).map_err(outward)?;
            // sled: flush() uses sync_file_range on Linux, which writes no metadata and no disk cache.
            // Seen: sled 0.34.7 pagecache/iobuf.rs. So: a full fsync after it.
            self.db.flush().map_err(outward)?;
            self.file.sync_all()
        })
    }

    /// Reads every record. Damage is counted, never fatal.
    pub(super) fn load(&self) -> Loaded {
        let mut loaded = Loaded::default();
        let mut open: Option<(u8, Vec<u8>, Vec<u8>)> = None;
        for item in self.db.iter() {
            let Ok((name, chunk)) = item else {
                loaded.bad += 1;
                break;
            };
            let Some((tag, key, number)) = record::split_chunk_key(&name) else {
                loaded.bad += 1;
                continue;
            };
            match &mut open {
                Some((open_tag, open_key, frame)) if *open_tag == tag && open_key == key => {
                    let whole = frame.len() == usize::from(number) * record::CHUNK;
                    if whole && frame.len() + chunk.len() <= MAX_VALUE + record::HEADER {
                        frame.extend_from_slice(&chunk);
                    } else {
                        // A chunk is missing: spoil the frame so that its checksum cannot match.
                        frame.clear();
                    }
                }
                _ => {
                    finish(&mut loaded, open.take());
                    let start = if number == 0 {
                        chunk.to_vec()
                    } else {
                        Vec::new()
                    };
                    open = Some((tag, key.to_vec(), start));
                }
            }
        }
        finish(&mut loaded, open);
        loaded
    }

    /// Lets go of the folder; on return nothing of this process holds it.
    pub(super) fn close(self, folder: &Path) -> io::Result<()> {
        guarded(move || {
            drop(self);
            Ok(())
        })?;
        await_release(folder)
    }

    /// Lets go of the folder on a thread of its own: sled flushes on drop, and after a disk error that
    /// may take its time or panic.
    pub(super) fn abandon(self) {
        let spawned = std::thread::Builder::new()
            .name("store-drop".into())
            .spawn(move || {
                let Self { db, file } = self;
                drop(file);
                drop(catch_unwind(AssertUnwindSafe(move || drop(db))));
            });
        if let Err(error) = spawned {
            log::warn!(error = error.to_string().as_str(); "store_drop_thread_failed");
        }
    }
}

fn insert(batch: &mut sled::Batch, tag: u8, key: &[u8], frame: &[u8]) {
    for (number, chunk) in (0u16..).zip(frame.chunks(record::CHUNK)) {
        batch.insert(record::chunk_key(tag, key, number), chunk);
    }
}

fn finish(loaded: &mut Loaded, open: Option<(u8, Vec<u8>, Vec<u8>)>) {
    let Some((tag, key, frame)) = open else {
        return;
    };
    match record::decode(tag, &key, &frame) {
        Ok(held) if tag == COMMIT_TAG && key == COMMIT_KEY => match Seal::read(&held.value) {
            Some(seal) => loaded.seal = Some(seal),
            None => loaded.bad += 1,
        },
        Ok(held) => match Tree::from_tag(tag) {
            Some(tree) => loaded.records.push(((tree, key), held)),
            None => loaded.bad += 1,
        },
        Err(BadFrame::Newer(version)) => loaded.newer = Some(version),
        Err(BadFrame::Damaged) => loaded.bad += 1,
    }
}
