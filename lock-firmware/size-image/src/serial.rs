//! The board's serial port: CMSDK APB UART (Arm DDI 0479D, chapter 4.3).

use core::ptr;

/// UART 0 of AN386, and of AN505 as the secure world sees it.
#[cfg(not(armv8m))]
const UART: usize = 0x4000_4000;
/// UART 0 of AN505 as the secure world sees it.
#[cfg(armv8m)]
const UART: usize = 0x5020_0000;

const DATA: usize = UART;
const STATE: usize = UART + 0x04;
const CTRL: usize = UART + 0x08;
const BAUDDIV: usize = UART + 0x10;

/// STATE: the transmit buffer is full.
const TX_FULL: u32 = 1;
/// STATE: a byte was received.
const RX_FULL: u32 = 2;
/// CTRL: transmit and receive.
const ENABLE: u32 = 3;

/// The port. Bytes in and out, in order, waiting as long as it takes.
#[derive(Debug)]
pub struct Serial(());

impl Serial {
    /// Switches the port on.
    #[must_use]
    pub fn open() -> Self {
        // The smallest divider that the port accepts.
        write(BAUDDIV, 16);
        write(CTRL, ENABLE);
        Self(())
    }

    /// Waits for a byte.
    pub fn byte(&mut self) -> u8 {
        while read(STATE) & RX_FULL == 0 {}
        read(DATA) as u8
    }

    /// Waits for `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// Waits until `into` is full.
    pub fn fill(&mut self, into: &mut [u8]) {
        for byte in into {
            *byte = self.byte();
        }
    }

    /// Sends `bytes`.
    pub fn send(&mut self, bytes: &[u8]) {
        for byte in bytes {
            while read(STATE) & TX_FULL != 0 {}
            write(DATA, u32::from(*byte));
        }
    }
}

fn read(register: usize) -> u32 {
    // SAFETY: `register` is one of the constants above: a device register of this board, aligned.
    unsafe { ptr::read_volatile(register as *const u32) }
}

fn write(register: usize, value: u32) {
    // SAFETY: as in `read`; the port moves bytes and reaches no memory of ours.
    unsafe { ptr::write_volatile(register as *mut u32, value) }
}
