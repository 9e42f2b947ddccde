//! The lock's flash, which outlives the lock's runs.

use std::cell::RefCell;
use std::rc::Rc;

use drawbridge_lock::flash::model::{Nor, Tear};
use drawbridge_lock::flash::{Flash, FlashError, Region};
use drawbridge_lock::log_ring::LogRing;

/// Pages of the flash: four for the store, the others for the log.
const PAGES: u32 = 20;
/// Those of the store.
const STORE_PAGES: u32 = 4;

/// A handle to the one flash, as a board would hand it out.
#[derive(Debug, Clone)]
pub struct Chip(Rc<RefCell<Nor>>);

impl Chip {
    /// An erased one.
    #[must_use]
    pub fn blank() -> Self {
        Self(Rc::new(RefCell::new(Nor::new(PAGES))))
    }

    /// Brings the power back, with no cut armed.
    pub fn restore(&self) {
        self.0.borrow_mut().restore();
    }

    /// Arms a cut: `operations` more writes or erases finish, the next one is torn.
    pub fn cut_after(&self, operations: u64, tear: Tear, seed: u64) {
        self.0.borrow_mut().cut_after(operations, tear, seed);
    }

    /// Whether a cut has struck since the power came last.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.0.borrow().is_dead()
    }

    /// Number and bytes of the newest log record, read as after a power cut at this moment;
    /// `None` if there is none.
    #[must_use]
    pub fn newest_record(&self) -> Option<(u64, Vec<u8>)> {
        let copy = Self(Rc::new(RefCell::new(Nor::from_bytes(
            self.0.borrow().as_bytes(),
        ))));
        let region = Region::new(copy, STORE_PAGES, PAGES - STORE_PAGES).ok()?;
        let ring = LogRing::mount(region).ok()?;
        let newest = ring.newest()?;
        let mut record = vec![0; drawbridge_lock::log_ring::MAX_RECORD];
        let len = ring.read(newest, &mut record).ok()??;
        record.truncate(len);
        Some((newest, record))
    }
}

impl Flash for Chip {
    const PAGE: u32 = <Nor as Flash>::PAGE;

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
