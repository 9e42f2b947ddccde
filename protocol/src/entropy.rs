//! Where random bytes come from.

/// A source of cryptographically secure random bytes, handed in by whoever runs a machine.
///
/// On a chip this is its generator, on Linux the kernel's, in a simulation a seeded stream:
/// the machines themselves stay deterministic.
pub trait Entropy {
    /// Fills `into`. There is no error: an implementation that cannot deliver must stop the device.
    fn fill(&mut self, into: &mut [u8]);

    /// `N` random bytes.
    fn bytes<const N: usize>(&mut self) -> [u8; N]
    where
        Self: Sized,
    {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

impl<T: Entropy + ?Sized> Entropy for &mut T {
    fn fill(&mut self, into: &mut [u8]) {
        (**self).fill(into);
    }
}
