//! Start-up: from whatever the last stop left on the disk to a store that works.
//!
//! Rungs: remove what an interrupted snapshot left; open; open again without snapshots (the log alone holds all
//! records); set the folder aside and start empty. What was read is checked record by record, against its own
//! seal, and against the high-water file. **The store never comes up with less than was acknowledged
//! without saying so in [`StoreOpened`].**

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::StoreConfig;
use super::error::StoreError;
use super::fence::{Fence, Loaded, Seal, await_release, sync_folder};
use super::high_water::{Found, HighWater, Marks};
use super::holdings::{Holdings, Tallies};

/// How long one attempt to open may take. sled can loop on damage; a sound 20 MB store opens in far less than 1 s.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// Folders set aside that are kept for a technician; older ones go, so the disk stays bounded (I7).
const DAMAGED_KEPT: usize = 2;
/// A snapshot this short has no room for a length and a checksum.
const SNAPSHOT_MIN: u64 = 13;
/// Written and removed again before anything is given up as damaged.
const PROBE_BYTES: usize = 64 * 1024;

/// What the store found when it opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOpened {
    /// The folder could not be opened, was set aside, and the store starts empty: a `store_reset` event.
    pub reset: bool,
    /// Something acknowledged may be missing or old; resynchronise from locks and cloud.
    pub lost_records: bool,
    /// Records that failed their checksum.
    pub damaged_records: u64,
    /// Files an interrupted snapshot left, removed.
    pub leftovers_removed: u64,
    /// Records present.
    pub records: u64,
    /// Lowest outbox ticket never used.
    pub next_ticket: u64,
    /// Telemetry dropped from a full outbox, ever.
    pub dropped_telemetry: u64,
    /// The persisted time floor, Unix seconds; 0 when there is none.
    pub time_floor: u64,
    /// Where the damaged folder was put.
    pub set_aside: Option<PathBuf>,
    /// What was wrong, for the journal.
    pub cause: Option<String>,
}

/// A store that works.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) fence: Fence,
    pub(super) holdings: Holdings,
    pub(super) high_water: HighWater,
    /// Held for as long as the store is open.
    pub(super) lock: File,
}

/// The folder of a generation.
pub(super) fn records_folder(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("records-{generation:08x}"))
}

fn folder_error(error: io::Error) -> StoreError {
    StoreError::Folder(Arc::new(error))
}

/// Climbs the ladder. Blocking; only the store thread calls it.
pub(super) fn climb(config: &StoreConfig) -> Result<(Standing, StoreOpened), StoreError> {
    let folder = &config.folder;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(folder_error)?;
    let lock = take_lock(folder)?;
    let (mut high_water, found) =
        HighWater::open(&folder.join("high-water")).map_err(folder_error)?;
    if let Found::Newer(version) = found {
        return Err(StoreError::NewerFormat { found: version });
    }
    let present = generations(folder).map_err(folder_error)?;
    let marks = high_water.marks();
    let mut opened = StoreOpened {
        reset: false,
        lost_records: false,
        damaged_records: 0,
        leftovers_removed: 0,
        records: 0,
        next_ticket: 0,
        dropped_telemetry: 0,
        time_floor: marks.time_floor,
        set_aside: None,
        cause: None,
    };

    // A generation above the marked one is a rebuild that was never finished; it holds nothing of its own.
    let current = if present.contains(&marks.generation) {
        Some(marks.generation)
    } else {
        present.last().copied()
    };
    let Some(generation) = current else {
        let lost = marks.commits > 0 || found == Found::Damaged;
        opened.reset = lost;
        opened.lost_records = lost;
        opened.cause = lost.then(|| "the records folder is missing".into());
        let standing = begin(
            config,
            high_water,
            lock,
            marks.generation + 1,
            Holdings::new(config.limits),
        )?;
        return Ok((standing, conclude(opened, config, marks.tickets)));
    };

    let path = records_folder(folder, generation);
    opened.leftovers_removed = remove_leftovers(&path).map_err(folder_error)?;
    let (fence, loaded) = match open_twice(&path)? {
        Ok(pair) => pair,
        Err(cause) => {
            opened.reset = true;
            opened.lost_records = marks.commits > 0 || found != Found::Absent;
            opened.cause = Some(cause);
            opened.set_aside = Some(set_aside(folder, generation).map_err(folder_error)?);
            let next = present
                .last()
                .copied()
                .unwrap_or(generation)
                .max(marks.generation)
                + 1;
            let standing = begin(config, high_water, lock, next, Holdings::new(config.limits))?;
            return Ok((standing, conclude(opened, config, marks.tickets)));
        }
    };
    if let Some(version) = loaded.newer {
        return Err(StoreError::NewerFormat { found: version });
    }

    let (bad, seal) = (loaded.bad, loaded.seal);
    let tallies = seal.map_or_else(Tallies::default, |seal| seal.tallies);
    let holdings = Holdings::refill(config.limits, loaded.records, tallies);
    let shortfall = shortfall(seal, &holdings, bad, found, generation);
    if let Some(cause) = shortfall {
        // The files cannot be trusted to take more: write what could be read into a fresh folder.
        fence.abandon();
        opened.lost_records = true;
        opened.damaged_records = bad;
        opened.cause = Some(cause);
        opened.set_aside = Some(set_aside(folder, generation).map_err(folder_error)?);
        let next = present
            .last()
            .copied()
            .unwrap_or(generation)
            .max(marks.generation)
            + 1;
        let standing = begin(config, high_water, lock, next, holdings)?;
        opened.records = standing.holdings.count();
        opened.next_ticket = standing.holdings.tallies().tickets;
        opened.dropped_telemetry = standing.holdings.tallies().dropped;
        return Ok((standing, conclude(opened, config, marks.tickets)));
    }

    let commits = seal.map_or(0, |seal| seal.commits);
    if commits != marks.commits || generation != marks.generation {
        let marks = Marks {
            generation,
            commits,
            tickets: holdings.tallies().tickets,
            ..marks
        };
        high_water.write(marks).map_err(folder_error)?;
    }
    for other in present.into_iter().filter(|other| *other != generation) {
        remove_generation(folder, other);
    }
    opened.records = holdings.count();
    opened.next_ticket = holdings.tallies().tickets;
    opened.dropped_telemetry = holdings.tallies().dropped;
    let opened = conclude(opened, config, marks.tickets);
    Ok((
        Standing {
            fence,
            holdings,
            high_water,
            lock,
        },
        opened,
    ))
}

/// Why the records are less, or other, than what was acknowledged.
fn shortfall(
    seal: Option<Seal>,
    holdings: &Holdings,
    bad: u64,
    found: Found,
    generation: u64,
) -> Option<String> {
    let marked = match found {
        Found::Sound(marks) if marks.generation == generation => Some(marks.commits),
        Found::Sound(_) => return Some("the marked records folder is missing".into()),
        Found::Absent | Found::Damaged | Found::Newer(_) => None,
    };
    let Some(seal) = seal else {
        // Killed before the very first commit: nothing was ever acknowledged.
        if marked == Some(0) && holdings.count() == 0 && bad == 0 {
            return None;
        }
        return Some("the records have no seal".into());
    };
    if bad > 0 {
        return Some(format!("{bad} records failed their checksum"));
    }
    if (seal.count, seal.sum) != (holdings.count(), holdings.sum()) {
        return Some("the records do not add up to their seal".into());
    }
    match marked {
        None => Some("the high-water file is missing or damaged".into()),
        Some(marked) if seal.commits < marked => Some(format!(
            "the records end at commit {}, acknowledged was {marked}",
            seal.commits
        )),
        Some(_) => None,
    }
}

/// Fills a fresh generation with `holdings` and marks it as current.
pub(super) fn begin(
    config: &StoreConfig,
    mut high_water: HighWater,
    lock: File,
    generation: u64,
    mut holdings: Holdings,
) -> Result<Standing, StoreError> {
    holdings.raise_tickets(high_water.marks().tickets);
    let fence =
        refill(&config.folder, &mut high_water, generation, &holdings).map_err(folder_error)?;
    Ok(Standing {
        fence,
        holdings,
        high_water,
        lock,
    })
}

/// Writes `holdings` into a fresh folder, then points the high-water file at it, then removes the others.
///
/// A cut at any point leaves either the old folder marked, or the new one complete and marked.
pub(super) fn refill(
    folder: &Path,
    high_water: &mut HighWater,
    generation: u64,
    holdings: &Holdings,
) -> io::Result<Fence> {
    let before = high_water.marks();
    if before == Marks::default() {
        // The very first start: say which folder is to come before it exists, so that a cut here is no loss.
        high_water.write(Marks {
            generation,
            ..before
        })?;
        sync_folder(folder)?;
    }
    let path = records_folder(folder, generation);
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let seal = Seal::of(holdings, before.commits + 1);
    let fence = Fence::fill(&path, holdings, &seal)?;
    sync_folder(folder)?;
    let tickets = holdings.tallies().tickets;
    high_water.write_both(Marks {
        generation,
        commits: seal.commits,
        tickets,
        ..before
    })?;
    for other in generations(folder)?
        .into_iter()
        .filter(|other| *other != generation)
    {
        remove_generation(folder, other);
    }
    Ok(fence)
}

fn conclude(mut opened: StoreOpened, config: &StoreConfig, marked_tickets: u64) -> StoreOpened {
    opened.next_ticket = opened.next_ticket.max(marked_tickets);
    if let Some(cause) = &opened.cause {
        log::warn!(
            event = if opened.reset { "store_reset" } else { "store_lost_records" },
            cause = cause.as_str(),
            folder = config.folder.display().to_string().as_str();
            "the store came back with less than was acknowledged; resynchronising from locks and cloud"
        );
    }
    opened
}

fn take_lock(folder: &Path) -> Result<File, StoreError> {
    let lock = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join("lock"))
        .map_err(folder_error)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(folder_error(error)),
    }
}

/// Generations present, ascending.
fn generations(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if let Some(hex) = name.to_str().and_then(|name| name.strip_prefix("records-"))
            && let Ok(generation) = u64::from_str_radix(hex, 16)
        {
            found.push(generation);
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn remove_generation(folder: &Path, generation: u64) {
    if let Err(error) = fs::remove_dir_all(records_folder(folder, generation)) {
        log::warn!(event = "store_cleanup_failed", generation, error = error.to_string().as_str(); "an old records folder stays");
    }
}

/// First rung. sled: a leftover `snap.*.generating` or a short `snap.*` stops it from opening; without
/// them all keys are back (`dependencies.md`).
fn remove_leftovers(path: &Path) -> io::Result<u64> {
    let mut removed = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let short = || {
            entry
                .metadata()
                .is_ok_and(|about| about.len() < SNAPSHOT_MIN)
        };
        if name.starts_with("snap.") && (name.ends_with(".generating") || short()) {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Second and third rung. The inner error is damage; the outer one is a disk that refuses for now.
fn open_twice(path: &Path) -> Result<Result<(Fence, Loaded), String>, StoreError> {
    await_release(path).map_err(folder_error)?;
    let first = match attempt(path) {
        Ok(pair) => return Ok(Ok(pair)),
        Err(error) => error,
    };
    probe(path).map_err(folder_error)?;
    if first.kind() == io::ErrorKind::TimedOut {
        // The attempt that hangs still holds the folder; only a fresh one can be opened beside it.
        return Ok(Err(first.to_string()));
    }
    for entry in fs::read_dir(path).map_err(folder_error)? {
        let entry = entry.map_err(folder_error)?;
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            fs::remove_file(entry.path()).map_err(folder_error)?;
        }
    }
    await_release(path).map_err(folder_error)?;
    match attempt(path) {
        Ok(pair) => Ok(Ok(pair)),
        Err(second) => {
            probe(path).map_err(folder_error)?;
            Ok(Err(format!("{first}; without snapshots: {second}")))
        }
    }
}

/// Opens and reads on a thread of its own, because damage can make sled panic or loop.
fn attempt(path: &Path) -> io::Result<(Fence, Loaded)> {
    let (tell, told) = mpsc::sync_channel(1);
    let path = path.to_owned();
    std::thread::Builder::new()
        .name("store-open".into())
        .spawn(move || {
            let outcome = super::fence::guarded(|| {
                let fence = Fence::open(&path)?;
                let loaded = fence.load();
                Ok((fence, loaded))
            });
            // Nobody listens any more after the time limit; then the folder was given up already.
            drop(tell.send(outcome));
        })?;
    told.recv_timeout(OPEN_LIMIT).unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the storage engine did not open in time",
        ))
    })
}

/// Tells a damaged store from a disk that is full or read-only, and from a system that gives no
/// descriptors: only the first may be given up.
fn probe(path: &Path) -> io::Result<()> {
    crate::means::check()?;
    let file_path = path.join("probe");
    let written = (|| {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file_path)?;
        io::Write::write_all(&mut &file, &vec![0x5A; PROBE_BYTES])?;
        file.sync_all()
    })();
    let removed = fs::remove_file(&file_path);
    written.and(removed)
}

/// Last rung: renames the folder and keeps the newest few such.
fn set_aside(folder: &Path, generation: u64) -> io::Result<PathBuf> {
    let target = folder.join(format!("damaged-{generation:08x}"));
    match fs::remove_dir_all(&target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(records_folder(folder, generation), &target)?;
    sync_folder(folder)?;
    let mut damaged = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("damaged-") {
            damaged.push(entry.path());
        }
    }
    damaged.sort();
    let surplus = damaged.len().saturating_sub(DAMAGED_KEPT);
    for old in damaged.into_iter().take(surplus) {
        fs::remove_dir_all(old)?;
    }
    Ok(target)
}
