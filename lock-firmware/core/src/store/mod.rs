//! The lock's critical records: keys, owner, floors, users, counters.
//!
//! A record is a value of at most [`MAX_VALUE`] bytes under a 16-bit key; a [`Change`] batch of at most
//! [`MAX_BATCH`] bytes is committed as one frame, so that one word decides about all of it. Frames are appended
//! to pages; when the pages run out, what is still live in the oldest is copied forward, and only then is it erased.

use zeroize::Zeroize;

use crate::flash::chain::Chain;
use crate::flash::crc::crc32;
use crate::flash::frame::{Frame, OVERHEAD};
use crate::flash::page::{HEADER, Kind};
use crate::flash::{Flash, Region};

mod commit;
mod entry;
mod error;
mod index;
mod mount;
mod reclaim;

pub use error::StoreError;

use entry::Label;
use index::{Index, Place};

/// Longest value in bytes.
pub const MAX_VALUE: usize = 512;
/// Longest batch in bytes: 8 and the padded value for a put, 4 for an erase. Smaller on pages under 4 KiB.
pub const MAX_BATCH: usize = 2048;
/// Most changes in one batch.
pub const MAX_CHANGES: usize = 128;

/// One step of a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// Sets the value of a key.
    Put(u16, &'a [u8]),
    /// Removes a key and its value; nothing happens if it is absent.
    Erase(u16),
}

impl Change<'_> {
    /// The key it is about.
    #[must_use]
    pub const fn key(&self) -> u16 {
        match self {
            Self::Put(key, _) | Self::Erase(key) => *key,
        }
    }
}

/// Values may be secret: only their length is shown.
impl core::fmt::Debug for Change<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Put(key, value) => write!(f, "Put({key}, {} bytes)", value.len()),
            Self::Erase(key) => write!(f, "Erase({key})"),
        }
    }
}

/// The store, for at most `KEYS` keys (16 bytes of RAM each).
///
/// Contract: [`mount`](Self::mount) once per boot, then any order of calls. A [`commit`](Self::commit) that
/// returns `Ok` is durable and read back, and the values that it replaced are zero on flash. After a failed one
/// the store answers [`StoreError::NeedsMount`] until it is mounted again; whether that batch then holds is open if
/// [`may_have_succeeded`](StoreError::may_have_succeeded) says so, and it holds as a whole or not at all.
/// **A mount returns exactly what the acknowledged batches say, with at most the one unacknowledged batch on top,
/// or it returns [`StoreError::Corrupt`].**
#[derive(Debug)]
pub struct RecordStore<F, const KEYS: usize = 96> {
    chain: Chain<F>,
    index: Index<KEYS>,
}

impl<F: Flash, const KEYS: usize> RecordStore<F, KEYS> {
    /// Erases the region and starts without records. For the factory and for recovery after an owner's act;
    /// to forget what a healthy store holds, commit erases, which a power cut cannot leave half done.
    pub fn format(region: Region<F>) -> Result<Self, StoreError> {
        Self::check_size(&region)?;
        Ok(Self {
            chain: Chain::format(region, Kind::Store, 1)?,
            index: Index::new(),
        })
    }

    /// Copies the value of `key` into the front of `into` and returns its length in bytes.
    pub fn get(&self, key: u16, into: &mut [u8]) -> Result<Option<usize>, StoreError> {
        let Some(place) = self.index.find(key) else {
            return Ok(None);
        };
        let len = usize::from(place.len);
        let into = into.get_mut(..len).ok_or(StoreError::BufferTooSmall(len))?;
        self.read_value(&place, into)?;
        Ok(Some(len))
    }

    /// Whether `key` has a value.
    #[must_use]
    pub fn contains(&self, key: u16) -> bool {
        self.index.find(key).is_some()
    }

    /// The keys that have a value, in no order.
    pub fn keys(&self) -> impl Iterator<Item = u16> {
        self.index.iter().map(|place| place.key)
    }

    /// Bytes that the live records may still grow by; a record takes 8 and its padded length.
    #[must_use]
    pub fn free_space(&self) -> usize {
        self.capacity().saturating_sub(self.index.live_bytes()) as usize
    }

    fn check_size(region: &Region<F>) -> Result<(), StoreError> {
        const { assert!(KEYS <= MAX_CHANGES, "one frame must take every key") };
        if region.pages() < 2 || F::PAGE < 512 || F::PAGE > 32_768 {
            return Err(StoreError::RegionTooSmall);
        }
        Ok(())
    }

    /// The longest body that any empty page takes, and no batch may exceed.
    const fn max_batch() -> u32 {
        let page = F::PAGE - HEADER - OVERHEAD;
        if page < MAX_BATCH as u32 {
            page
        } else {
            MAX_BATCH as u32
        }
    }

    /// Live bytes for which room can always be made: one page stays free to copy into, each other one may end in
    /// a gap shorter than the longest entry, and the largest batch must fit beside what it replaces.
    fn capacity(&self) -> u32 {
        const GAP: u32 = 8 + MAX_VALUE as u32 + 2 * OVERHEAD;
        let page = F::PAGE.saturating_sub(HEADER + GAP);
        let pages = self.chain.slots().saturating_sub(1);
        (pages * page).saturating_sub(Frame::size(Self::max_batch()))
    }

    /// Reads a live value, whose length `into` has. A value that is not what was written is never handed out.
    fn read_value(&self, place: &Place, into: &mut [u8]) -> Result<(), StoreError> {
        let mut checksum = [0; 4];
        self.chain.read(place.page, place.at, &mut checksum)?;
        self.chain.read(place.page, place.at + 4, into)?;
        if place.label().checksum(into) != checksum {
            into.zeroize();
            return Err(StoreError::Corrupt);
        }
        Ok(())
    }

    fn labels_crc<'a>(labels: impl Iterator<Item = &'a Label>) -> u32 {
        let mut bytes = heapless::Vec::<[u8; 4], MAX_CHANGES>::new();
        for label in labels {
            // Callers have counted; a label too many would only make a frame that its own check refuses.
            let _ = bytes.push(label.encode());
        }
        crc32(bytes.iter().map(|label| &label[..]))
    }
}
