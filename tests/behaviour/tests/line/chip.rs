//! The lock's flash, which outlives the lock's runs.

use std::cell::RefCell;
use std::rc::Rc;

use drawbridge_lock::flash::model::Nor;
use drawbridge_lock::flash::{Flash, FlashError};

/// Pages of the flash: four for the store, the others for the log.
const PAGES: u32 = 20;

/// A handle to the one flash, as a board would hand it out.
#[derive(Clone)]
pub(crate) struct Chip(pub(crate) Rc<RefCell<Nor>>);

impl Chip {
    pub(crate) fn blank() -> Self {
        Self(Rc::new(RefCell::new(Nor::new(PAGES))))
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
