//! The board without a lock: takes the same inputs and echoes them by way of its flash.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use drawbridge_lock::flash::Flash;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_size_image::nor::Nor;
use drawbridge_size_image::serve::{self, Input, Output, Pool, Subject};
use panic_halt as _;

/// Kind of an echo; as the lock's packets.
const PACKET: u8 = 3;

#[derive(Default)]
struct Echo {
    flash: Option<Nor>,
    len: usize,
}

#[entry]
fn main() -> ! {
    serve::serve(&mut Echo::default())
}

impl Subject for Echo {
    // Not inlined: its frame must lie below the meter's mark.
    #[inline(never)]
    fn take(&mut self, input: &Input<'_>, pool: &mut Pool, mut flash: Nor) {
        self.len = input.body.len();
        let [page] = pool.bytes();
        let at = u32::from(page) * Nor::PAGE;
        let done = flash
            .erase(u32::from(page))
            .and_then(|()| flash.write(at, input.body));
        self.flash = done.is_ok().then_some(flash);
    }

    #[inline(never)]
    fn next<'b>(&mut self, _: u64, _: &mut Pool, buffer: &'b mut [u8]) -> Option<Output<'b>> {
        let flash = self.flash.take()?;
        let body = buffer.get_mut(..self.len)?;
        flash.read(0, body).ok()?;
        Some(Output {
            kind: PACKET,
            link: 0,
            body,
        })
    }

    fn size(&self) -> u32 {
        size_of::<Self>() as u32
    }
}
