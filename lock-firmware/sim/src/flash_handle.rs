//! One flash device that the core, its store, its log and the simulator hold at once.

use std::cell::RefCell;
use std::rc::Rc;

use drawbridge_lock::flash::model::Tear;
use drawbridge_lock::flash::{Flash, FlashError};

use crate::image::SimFlash;

/// A handle; clones name the same device. Lives on one thread, as the lock does.
#[derive(Debug, Clone)]
pub struct FlashHandle(Rc<RefCell<SimFlash>>);

/// What a device has been through, and whether it has power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlashCounts {
    /// Writes and erases begun since the process started.
    pub ops: u64,
    /// Erases finished since then.
    pub erases: u64,
    /// The most writes that one word got between two erases; the part allows 2.
    pub worst_writes_per_word: u8,
}

impl FlashHandle {
    /// The first handle of a device.
    #[must_use]
    pub fn new(flash: SimFlash) -> Self {
        Self(Rc::new(RefCell::new(flash)))
    }

    /// Whether a power cut has struck it.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.0.borrow().is_dead()
    }

    /// Brings the power back, with no cut armed.
    pub fn restore(&self) {
        self.0.borrow_mut().restore();
    }

    /// Arms a cut after so many more operations.
    pub fn cut_after(&self, ops: u64, tear: Tear, seed: u64) {
        self.0.borrow_mut().cut_after(ops, tear, seed);
    }

    /// What it has been through.
    #[must_use]
    pub fn counts(&self) -> FlashCounts {
        let flash = self.0.borrow();
        FlashCounts {
            ops: flash.ops(),
            erases: flash.erases(),
            worst_writes_per_word: flash.worst_writes_per_word(),
        }
    }
}

impl Flash for FlashHandle {
    const PAGE: u32 = SimFlash::PAGE;

    fn pages(&self) -> u32 {
        self.0.borrow().pages()
    }

    fn read(&self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.0.borrow().read(at, into)
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.0.borrow_mut().write(at, bytes)
    }

    fn erase(&mut self, page: u32) -> Result<(), FlashError> {
        self.0.borrow_mut().erase(page)
    }
}
