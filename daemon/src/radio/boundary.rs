//! The boundary between the hub's core and a radio.

use drawbridge_protocol::beacon::Beacon;

/// A link, named by the hub in [`RadioAction::Connect`]; never used twice in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Where a lock was seen: an opaque name of the adapter's, at most [`Address::MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

impl Address {
    /// Longest address, bytes.
    pub const MAX: usize = 64;

    /// Takes an adapter's name for a place; `None` when it is empty or too long.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        (1..=Self::MAX).contains(&name.len()).then_some(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why there is no link, or no longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LinkFault {
    /// Nobody answered in time.
    Timeout,
    /// The other end closed it.
    Closed,
    /// The lock is busy with somebody else.
    Busy,
    /// The adapter is gone, off or reset.
    NoAdapter,
    /// The adapter has no slot left.
    NoSlot,
    /// The address is not there any more.
    Unreachable,
    /// What came was no link packet.
    Protocol,
}

impl LinkFault {
    /// The stable name, as in the `link` document and the journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Busy => "busy",
            Self::NoAdapter => "no_adapter",
            Self::NoSlot => "no_slot",
            Self::Unreachable => "unreachable",
            Self::Protocol => "protocol",
        }
    }
}

/// From a radio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RadioEvent {
    /// An advert was heard.
    Seen {
        /// Where.
        address: Address,
        /// Whose it is, for those who know the key.
        beacon: Beacon,
    },
    /// A link that the hub asked for is up.
    LinkUp {
        /// Which.
        link: LinkId,
        /// Largest packet it carries, bytes.
        packet_size: usize,
    },
    /// One packet came.
    Packet {
        /// On which link.
        link: LinkId,
        /// One fragment of `protocol::frame`.
        bytes: Vec<u8>,
    },
    /// A link that was up is gone, whoever ended it. Also answers `Disconnect`.
    LinkDown {
        /// Which.
        link: LinkId,
        /// Why.
        reason: LinkFault,
    },
    /// A link that the hub asked for did not come up.
    ConnectFailed {
        /// Which.
        link: LinkId,
        /// Why.
        reason: LinkFault,
    },
}

/// To a radio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RadioAction {
    /// Bring a link up; answered by `LinkUp` or `ConnectFailed`.
    Connect {
        /// The hub's name for it.
        link: LinkId,
        /// Where the lock was last seen.
        address: Address,
    },
    /// Send one packet. Packets of a link go in order.
    Send {
        /// On which link.
        link: LinkId,
        /// One fragment, at most the link's packet size.
        packet: Vec<u8>,
    },
    /// End the link, after what was sent before; answered by `LinkDown` or `ConnectFailed`.
    Disconnect {
        /// Which.
        link: LinkId,
    },
    /// Listen for adverts, or stop.
    Scan {
        /// Whether to listen.
        on: bool,
    },
}
