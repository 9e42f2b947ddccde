//! The emulated board, and the serial line to the image on it.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use drawbridge_protocol::entropy::Entropy;
use thiserror::Error;

use crate::cost::Cost;

/// Random bytes that go with every input (`lock-firmware/size-image/src/serve.rs`).
const RANDOM: usize = 256;
/// Kind of the output that ends the answer to an input.
const DONE: u8 = 0;

/// Longest silence of the image, wall clock; the longest input takes it some tenths of a second.
const SILENCE: Duration = Duration::from_secs(60);

/// Why a run ended early.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum BoardError {
    #[error("start qemu-system-arm; on Debian: apt-get install qemu-system-arm")]
    Start(#[source] std::io::Error),
    #[error("send to the image")]
    Line(#[source] std::io::Error),
    #[error("hear from the image: it ended, or stopped in a panic")]
    Silent,
    #[error("finish the step: {0}")]
    Step(&'static str),
}

/// What is emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    /// Cortex-M4.
    An386,
    /// Cortex-M33.
    An505,
}

impl Machine {
    const fn name(self) -> &'static str {
        match self {
            Self::An386 => "mps2-an386",
            Self::An505 => "mps2-an505",
        }
    }

    /// With `-icount shift=0` an instruction takes one virtual nanosecond; these are the
    /// nanoseconds of one tick: 25 and 20 MHz.
    const fn instructions_a_tick(self) -> u64 {
        match self {
            Self::An386 => 40,
            Self::An505 => 50,
        }
    }
}

/// Something that the lock wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) kind: u8,
    pub(crate) link: u8,
    pub(crate) body: Vec<u8>,
}

/// A seeded stream (xorshift64*): runs repeat; nothing but a test may use it.
#[derive(Debug)]
pub(crate) struct Seeded(u64);

impl Entropy for Seeded {
    fn fill(&mut self, into: &mut [u8]) {
        for byte in into {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            *byte = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8;
        }
    }
}

/// A board that runs the image. Ends with its owner.
#[derive(Debug)]
pub(crate) struct Board {
    emulator: Child,
    to: ChildStdin,
    from: Receiver<u8>,
    machine: Machine,
    lock_bytes: u32,
    pub(crate) entropy: Seeded,
    pub(crate) now_ms: u64,
}

impl Drop for Board {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}

impl Board {
    pub(crate) fn start(image: &str, machine: Machine) -> Result<Self, BoardError> {
        let mut emulator = Command::new("qemu-system-arm")
            .args([
                "-machine",
                machine.name(),
                "-display",
                "none",
                "-monitor",
                "none",
            ])
            .args(["-icount", "shift=0", "-serial", "stdio", "-kernel", image])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(BoardError::Start)?;
        let (to, from) = (emulator.stdin.take(), emulator.stdout.take());
        let (Some(to), Some(from)) = (to, from) else {
            return Err(BoardError::Step("open the serial line"));
        };
        // A thread of its own, so that an image that stopped in a panic can be told from a slow one.
        let (heard, line) = channel();
        thread::spawn(move || {
            let bytes = std::io::BufReader::new(from).bytes();
            bytes
                .map_while(Result::ok)
                .all(|byte| heard.send(byte).is_ok())
        });
        Ok(Self {
            emulator,
            to,
            from: line,
            machine,
            lock_bytes: 0,
            entropy: Seeded(0x0bad_5eed_0bad_5eed),
            now_ms: 0,
        })
    }

    /// Size of the lock's state, in bytes, as the image said.
    pub(crate) const fn lock_bytes(&self) -> u32 {
        self.lock_bytes
    }

    /// Sends an input; returns what the lock said and what it cost.
    pub(crate) fn input(
        &mut self,
        kind: u8,
        link: u8,
        body: &[u8],
    ) -> Result<(Vec<Said>, Cost), BoardError> {
        let random: [u8; RANDOM] = self.entropy.bytes();
        let mut bytes = vec![kind, link];
        bytes.extend(self.now_ms.to_le_bytes());
        bytes.extend((body.len() as u16).to_le_bytes());
        bytes.extend(random);
        bytes.extend(body);
        self.to.write_all(&bytes).map_err(BoardError::Line)?;
        self.to.flush().map_err(BoardError::Line)?;
        let mut all = Vec::new();
        loop {
            let [kind, link, low, high] = self.read()?;
            let mut body = vec![0; usize::from(u16::from_le_bytes([low, high]))];
            self.fill(&mut body)?;
            if kind != DONE {
                all.push(Said { kind, link, body });
                continue;
            }
            let (numbers, _) = body.as_chunks::<4>();
            let [ticks, stack, lock] = *numbers else {
                return Err(BoardError::Step("read what an input cost"));
            };
            self.lock_bytes = u32::from_le_bytes(lock);
            let cost = Cost {
                instructions: u64::from(u32::from_le_bytes(ticks))
                    * self.machine.instructions_a_tick(),
                stack: u32::from_le_bytes(stack),
            };
            return Ok((all, cost));
        }
    }

    fn read<const N: usize>(&mut self) -> Result<[u8; N], BoardError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<(), BoardError> {
        for byte in into {
            *byte = match self.from.recv_timeout(SILENCE) {
                Ok(heard) => heard,
                Err(_) => return Err(BoardError::Silent),
            };
        }
        Ok(())
    }
}
