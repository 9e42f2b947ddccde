//! NOR flash in memory that loses power where a test says, and refuses what the real part cannot do.
//!
//! Used by the power-cut tests and by the simulated lock. Needs `std`.

use std::boxed::Box;
use std::vec::Vec;

use super::{Flash, FlashError, WORD};

/// What the operation that was running when the power failed leaves in the cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tear {
    /// Nothing: the supply failed before the first cell changed.
    Before,
    /// Each bit that the operation would change has changed or not, at random. The share is drawn
    /// anew for every cut, so that nearly empty and nearly complete operations are met too.
    RandomTornBits,
    /// A write leaves a whole number of leading words; an erase leaves random bits in its page
    /// (parts that first program every cell to zero pass through such states).
    PartialErase,
}

impl Tear {
    /// The three models, for tests that run all of them.
    pub const ALL: [Self; 3] = [Self::Before, Self::RandomTornBits, Self::PartialErase];
}

#[derive(Debug, Clone, Copy)]
struct Cut {
    after_ops: u64,
    tear: Tear,
    seed: u64,
}

type Observer = Box<dyn FnMut(u32, &[u8]) + Send>;

/// The device. `PAGE_BYTES` is the erase unit.
///
/// Contract: [`cut_after`](Self::cut_after) arms one cut; when it strikes, this and every later operation, reads
/// included, answers [`FlashError::PowerLost`] until [`restore`](Self::restore). Then another may be armed.
/// **The cells never hold a one where a write, without an erase, has put a zero.**
pub struct Nor<const PAGE_BYTES: usize = 4096> {
    cells: Vec<u8>,
    writes: Vec<u8>,
    half_erased: Vec<bool>,
    ops: u64,
    cut: Option<Cut>,
    dead: bool,
    worst_writes: u8,
    erases: u64,
    observer: Option<Observer>,
}

impl<const PAGE_BYTES: usize> Nor<PAGE_BYTES> {
    /// A blank device of `pages` pages.
    #[must_use]
    pub fn new(pages: u32) -> Self {
        Self::from_bytes(&std::vec![0xFF; pages as usize * PAGE_BYTES])
    }

    /// A device that holds `bytes`, rounded up to whole pages with erased bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let pages = bytes.len().div_ceil(PAGE_BYTES);
        let mut cells = bytes.to_vec();
        cells.resize(pages * PAGE_BYTES, 0xFF);
        Self {
            writes: std::vec![0; cells.len() / WORD as usize],
            half_erased: std::vec![false; pages],
            cells,
            ops: 0,
            cut: None,
            dead: false,
            worst_writes: 0,
            erases: 0,
            observer: None,
        }
    }

    /// The cells, as a debugger would read them, powered or not.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.cells
    }

    /// The cells, to damage them in a test.
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        &mut self.cells
    }

    /// Calls `observer` with the address and new content of every range that changes, before the
    /// operation returns: a simulator that writes it through to a file survives being killed.
    pub fn on_change(&mut self, observer: impl FnMut(u32, &[u8]) + Send + 'static) {
        self.observer = Some(Box::new(observer));
    }

    /// Arms a power cut: `after_ops` more writes or erases finish, the next one is torn.
    pub fn cut_after(&mut self, after_ops: u64, tear: Tear, seed: u64) {
        self.cut = Some(Cut {
            after_ops: self.ops + after_ops,
            tear,
            seed,
        });
    }

    /// Brings the power back, with no cut armed.
    pub fn restore(&mut self) {
        self.dead = false;
        self.cut = None;
    }

    /// Whether a cut has struck since the last [`restore`](Self::restore).
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Writes and erases begun so far.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.ops
    }

    /// Erases finished so far.
    #[must_use]
    pub fn erases(&self) -> u64 {
        self.erases
    }

    /// The most writes that any one word got between two erases.
    #[must_use]
    pub fn worst_writes_per_word(&self) -> u8 {
        self.worst_writes
    }

    /// Counts the operation; the cut, if this is where it strikes.
    fn begin(&mut self) -> Result<Option<Cut>, FlashError> {
        if self.dead {
            return Err(FlashError::PowerLost);
        }
        let strikes = self.cut.filter(|cut| cut.after_ops == self.ops);
        self.ops += 1;
        self.dead = strikes.is_some();
        Ok(strikes)
    }

    fn span(&self, at: u32, len: usize) -> Result<core::ops::Range<usize>, FlashError> {
        let start = at as usize;
        match start.checked_add(len) {
            Some(end) if end <= self.cells.len() => Ok(start..end),
            _ => Err(FlashError::OutOfBounds),
        }
    }

    fn changed(&mut self, span: core::ops::Range<usize>) {
        if let Some(observer) = &mut self.observer {
            observer(span.start as u32, &self.cells[span]);
        }
    }
}

impl<const PAGE_BYTES: usize> Flash for Nor<PAGE_BYTES> {
    const PAGE: u32 = PAGE_BYTES as u32;

    fn pages(&self) -> u32 {
        (self.cells.len() / PAGE_BYTES) as u32
    }

    fn read(&self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        if self.dead {
            return Err(FlashError::PowerLost);
        }
        into.copy_from_slice(&self.cells[self.span(at, into.len())?]);
        Ok(())
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let span = self.span(at, bytes.len())?;
        if !at.is_multiple_of(WORD) || !bytes.len().is_multiple_of(WORD as usize) {
            return Err(FlashError::Unaligned);
        }
        if self.dead {
            return Err(FlashError::PowerLost);
        }
        let pages = span.start / PAGE_BYTES..span.end.div_ceil(PAGE_BYTES);
        let rises = self.cells[span.clone()]
            .iter()
            .zip(bytes)
            .any(|(cell, byte)| byte & !cell != 0);
        if rises || self.half_erased[pages].contains(&true) {
            return Err(FlashError::NotErased);
        }
        let cut = self.begin()?;
        let mut dice = Dice::new(cut);
        for (index, (cell, byte)) in self.cells[span.clone()].iter_mut().zip(bytes).enumerate() {
            let keep = match cut.map(|cut| cut.tear) {
                None => 0,
                Some(Tear::Before) => 0xFF,
                Some(Tear::RandomTornBits) => dice.mask(),
                Some(Tear::PartialErase) if index < dice.prefix(bytes.len()) => 0,
                Some(Tear::PartialErase) => 0xFF,
            };
            *cell &= byte | keep;
        }
        for count in &mut self.writes[span.start / WORD as usize..span.end / WORD as usize] {
            *count = count.saturating_add(1);
            self.worst_writes = self.worst_writes.max(*count);
        }
        self.changed(span);
        cut.map_or(Ok(()), |_| Err(FlashError::PowerLost))
    }

    fn erase(&mut self, page: u32) -> Result<(), FlashError> {
        if page >= self.pages() {
            return Err(FlashError::OutOfBounds);
        }
        let cut = self.begin()?;
        let page = page as usize;
        let span = page * PAGE_BYTES..(page + 1) * PAGE_BYTES;
        let mut dice = Dice::new(cut);
        for cell in &mut self.cells[span.clone()] {
            *cell = match cut.map(|cut| cut.tear) {
                None => 0xFF,
                Some(Tear::Before) => *cell,
                Some(Tear::RandomTornBits) => *cell | !dice.mask(),
                Some(Tear::PartialErase) => dice.next() as u8,
            };
        }
        match cut {
            None => {
                self.half_erased[page] = false;
                self.writes[span.start / WORD as usize..span.end / WORD as usize].fill(0);
                self.erases += 1;
            }
            Some(cut) => self.half_erased[page] |= cut.tear != Tear::Before,
        }
        self.changed(span);
        cut.map_or(Ok(()), |_| Err(FlashError::PowerLost))
    }
}

impl<const PAGE_BYTES: usize> core::fmt::Debug for Nor<PAGE_BYTES> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Nor")
            .field("pages", &self.pages())
            .field("ops", &self.ops)
            .field("dead", &self.dead)
            .finish_non_exhaustive()
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): repeatable noise, and nothing that needs to be secret.
struct Dice {
    state: u64,
    /// Of 256, how likely a bit keeps its old value.
    keep: u64,
    prefix: Option<usize>,
}

impl Dice {
    fn new(cut: Option<Cut>) -> Self {
        let mut dice = Self {
            state: cut.map_or(0, |cut| cut.seed ^ cut.after_ops.rotate_left(32)),
            keep: 0,
            prefix: None,
        };
        // Ends count double: torn operations that did almost nothing or almost all are the nasty ones.
        dice.keep = match dice.next() % 6 {
            0 => 2,
            1 => 254,
            _ => dice.next() % 257,
        };
        dice
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn mask(&mut self) -> u8 {
        let roll = self.next().to_le_bytes();
        (0..8).fold(0, |mask, bit| {
            mask | (u8::from(u64::from(roll[bit]) < self.keep) << bit)
        })
    }

    fn prefix(&mut self, len: usize) -> usize {
        if let Some(prefix) = self.prefix {
            return prefix;
        }
        let words = len as u64 / u64::from(WORD);
        let prefix = (self.next() % (words + 1)) as usize * WORD as usize;
        self.prefix = Some(prefix);
        prefix
    }
}
