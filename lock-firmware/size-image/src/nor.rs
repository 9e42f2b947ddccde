//! Flash: a window of the board's external memory that keeps the rules of NOR flash.

use core::ptr;

use drawbridge_lock::flash::{Flash, FlashError, WORD};

/// The board's external RAM, which no linker script names: nothing else lies in it.
#[cfg(not(armv8m))]
const WINDOW: usize = 0x2100_0000;
/// The board's external RAM, which no linker script names: nothing else lies in it.
#[cfg(armv8m)]
const WINDOW: usize = 0x8000_0000;

/// As on the nRF52840.
const PAGE: u32 = 4_096;
/// Store and log.
const PAGES: u32 = 20;
const END: u32 = PAGE * PAGES;

/// A handle to the one device. Every access is volatile, so the optimiser can keep none of it.
#[derive(Debug, Clone, Copy)]
pub struct Nor(());

impl Nor {
    /// A device fresh from the factory: all ones.
    #[must_use]
    pub fn erased() -> Self {
        let mut nor = Self(());
        for page in 0..PAGES {
            // Inside the device by the bound of the loop.
            let _ = nor.erase(page);
        }
        nor
    }
}

impl Flash for Nor {
    const PAGE: u32 = PAGE;

    fn pages(&self) -> u32 {
        PAGES
    }

    fn read(&self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        check(at, into.len())?;
        for (offset, byte) in into.iter_mut().enumerate() {
            // SAFETY: inside the window by `check`; the window is memory that only this module uses.
            *byte = unsafe { ptr::read_volatile((WINDOW + at as usize + offset) as *const u8) };
        }
        Ok(())
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        check(at, bytes.len())?;
        let (words, rest) = bytes.as_chunks::<{ WORD as usize }>();
        if !at.is_multiple_of(WORD) || !rest.is_empty() {
            return Err(FlashError::Unaligned);
        }
        for (number, word) in words.iter().enumerate() {
            let cell = (WINDOW + at as usize + number * WORD as usize) as *mut u32;
            let wanted = u32::from_le_bytes(*word);
            // SAFETY: as in `read`, and aligned by the check above.
            let held = unsafe { ptr::read_volatile(cell) };
            if wanted & !held != 0 {
                return Err(FlashError::NotErased);
            }
            // SAFETY: as above.
            unsafe { ptr::write_volatile(cell, wanted) };
        }
        Ok(())
    }

    fn erase(&mut self, page: u32) -> Result<(), FlashError> {
        if page >= PAGES {
            return Err(FlashError::OutOfBounds);
        }
        let first = WINDOW + (page * PAGE) as usize;
        for cell in (first..first + PAGE as usize).step_by(WORD as usize) {
            // SAFETY: inside the window by the check above, and aligned.
            unsafe { ptr::write_volatile(cell as *mut u32, u32::MAX) };
        }
        Ok(())
    }
}

fn check(at: u32, len: usize) -> Result<(), FlashError> {
    let end = u32::try_from(len).ok().and_then(|len| at.checked_add(len));
    match end {
        Some(end) if end <= END => Ok(()),
        _ => Err(FlashError::OutOfBounds),
    }
}
