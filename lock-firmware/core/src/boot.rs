//! From flash to a running lock.

use core::fmt;

use drawbridge_protocol::codec::{decode_exact, encode};
use drawbridge_protocol::keys::LinkKey;
use drawbridge_protocol::log_record::LogEvent;
use drawbridge_protocol::report::{Cause, Position};
use minicbor::{Decode, Encode};
use zeroize::Zeroize;

use crate::back_off::Failures;
use crate::factory::Settings;
use crate::flash::{Flash, Region};
use crate::history::{Entry, History, INTERRUPTED, Room};
use crate::intents::Intents;
use crate::log_ring::{LogError, LogRing};
use crate::owner::Owner;
use crate::peers::{Peer, PeerRecord, Peers, Place};
use crate::store::{Change, MAX_VALUE, RecordStore};

/// Store key of the boot count.
const BOOT: u16 = 1;
/// Store key of the policy epoch.
const POLICY_EPOCH: u16 = 2;
/// Store key of the owner record.
const OWNER: u16 = 3;
/// Store key of the pairing failures in a row.
const FAILURES: u16 = 4;
/// Store key of the pairing failures that are not in the log yet.
const UNLOGGED: u16 = 5;
/// Store key of the newest log record at the last boot: a log that ends before it has lost records.
const LOG_MARK: u16 = 6;
/// Store key of what got no record for want of room, if a turn of the bolt is among it.
const LEFT_OUT: u16 = 7;
/// Store key of the first peer; the others follow.
const PEER: u16 = 16;
/// Peers that can be enrolled: all places but the candidate's.
pub(crate) const ENROLLED: u8 = 4;

/// Why a lock did not start. The bolt was not touched; recovery by cable is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BootError {
    /// The device has no room for store and log.
    Layout,
    /// The critical records cannot be read, or contradict each other.
    Store,
    /// The log cannot be read, or ends before a record that is known to have been in it.
    Log,
    /// Power was lost while starting; start again.
    PowerLost,
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Layout => "lay out store and log on the flash",
            Self::Store => "read the critical records",
            Self::Log => "read the log",
            Self::PowerLost => "start while the power fails",
        })
    }
}

impl core::error::Error for BootError {}

fn log_error(error: LogError) -> BootError {
    if error.is_temporary() {
        BootError::PowerLost
    } else {
        BootError::Log
    }
}

/// What the lock keeps on flash.
#[derive(Debug)]
pub(crate) struct Memory<F> {
    store: RecordStore<F>,
    pub(crate) history: History<F>,
    pub(crate) intents: Intents,
    pub(crate) boot: u32,
}

/// A memory and what it remembers.
pub(crate) struct Restored<F> {
    pub(crate) memory: Memory<F>,
    pub(crate) owner: Option<Owner>,
    pub(crate) policy_epoch: u32,
    pub(crate) peers: Peers,
    pub(crate) failures: Failures,
    /// What got no record so far.
    pub(crate) left_out: u64,
}

impl<F: Flash + Clone> Memory<F> {
    /// Opens store and log, counts the boot, and closes an intent that power loss left open.
    pub(crate) fn open(
        flash: F,
        settings: &Settings,
        position: Position,
    ) -> Result<Restored<F>, BootError> {
        let log_pages = flash
            .pages()
            .checked_sub(settings.store_pages)
            .ok_or(BootError::Layout)?;
        let store_region =
            Region::new(flash.clone(), 0, settings.store_pages).map_err(|_| BootError::Layout)?;
        let log_region =
            Region::new(flash, settings.store_pages, log_pages).map_err(|_| BootError::Layout)?;
        let mut store = RecordStore::mount(store_region).map_err(|error| {
            if error.is_temporary() {
                BootError::PowerLost
            } else {
                BootError::Store
            }
        })?;
        let boot = load_count(&store, BOOT)?
            .checked_add(1)
            .ok_or(BootError::Store)?;
        let policy_epoch = load_count(&store, POLICY_EPOCH)?;
        let owner: Option<Owner> = load(&store, OWNER)?;
        let failures = Failures {
            in_a_row: load_count(&store, FAILURES)?,
            unlogged: load_count(&store, UNLOGGED)?,
        };
        let peers = load_peers(&store, owner.as_ref())?;
        let left_out = load_number(&store, LEFT_OUT)?;
        let marked = load_number(&store, LOG_MARK)?;
        let claimed = owner.as_ref().map_or(0, |owner| owner.log_seq);

        // Store and log are judged before the boot is counted: the count would have the next boot
        // take what is left for all that there was.
        let ring = LogRing::mount(log_region).map_err(log_error)?;
        // The boot is counted before anything is logged, so a log without a count means that the
        // store lost its only page: a lock whose owner was forgotten, not a new one.
        if boot == 1 && ring.next_seq() > 1 {
            return Err(BootError::Store);
        }
        // A log that is shorter than it was would give its numbers again, and call undone what the
        // lost records were about.
        if ring.next_seq() <= marked.max(claimed) {
            return Err(BootError::Log);
        }
        let newest = ring.next_seq().saturating_sub(1);
        save(
            &mut store,
            &[
                (BOOT, Some(Value::Number(boot.into()))),
                (LOG_MARK, Some(Value::Number(newest))),
            ],
        )
        .map_err(|()| BootError::PowerLost)?;
        let (mut history, mut intents) = History::open(ring, boot).map_err(log_error)?;
        if let Some(open) = intents.open().copied() {
            let mut entry = Entry::new(LogEvent::Outcome, Cause::Boot);
            entry.command = Some(open.command);
            entry.reason = Some(INTERRUPTED.reason);
            entry.position = Some(position);
            history.write(&entry, Room::Owner, 0).map_err(log_error)?;
            intents.end(&open.command, INTERRUPTED);
        }
        if core::mem::take(&mut intents.local_open) {
            let mut entry = Entry::new(LogEvent::Outcome, Cause::Boot);
            entry.reason = Some(INTERRUPTED.reason);
            entry.position = Some(position);
            history
                .write(&entry, Room::LocalOutcome, 0)
                .map_err(log_error)?;
        }
        if history.damage() > 0 {
            let mut damaged = Entry::new(LogEvent::LogDamaged, Cause::Boot);
            damaged.count = Some(history.damage().into());
            history
                .write(&damaged, Room::Optional, 0)
                .map_err(log_error)?;
        }
        let mut started = Entry::new(LogEvent::Boot, Cause::Boot);
        started.position = Some(position);
        history
            .write(&started, Room::Optional, 0)
            .map_err(log_error)?;
        let memory = Self {
            store,
            history,
            intents,
            boot,
        };
        Ok(Restored {
            memory,
            owner,
            policy_epoch,
            peers,
            failures,
            left_out,
        })
    }
}

impl<F: Flash> Memory<F> {
    /// Makes `owner` and its peers durable as one batch: all of it or nothing. With it go the pairing
    /// failures before it.
    pub(crate) fn save_claim<'a>(
        &mut self,
        owner: &Owner,
        peers: impl Iterator<Item = (Place, &'a PeerRecord)>,
    ) -> Result<(), ()> {
        let mut values = [
            (FAILURES, None),
            (OWNER, Some(Value::Owner(owner))),
            (0, None),
            (0, None),
            (0, None),
            (0, None),
        ];
        let mut used = 2;
        for (slot, (place, record)) in values.iter_mut().skip(2).zip(peers) {
            *slot = (PEER + u16::from(place.0), Some(Value::Peer(record)));
            used += 1;
        }
        save(&mut self.store, values.get(..used).unwrap_or(&values))
    }

    /// Makes one enrolled peer's record durable.
    pub(crate) fn save_peer(&mut self, place: Place, record: &PeerRecord) -> Result<(), ()> {
        save(
            &mut self.store,
            &[(PEER + u16::from(place.0), Some(Value::Peer(record)))],
        )
    }

    /// Makes the count of pairing failures durable, as one batch.
    pub(crate) fn save_failures(&mut self, failures: Failures) -> Result<(), ()> {
        save(
            &mut self.store,
            &[
                (FAILURES, Some(Value::Number(failures.in_a_row.into()))),
                (UNLOGGED, Some(Value::Number(failures.unlogged.into()))),
            ],
        )
    }

    /// Makes the count of what got no record durable; none is none.
    pub(crate) fn save_left_out(&mut self, count: u64) -> Result<(), ()> {
        let count = (count > 0).then_some(Value::Number(count));
        save(&mut self.store, &[(LEFT_OUT, count)])
    }

    /// Erases owner and peers and raises the policy epoch, as one batch. Pairing failures stay.
    pub(crate) fn save_reset(&mut self, policy_epoch: u32) -> Result<(), ()> {
        save(
            &mut self.store,
            &[
                (POLICY_EPOCH, Some(Value::Number(policy_epoch.into()))),
                (OWNER, None),
                (PEER, None),
                (PEER + 1, None),
                (PEER + 2, None),
                (PEER + 3, None),
            ],
        )
    }
}

/// A value of the store.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Owner(&'a Owner),
    Peer(&'a PeerRecord),
}

impl<C> Encode<C> for Value<'_> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        match self {
            Self::Number(number) => number.encode(e, ctx),
            Self::Owner(owner) => owner.encode(e, ctx),
            Self::Peer(peer) => peer.encode(e, ctx),
        }
    }
}

/// The longest value that this module writes: an owner record, below 320 bytes.
const VALUE: usize = 320;

fn save<F: Flash>(
    store: &mut RecordStore<F>,
    values: &[(u16, Option<Value<'_>>)],
) -> Result<(), ()> {
    let mut buffers = [[0; VALUE]; 6];
    let mut changes = heapless::Vec::<Change<'_>, 6>::new();
    for ((key, value), buffer) in values.iter().zip(&mut buffers) {
        let change = match value {
            Some(value) => Change::Put(*key, encode(value, buffer).map_err(|_| ())?),
            None => Change::Erase(*key),
        };
        changes.push(change).map_err(|_| ())?;
    }
    let saved = store.commit(&changes).map_err(|_| ());
    drop(changes);
    buffers.zeroize();
    saved
}

fn load<T, F: Flash>(store: &RecordStore<F>, key: u16) -> Result<Option<T>, BootError>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let mut buffer = [0; MAX_VALUE];
    let Some(len) = store.get(key, &mut buffer).map_err(|_| BootError::Store)? else {
        return Ok(None);
    };
    let bytes = buffer.get(..len).ok_or(BootError::Store)?;
    let value = decode_exact(bytes).map_err(|_| BootError::Store);
    buffer.zeroize();
    value.map(Some)
}

/// A number; 0 while it was never written.
fn load_number<F: Flash>(store: &RecordStore<F>, key: u16) -> Result<u64, BootError> {
    Ok(load(store, key)?.unwrap_or(0))
}

/// As [`load_number`], for numbers that are written from 32 bits.
fn load_count<F: Flash>(store: &RecordStore<F>, key: u16) -> Result<u32, BootError> {
    u32::try_from(load_number(store, key)?).map_err(|_| BootError::Store)
}

/// An owner without its device's record, or a peer without an owner, is no state that a claim or a
/// reset can leave: recovery.
fn load_peers<F: Flash>(store: &RecordStore<F>, owner: Option<&Owner>) -> Result<Peers, BootError> {
    let mut peers = Peers::default();
    let mut owner_device: Option<LinkKey> = None;
    for place in 0..ENROLLED {
        if let Some(record) = load::<PeerRecord, _>(store, PEER + u16::from(place))? {
            owner_device.get_or_insert(record.link);
            peers.put(Place(place), Peer::new(record, true));
        }
    }
    if owner_device == owner.map(|owner| owner.keys.link) {
        Ok(peers)
    } else {
        Err(BootError::Store)
    }
}
