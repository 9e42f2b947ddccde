//! Random bytes for the simulated lock: the kernel's, or for tests a stream that repeats.

use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::Digest32;

/// Where this lock's random bytes come from.
#[derive(Debug)]
pub enum Randomness {
    /// The kernel's generator.
    Kernel,
    /// A stream that follows from its seed. **Whoever knows the seed knows every key of the lock.**
    Seeded(SeededStream),
}

/// SHA-256 of label, seed, a block counter and what the flash held at the start, block after block.
#[derive(Debug)]
pub struct SeededStream {
    seed: u64,
    block: u64,
    flash: Digest32,
}

impl Randomness {
    /// The kernel's without a seed, else the seeded stream from its start.
    #[must_use]
    pub const fn new(seed: Option<u64>) -> Self {
        match seed {
            None => Self::Kernel,
            Some(seed) => Self::Seeded(SeededStream {
                seed,
                block: 0,
                flash: Digest32::ZERO,
            }),
        }
    }
}

impl Randomness {
    /// A seeded stream goes on differently for each content of the flash. Every boot writes to it,
    /// so that a process which is started again has no epoch, nonce or key of the one before; the
    /// same seed on the same content still gives the same run.
    pub fn mix_in(&mut self, flash: Digest32) {
        if let Self::Seeded(stream) = self {
            (stream.block, stream.flash) = (0, flash);
        }
    }
}

impl Entropy for Randomness {
    /// # Panics
    /// If the kernel has no random bytes: a lock without them must stop.
    fn fill(&mut self, into: &mut [u8]) {
        match self {
            Self::Kernel => getrandom::fill(into).expect("the kernel gives random bytes"),
            Self::Seeded(stream) => stream.fill(into),
        }
    }
}

impl SeededStream {
    fn fill(&mut self, into: &mut [u8]) {
        for chunk in into.chunks_mut(Digest32::LEN) {
            let mut input = [0; 64];
            input[..16].copy_from_slice(b"drawbridge-sim--");
            input[16..24].copy_from_slice(&self.seed.to_le_bytes());
            input[24..32].copy_from_slice(&self.block.to_le_bytes());
            input[32..].copy_from_slice(&self.flash.0);
            self.block += 1;
            chunk.copy_from_slice(&Digest32::of(&input).0[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards: a failing seed that cannot be run again, and two seeds that give the same keys.
    #[test]
    fn one_seed_gives_one_stream_that_never_repeats_itself() {
        let mut first = Randomness::new(Some(7));
        let mut again = Randomness::new(Some(7));
        let mut other = Randomness::new(Some(8));
        let (a, b, c): ([u8; 40], [u8; 40], [u8; 40]) =
            (first.bytes(), again.bytes(), other.bytes());
        assert_eq!(a, b);
        assert_ne!(a, c);
        assert_ne!(a, first.bytes::<40>());
        let mut on_flash = [Digest32([1; 32]), Digest32([1; 32]), Digest32([2; 32])].map(|flash| {
            let mut stream = Randomness::new(Some(7));
            stream.mix_in(flash);
            stream.bytes::<40>()
        });
        assert_eq!(on_flash[0], on_flash[1]);
        on_flash[1] = a;
        assert!(on_flash[0] != on_flash[1] && on_flash[0] != on_flash[2] && a != on_flash[2]);
    }
}
