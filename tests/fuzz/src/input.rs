//! Reading choices out of a fuzzer's bytes.

/// What is left of one input. **It never runs dry: past the end every choice is zero and every slice
/// empty**, so that each byte string means something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'b>(&'b [u8]);

impl<'b> Input<'b> {
    pub(crate) const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// A choice among `many`, below 256.
    pub(crate) fn below(&mut self, many: usize) -> usize {
        usize::from(self.byte()) % many.max(1)
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub(crate) fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// As many bytes as there are, up to `len`.
    pub(crate) fn take(&mut self, len: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Exactly `N` bytes, zeros at the end where there are none.
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let taken = self.take(N);
        bytes[..taken.len()].copy_from_slice(taken);
        bytes
    }

    /// A length of one byte and as many bytes.
    pub(crate) fn chunk(&mut self) -> &'b [u8] {
        let len = usize::from(self.byte());
        self.take(len)
    }

    pub(crate) fn rest(&mut self) -> &'b [u8] {
        std::mem::take(&mut self.0)
    }
}

/// A stream of bytes from one number (SplitMix64): a target is a function of its input alone.
#[derive(Debug, Clone)]
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl drawbridge_protocol::entropy::Entropy for Seeded {
    fn fill(&mut self, into: &mut [u8]) {
        for byte in into {
            *byte = self.next() as u8;
        }
    }
}

/// Changes `bytes` in one place that `input` chooses; says whether they differ now.
pub(crate) fn damage(bytes: &mut Vec<u8>, input: &mut Input<'_>) -> bool {
    let before = bytes.clone();
    let at = usize::from(input.short());
    match (input.byte() % 4, bytes.len()) {
        (0, 1..) => {
            let len = bytes.len();
            bytes[at % len] ^= input.byte();
        }
        (1, 1..) => bytes.truncate(at % bytes.len()),
        (2, _) => bytes.extend(input.chunk()),
        (_, len) => {
            let at = at % (len + 1);
            let chunk = input.chunk();
            let end = (at + chunk.len()).min(len);
            bytes.splice(at..end, chunk.iter().copied());
        }
    }
    *bytes != before
}
