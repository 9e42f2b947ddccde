//! What one input costs: time by the core's own counter, stack by paint.

use core::ptr;

use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::register::msp;

/// Painted below the stack pointer; no input may need more. Bytes, whole words.
const DEPTH: u32 = 128 * 1024;
/// Left alone right below the stack pointer: the painter's own frame.
const MARGIN: u32 = 512;
const PAINT: u32 = 0xcccc_cccc;
/// SysTick counts 24 bits.
const WRAP: u32 = 0x00ff_ffff;

/// Measures. One input takes less than one turn of the counter: 16,777,215 ticks.
#[derive(Debug)]
pub struct Meter {
    top: u32,
    ticks: u32,
    started: u32,
}

impl Meter {
    /// Starts the counter. `None` when it was taken already.
    #[must_use]
    pub fn new() -> Option<Self> {
        let mut core = Peripherals::take()?;
        core.SYST.set_clock_source(SystClkSource::Core);
        core.SYST.set_reload(WRAP);
        core.SYST.clear_current();
        core.SYST.enable_counter();
        Some(Self {
            top: 0,
            ticks: 0,
            started: 0,
        })
    }

    /// Before an input: paints the stack that is free now.
    #[inline(never)]
    pub fn begin(&mut self) {
        self.ticks = 0;
        self.top = (msp::read() & !3) - MARGIN;
        for word in self.painted() {
            // SAFETY: free stack below our own frame: the board has 256 KiB of RAM, and variables
            // lie at its other end. No interrupt is enabled, so nobody uses it meanwhile.
            unsafe { ptr::write_volatile(word as *mut u32, PAINT) };
        }
    }

    /// The lock works from here on.
    pub fn resume(&mut self) {
        self.started = SYST::get_current();
    }

    /// The lock has returned.
    pub fn pause(&mut self) {
        // The counter counts down.
        let passed = self.started.wrapping_sub(SYST::get_current()) & WRAP;
        self.ticks = self.ticks.wrapping_add(passed);
    }

    /// After an input: ticks of the core's clock, and the bytes of stack that were used.
    #[inline(never)]
    #[must_use]
    pub fn end(&self) -> (u32, u32) {
        let bottom = self.painted().find(|word| {
            // SAFETY: as in `begin`.
            unsafe { ptr::read_volatile(*word as *const u32) != PAINT }
        });
        (
            self.ticks,
            bottom.map_or(0, |word| self.top + MARGIN - word),
        )
    }

    fn painted(&self) -> impl Iterator<Item = u32> + use<> {
        (self.top - DEPTH..self.top).step_by(4)
    }
}
