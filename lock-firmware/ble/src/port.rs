//! What the lock above the radio offers.

use core::future::Future;

use drawbridge_protocol::beacon::Beacon;

use crate::bond::Bond;

/// The lock, as the radio sees it.
///
/// **Every future may be dropped at any point**: the radio selects over them, and drops them all
/// when the controller fails.
pub trait Port {
    /// Takes packets from a link to the lock.
    type Inbound: Inbound;
    /// Gives the lock's packets for a link.
    type Outbound: Outbound;

    /// A fresh beacon, as soon as the lock wants one on the air.
    fn beacon(&self) -> impl Future<Output = Beacon>;

    /// Ends when the lock wants no beacon on the air any more.
    fn asleep(&self) -> impl Future<Output = ()>;

    /// A peer opens a link with packets of at most `packet` bytes. The link is open until both halves
    /// are dropped; `None`: the lock takes no link now.
    fn open(&self, packet: u16) -> impl Future<Output = Option<(Self::Inbound, Self::Outbound)>>;

    /// Fills `into` with cryptographically secure random bytes.
    fn fill(&self, into: &mut [u8]);

    /// The bonds are these from now on, the oldest first: keep them.
    fn keep_bonds(&self, bonds: &[Bond]);
}

/// One link's way into the lock.
pub trait Inbound {
    /// Hands a packet in, when there is room for it; `false`: the link is over.
    fn push(&mut self, packet: &[u8]) -> impl Future<Output = bool>;
}

/// One link's way out of the lock.
pub trait Outbound {
    /// Writes the next packet to `into` and answers its length; `None`: the link is over. A dropped
    /// future has taken no packet.
    fn pop(&mut self, into: &mut [u8]) -> impl Future<Output = Option<usize>>;
}
