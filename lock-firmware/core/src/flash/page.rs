//! The first bytes of every page that holds records: which page it is, and marks set once in its life.
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..4 | `DB`, version 1, kind of chain, zero |
//! | 4..8 | page number; pages are numbered from 1 in the order of opening and live in slot `number % pages` |
//! | 8..12 | floor: the lowest page number that had to exist when this page was opened |
//! | 12..20 | sequence number of the page's first frame |
//! | 20..24 | CRC-32 of the 20 bytes before |
//! | 24..40 | four [`Mark`]s |

use super::crc::crc32;

/// Bytes before a page's first frame.
pub(crate) const HEADER: u32 = 40;
const CODED: usize = 24;

/// Which user a chain of pages belongs to: a store never reads a log's page as its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Store = 1,
    Log = 2,
}

/// A word that is erased until something has happened and zero from then on.
///
/// It counts as set when at least half of its bits are zero: a torn write then reads as either state, and what
/// it announces is valid in both, and eight damaged bits change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Mark {
    /// Nothing in the page below is needed any more; its erase may have begun.
    BelowFreed = 24,
    /// The erase of the page below has finished.
    BelowErased = 28,
    /// The slot of the page above may hold the remains of an opening.
    AboveOpening = 32,
    /// The page above holds a committed frame, so it must be found.
    AboveOpened = 36,
}

impl Mark {
    /// Offset in the page.
    pub(crate) const fn at(self) -> u32 {
        self as u32
    }

    /// Whether the word read from flash counts as set.
    pub(crate) const fn is_set(word: u32) -> bool {
        word.count_zeros() >= 16
    }
}

/// What a page says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) number: u32,
    pub(crate) floor: u32,
    pub(crate) base_seq: u64,
}

impl Header {
    /// The bytes that [`decode`](Self::decode) reads.
    pub(crate) fn encode(&self, kind: Kind) -> [u8; CODED] {
        let mut bytes = [0; CODED];
        let fields = [b'D', b'B', 1, kind as u8]
            .into_iter()
            .chain(self.number.to_le_bytes())
            .chain(self.floor.to_le_bytes())
            .chain(self.base_seq.to_le_bytes());
        for (slot, byte) in bytes.iter_mut().zip(fields) {
            *slot = byte;
        }
        if let Some((fields, crc)) = bytes.split_last_chunk_mut::<4>() {
            *crc = crc32([&*fields]).to_le_bytes();
        }
        bytes
    }

    /// The header in `bytes`, unless it is torn, damaged, of another version or of another kind.
    pub(crate) fn decode(bytes: &[u8; CODED], kind: Kind) -> Option<Self> {
        let (fields, crc) = bytes.split_last_chunk::<4>()?;
        if crc32([fields]) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (magic, fields) = fields.split_first_chunk::<4>()?;
        let (number, fields) = fields.split_first_chunk::<4>()?;
        let (floor, fields) = fields.split_first_chunk::<4>()?;
        let (base_seq, _) = fields.split_first_chunk::<8>()?;
        let header = Self {
            number: u32::from_le_bytes(*number),
            floor: u32::from_le_bytes(*floor),
            base_seq: u64::from_le_bytes(*base_seq),
        };
        let sane = *magic == [b'D', b'B', 1, kind as u8]
            && header.floor > 0
            && header.floor <= header.number;
        sane.then_some(header)
    }
}
