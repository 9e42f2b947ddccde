//! A run of pages that behaves like a device of its own.

use super::{Flash, FlashError};

/// Pages `first .. first + count` of a device, numbered from zero.
///
/// **No address handed to a region reaches a byte outside it.**
#[derive(Debug)]
pub struct Region<F> {
    flash: F,
    first: u32,
    count: u32,
}

impl<F: Flash> Region<F> {
    /// Views `count` pages from page `first` on; [`FlashError::OutOfBounds`] if the device has fewer.
    pub fn new(flash: F, first: u32, count: u32) -> Result<Self, FlashError> {
        match first.checked_add(count) {
            Some(end) if end <= flash.pages() && end.checked_mul(F::PAGE).is_some() => Ok(Self {
                flash,
                first,
                count,
            }),
            _ => Err(FlashError::OutOfBounds),
        }
    }

    /// Gives the device back.
    pub fn into_inner(self) -> F {
        self.flash
    }

    fn absolute(&self, at: u32, len: usize) -> Result<u32, FlashError> {
        let len = u32::try_from(len).map_err(|_| FlashError::OutOfBounds)?;
        let end = at.checked_add(len).ok_or(FlashError::OutOfBounds)?;
        if end > self.count * F::PAGE {
            return Err(FlashError::OutOfBounds);
        }
        Ok(self.first * F::PAGE + at)
    }
}

impl<F: Flash> Flash for Region<F> {
    const PAGE: u32 = F::PAGE;

    fn pages(&self) -> u32 {
        self.count
    }

    fn read(&self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.flash.read(self.absolute(at, into.len())?, into)
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let at = self.absolute(at, bytes.len())?;
        self.flash.write(at, bytes)
    }

    fn erase(&mut self, page: u32) -> Result<(), FlashError> {
        if page >= self.count {
            return Err(FlashError::OutOfBounds);
        }
        self.flash.erase(self.first + page)
    }
}
