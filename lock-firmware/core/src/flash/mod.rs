//! Flash memory as the lock sees it, and what is common to everything that keeps records on it.
//!
//! [`Flash`] is the least that a board must offer: synchronous NOR flash, erased by the page and
//! written by the word. [`Region`] cuts one device into parts that cannot reach each other.
//! The `chain` and `frame` modules hold the on-flash framing that the critical store and the log share.

use core::cell::RefCell;

use thiserror::Error;

pub(crate) mod chain;
pub(crate) mod crc;
pub(crate) mod frame;
#[cfg(feature = "model")]
#[expect(
    clippy::indexing_slicing,
    reason = "not in the firmware; every span is checked against the cells before it is used"
)]
pub mod model;
pub(crate) mod page;
mod region;
mod repair;
pub(crate) mod scan;
pub(crate) mod writer;

pub use region::Region;

/// Bytes in a flash word: the unit of a write, and of its alignment.
pub const WORD: u32 = 4;

/// NOR flash: bits go only from one to zero, until the page that holds them is erased to ones.
///
/// Contract: `read` may be called at any address and length inside the device. `write` wants its
/// address and length in whole words, and a word is written **at most twice between erases** (nRF52840
/// product specification, `nWRITE`), which every user in this crate keeps to while the power holds.
/// A call that returns `Ok` has finished in the cells; one that returns an error may have done any part.
pub trait Flash {
    /// Bytes in a page, the unit of an erase. At least 512, a multiple of [`WORD`], at most 32,768.
    const PAGE: u32;

    /// Pages on the device.
    fn pages(&self) -> u32;

    /// Fills `into` from byte address `at`.
    fn read(&self, at: u32, into: &mut [u8]) -> Result<(), FlashError>;

    /// Clears the bits at `at` that are zero in `bytes`.
    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError>;

    /// Sets every bit of page number `page` to one.
    fn erase(&mut self, page: u32) -> Result<(), FlashError>;
}

/// Why a flash operation did not finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlashError {
    /// The supply failed during this operation or an earlier one; nothing works until it is back.
    #[error("reach flash without power")]
    PowerLost,
    /// Address, length or page number past the end of the device or region.
    #[error("reach past the end of flash")]
    OutOfBounds,
    /// Address or length of a write is not in whole words.
    #[error("write flash off a word boundary")]
    Unaligned,
    /// A write would have to turn a zero into a one, or lands in a page whose erase never finished.
    #[error("write flash that is not erased")]
    NotErased,
    /// Another holder of the shared device is inside an operation.
    #[error("share flash that is in use")]
    Busy,
    /// The controller reported a failure.
    #[error("drive the flash controller")]
    Device,
}

impl FlashError {
    /// Whether part of the operation may already be in the cells.
    #[must_use]
    pub const fn may_have_succeeded(&self) -> bool {
        matches!(self, Self::PowerLost | Self::Device)
    }

    /// Whether the same call can succeed later without anybody's help.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::PowerLost | Self::Busy)
    }
}

impl<F: Flash> Flash for &mut F {
    const PAGE: u32 = F::PAGE;

    fn pages(&self) -> u32 {
        F::pages(self)
    }

    fn read(&self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        F::read(self, at, into)
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        F::write(self, at, bytes)
    }

    fn erase(&mut self, page: u32) -> Result<(), FlashError> {
        F::erase(self, page)
    }
}

/// One device with several holders (the store's region and the log's) on one thread.
impl<F: Flash> Flash for &RefCell<F> {
    const PAGE: u32 = F::PAGE;

    fn pages(&self) -> u32 {
        self.try_borrow().map_or(0, |flash| flash.pages())
    }

    fn read(&self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.try_borrow()
            .map_err(|_| FlashError::Busy)?
            .read(at, into)
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.try_borrow_mut()
            .map_err(|_| FlashError::Busy)?
            .write(at, bytes)
    }

    fn erase(&mut self, page: u32) -> Result<(), FlashError> {
        self.try_borrow_mut()
            .map_err(|_| FlashError::Busy)?
            .erase(page)
    }
}
