//! The loop of both programs: an input in, its outputs and its cost out.
//!
//! An input is: kind (1 byte), link (1), time in ms (8), length (2), random bytes for the lock (256), that
//! many bytes of body; numbers little-endian. Its outputs are: kind, link, length (2), bytes. An output of
//! kind [`DONE`] ends them: ticks (4), bytes of stack (4), bytes of the lock in RAM (4).

use drawbridge_protocol::entropy::Entropy;

use crate::meter::Meter;
use crate::nor::Nor;
use crate::serial::Serial;

/// Longest body of an input: a packet, or the factory's record.
pub const MAX_BODY: usize = 256;
/// Random bytes that come with every input.
pub const RANDOM: usize = 256;
/// Kind of the last output of an input.
pub const DONE: u8 = 0;

/// An input.
#[derive(Debug)]
pub struct Input<'b> {
    /// What it is; the program's own affair.
    pub kind: u8,
    /// On which link.
    pub link: u8,
    /// Milliseconds since the start.
    pub now_ms: u64,
    /// The rest.
    pub body: &'b [u8],
}

/// An output.
#[derive(Debug)]
pub struct Output<'b> {
    /// What it is; not [`DONE`].
    pub kind: u8,
    /// On which link.
    pub link: u8,
    /// The rest.
    pub body: &'b [u8],
}

/// Random bytes of one input. Whoever asks for more stops the device, as [`Entropy`] demands.
#[derive(Debug)]
pub struct Pool {
    bytes: [u8; RANDOM],
    used: usize,
}

impl Entropy for Pool {
    fn fill(&mut self, into: &mut [u8]) {
        let end = self.used + into.len();
        let Some(bytes) = self.bytes.get(self.used..end) else {
            panic!("out of random bytes");
        };
        into.copy_from_slice(bytes);
        self.used = end;
    }
}

/// What is being measured.
pub trait Subject {
    /// Takes an input.
    fn take(&mut self, input: &Input<'_>, pool: &mut Pool, flash: Nor);
    /// The next output; `None` when there is no more.
    fn next<'b>(
        &mut self,
        now_ms: u64,
        pool: &mut Pool,
        buffer: &'b mut [u8],
    ) -> Option<Output<'b>>;
    /// Its size in RAM, in bytes.
    fn size(&self) -> u32;
}

/// Serves inputs for ever.
pub fn serve(subject: &mut impl Subject) -> ! {
    let (Some(mut meter), mut serial, flash) = (Meter::new(), Serial::open(), Nor::erased()) else {
        panic!("started twice");
    };
    let mut body = [0; MAX_BODY];
    let mut buffer = [0; MAX_BODY];
    loop {
        let [kind, link] = serial.bytes();
        let now_ms = u64::from_le_bytes(serial.bytes());
        let len = usize::from(u16::from_le_bytes(serial.bytes()));
        let mut pool = Pool {
            bytes: serial.bytes(),
            used: 0,
        };
        let Some(body) = body.get_mut(..len) else {
            panic!("input too long");
        };
        serial.fill(body);
        let input = Input {
            kind,
            link,
            now_ms,
            body,
        };
        meter.begin();
        meter.resume();
        subject.take(&input, &mut pool, flash);
        meter.pause();
        loop {
            meter.resume();
            let output = subject.next(now_ms, &mut pool, &mut buffer);
            meter.pause();
            let Some(output) = output else { break };
            serial.send(&[output.kind, output.link]);
            serial.send(&(output.body.len() as u16).to_le_bytes());
            serial.send(output.body);
        }
        let (ticks, stack) = meter.end();
        serial.send(&[DONE, 0, 12, 0]);
        for number in [ticks, stack, subject.size()] {
            serial.send(&number.to_le_bytes());
        }
    }
}
