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

/// SHA-256 of label, seed and a block counter, block after block.
#[derive(Debug)]
pub struct SeededStream {
    seed: u64,
    block: u64,
}

impl Randomness {
    /// The kernel's without a seed, else the seeded stream from its start.
    #[must_use]
    pub const fn new(seed: Option<u64>) -> Self {
        match seed {
            None => Self::Kernel,
            Some(seed) => Self::Seeded(SeededStream { seed, block: 0 }),
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
            let mut input = *b"drawbridge-sim--seed----block---";
            input[16..24].copy_from_slice(&self.seed.to_le_bytes());
            input[24..].copy_from_slice(&self.block.to_le_bytes());
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
    }
}
