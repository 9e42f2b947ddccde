//! Generations of the pre-shared key between a lock and one peer.
//!
//! The lock proposes generation n+1 inside a session; the peer stores it durably beside n, then
//! says so; the lock commits. **A power cut at any step leaves at least one generation that both
//! sides hold:** the lock keeps n and n-1, the peer tries its newest first, and n-1 dies only
//! after the first session on n.

use minicbor::{Decode, Encode};

use crate::keys::Psk;

/// Counts rotations; 0 is the pairing key from the code on the lock.
pub type Generation = u32;

/// One generation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PskGeneration {
    /// Which.
    #[n(1)]
    pub generation: Generation,
    /// The key.
    #[n(2)]
    pub psk: Psk,
}

/// The newest generation and the one before it, on either side.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PskRing {
    /// n.
    #[n(1)]
    pub current: PskGeneration,
    /// n-1, or on the peer's side n while n+1 is not proven yet.
    #[n(2)]
    pub previous: Option<PskGeneration>,
}

impl PskRing {
    /// With only the pairing key.
    #[must_use]
    pub const fn pairing(psk: Psk) -> Self {
        Self {
            current: PskGeneration { generation: 0, psk },
            previous: None,
        }
    }

    /// The key of `generation`, while it is kept.
    #[must_use]
    pub fn find(&self, generation: Generation) -> Option<&Psk> {
        core::iter::once(&self.current)
            .chain(self.previous.as_ref())
            .find(|kept| kept.generation == generation)
            .map(|kept| &kept.psk)
    }

    /// Takes a newer generation in; the current one becomes the previous one. Anything but the
    /// next generation, or the current one again, is ignored and answered with `false`.
    ///
    /// While the current generation is not proven, another key for it takes its place: a lock that
    /// lost its offer before it committed draws a new one, and the peer that had stored the first
    /// must follow or no rotation ever succeeds again.
    pub fn advance(&mut self, next: PskGeneration) -> bool {
        if next == self.current {
            return true;
        }
        if next.generation == self.current.generation && self.previous.is_some() {
            self.current = next;
            return true;
        }
        if Some(next.generation) != self.current.generation.checked_add(1) {
            return false;
        }
        self.previous = Some(core::mem::replace(&mut self.current, next));
        true
    }

    /// A session on `generation` is proven: what is older dies. Returns whether anything did.
    pub fn proven(&mut self, generation: Generation) -> bool {
        generation == self.current.generation && self.previous.take().is_some()
    }
}
