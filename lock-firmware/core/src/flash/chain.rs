//! Pages in a row that hold frames in a row: what the critical store and the log have in common.

use thiserror::Error;
use zeroize::Zeroize;

use super::frame::{Frame, OVERHEAD};
use super::page::{HEADER, Header, Kind, Mark};
use super::scan::Step;
use super::{Flash, FlashError, Region};

/// Why a chain could not do what its user asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum ChainError {
    #[error("use record flash")]
    Flash(#[from] FlashError),
    /// The cells do not hold what was written.
    #[error("read back a flash write")]
    ReadBack,
    /// An earlier write failed; only a mount can tell what it left.
    #[error("write after a failed write")]
    NeedsMount,
    /// No page is free to open, or the last one is asked to be freed.
    #[error("find a free page")]
    NoRoom,
}

/// Pages `low ..= high` by number, each in slot `number % pages`, with frames whose sequence numbers leave no gap.
///
/// Contract: [`scan`](Self::scan) reads and writes nothing; [`repair`](Self::repair) must come before the first
/// write. A frame is written by [`begin`](Self::begin), [`push`](Self::push) and [`finish`](Self::finish), in the
/// page that [`room`](Self::room) speaks of. After an error from any `&mut` method the rest refuse with
/// [`ChainError::NeedsMount`].
/// **Whatever is cut, a scan finds every frame whose `finish` returned `Ok` and whose page was not freed.**
#[derive(Debug)]
pub(crate) struct Chain<F> {
    pub(super) region: Region<F>,
    pub(super) kind: Kind,
    pub(super) low: u32,
    /// Zero while no page has been opened.
    pub(super) high: u32,
    /// Offset in page `high` where the next frame goes.
    pub(super) tail: u32,
    /// Sequence number of the first frame in page `high`.
    pub(super) head_base: u64,
    pub(super) next_seq: u64,
    pub(super) stuck: bool,
}

impl<F: Flash> Chain<F> {
    pub(crate) const fn low(&self) -> u32 {
        self.low
    }

    pub(crate) const fn high(&self) -> u32 {
        self.high
    }

    /// Whether the open page has no frame yet.
    pub(crate) const fn head_is_empty(&self) -> bool {
        self.next_seq == self.head_base
    }

    pub(crate) const fn tail(&self) -> u32 {
        self.tail
    }

    pub(crate) const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    pub(crate) fn slots(&self) -> u32 {
        self.region.pages()
    }

    /// Pages that can be opened before one must be freed.
    pub(crate) fn free_pages(&self) -> u32 {
        self.slots().saturating_sub(self.members())
    }

    pub(super) const fn members(&self) -> u32 {
        if self.high == 0 {
            0
        } else {
            self.high - self.low + 1
        }
    }

    /// The longest body that the open page still takes, or `None` if not even an empty one.
    pub(crate) fn room(&self) -> Option<u32> {
        if self.high == 0 {
            return None;
        }
        Some(F::PAGE.checked_sub(self.tail)?.checked_sub(OVERHEAD)? & !3)
    }

    pub(super) fn slot(&self, number: u32) -> u32 {
        number % self.region.pages().max(1)
    }

    pub(super) fn address(&self, number: u32, at: u32) -> u32 {
        self.slot(number) * F::PAGE + at
    }

    pub(crate) fn read(&self, number: u32, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.region.read(self.address(number, at), into)
    }

    pub(super) fn word(&self, number: u32, at: u32) -> Result<u32, FlashError> {
        let mut word = [0; 4];
        self.read(number, at, &mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    pub(crate) fn header(&self, number: u32) -> Result<Option<Header>, FlashError> {
        let mut bytes = [0; 24];
        self.read(number, 0, &mut bytes)?;
        Ok(Header::decode(&bytes, self.kind).filter(|header| header.number == number))
    }

    pub(super) fn has_mark(&self, number: u32, mark: Mark) -> Result<bool, FlashError> {
        Ok(Mark::is_set(self.word(number, mark.at())?))
    }

    pub(super) fn set_mark(&mut self, number: u32, mark: Mark) -> Result<(), ChainError> {
        if self.word(number, mark.at())? == 0 {
            return Ok(());
        }
        self.write_checked(number, mark.at(), &[0; 4])
    }

    /// Writes and reads back. `bytes` is in whole words.
    pub(super) fn write_checked(
        &mut self,
        number: u32,
        at: u32,
        bytes: &[u8],
    ) -> Result<(), ChainError> {
        let start = self.address(number, at);
        self.region.write(start, bytes)?;
        let mut cells = [0; 64];
        let mut from = start;
        for chunk in bytes.chunks(64) {
            let Some(cells) = cells.get_mut(..chunk.len()) else {
                return Err(ChainError::ReadBack);
            };
            self.region.read(from, cells)?;
            let same = cells == chunk;
            cells.zeroize();
            if !same {
                return Err(ChainError::ReadBack);
            }
            from += 64;
        }
        Ok(())
    }

    /// Zeroes `from .. to` of a page, the last words first. Steps that
    /// are zero already are not written again.
    pub(crate) fn zero(&mut self, number: u32, from: u32, to: u32) -> Result<(), ChainError> {
        const STEP: u32 = 64;
        let mut end = to;
        while end > from {
            let start = end.saturating_sub(STEP).max(from);
            let mut cells = [0; STEP as usize];
            let Some(cells) = cells.get_mut(..(end - start) as usize) else {
                return Err(ChainError::ReadBack);
            };
            self.read(number, start, cells)?;
            if cells.iter().any(|cell| *cell != 0) {
                cells.fill(0);
                let outcome = self.write_checked(number, start, cells);
                self.stuck |= outcome.is_err();
                outcome?;
            }
            end = start;
        }
        Ok(())
    }

    pub(super) fn is_blank(&self, number: u32, from: u32) -> Result<bool, FlashError> {
        Ok(self.last_used(number, from)? == from)
    }

    /// Offset just past the last word at or after `from` that is not erased; `from` if there is none.
    pub(super) fn last_used(&self, number: u32, from: u32) -> Result<u32, FlashError> {
        const STEP: u32 = 64;
        let mut end = F::PAGE;
        while end > from {
            let start = end.saturating_sub(STEP).max(from);
            let mut cells = [0; STEP as usize];
            let cells = cells
                .get_mut(..(end - start) as usize)
                .ok_or(FlashError::OutOfBounds)?;
            self.read(number, start, cells)?;
            if let Some(last) = cells.iter().rposition(|cell| *cell != 0xFF) {
                return Ok((start + last as u32 + 1).next_multiple_of(4));
            }
            end = start;
        }
        Ok(from)
    }

    /// Opens the next page for frames. [`ChainError::NoRoom`] if every slot is taken.
    pub(crate) fn open_next(&mut self) -> Result<(), ChainError> {
        let outcome = self.try_open_next();
        self.stuck |= !matches!(outcome, Ok(()) | Err(ChainError::NoRoom));
        outcome
    }

    fn try_open_next(&mut self) -> Result<(), ChainError> {
        if self.stuck {
            return Err(ChainError::NeedsMount);
        }
        if self.free_pages() == 0 {
            return Err(ChainError::NoRoom);
        }
        let (number, floor) = if self.high == 0 {
            let first = self.first_number()?;
            (first, first)
        } else {
            self.set_mark(self.high, Mark::AboveOpening)?;
            (self.high + 1, self.low)
        };
        if !self.is_blank(number, 0)? {
            self.region.erase(self.slot(number))?;
        }
        let header = Header {
            number,
            floor,
            base_seq: self.next_seq,
        };
        let bytes = header.encode(self.kind);
        self.write_checked(number, 0, &bytes)?;
        self.low = floor;
        self.high = number;
        self.tail = HEADER;
        self.head_base = self.next_seq;
        Ok(())
    }

    /// The number of the very first page. Its slot is one that no earlier attempt has touched, because an erase
    /// that is cut here could not be told from a store that lost everything.
    fn first_number(&self) -> Result<u32, FlashError> {
        for number in 1..=self.slots() {
            if self.is_blank(number, 0)? {
                return Ok(number);
            }
        }
        Ok(1)
    }

    /// Erases every page and, unless `first_seq` is 1, opens one that says where numbering goes on.
    /// A format that is cut must be called again: what it leaves is damage, or nothing.
    pub(crate) fn format(
        region: Region<F>,
        kind: Kind,
        first_seq: u64,
    ) -> Result<Self, ChainError> {
        let mut chain = Self {
            region,
            kind,
            low: 1,
            high: 0,
            tail: 0,
            head_base: first_seq,
            next_seq: first_seq,
            stuck: false,
        };
        for slot in 0..chain.slots() {
            chain.region.erase(slot)?;
        }
        if first_seq != 1 {
            chain.open_next()?;
        }
        Ok(chain)
    }

    /// Gives up the lowest page and erases it. [`ChainError::NoRoom`] if no page above it holds a frame.
    pub(crate) fn free_lowest(&mut self) -> Result<(), ChainError> {
        if self.stuck {
            return Err(ChainError::NeedsMount);
        }
        let above_is_empty = self.low + 1 == self.high && self.head_is_empty();
        if self.members() < 2 || above_is_empty {
            return Err(ChainError::NoRoom);
        }
        let outcome = self.try_free_lowest();
        self.stuck |= outcome.is_err();
        outcome
    }

    fn try_free_lowest(&mut self) -> Result<(), ChainError> {
        self.set_mark(self.low + 1, Mark::BelowFreed)?;
        self.low += 1;
        self.erase_below()
    }

    pub(super) fn erase_below(&mut self) -> Result<(), ChainError> {
        let below = self.low - 1;
        self.region.erase(self.slot(below))?;
        if !self.is_blank(below, 0)? {
            return Err(ChainError::ReadBack);
        }
        self.set_mark(self.low, Mark::BelowErased)
    }

    /// The committed frame at or after offset `at` of a page, if there is one before its tail.
    pub(crate) fn frame_from(&self, number: u32, at: u32) -> Result<Option<Frame>, FlashError> {
        match self.step(number, at)? {
            Step::Frame(frame) => Ok(Some(frame)),
            _ => Ok(None),
        }
    }
}
