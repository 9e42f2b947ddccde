//! What the adapters tell the hub.

use drawbridge_protocol::beacon::Beacon;
use serde_json::Value;

/// A link, named by the hub in [`super::RadioAction::Connect`]; never used twice in a run.
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

/// A client of the control socket, named by the adapter; never used twice in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// A message that the broker waits to see acknowledged; void once the connection is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AckToken(pub u64);

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

/// How a radio is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RadioHealth {
    /// At least one adapter works.
    Ready,
    /// There is none, or none can be switched on.
    NoAdapter,
    /// Nobody is there who runs adapters.
    BluetoothAway,
    /// Everything that may help was tried.
    Failed,
}

impl RadioHealth {
    /// The stable name, as in `status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NoAdapter => "no_adapter",
            Self::BluetoothAway => "bluetooth_away",
            Self::Failed => "failed",
        }
    }
}

/// From a radio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RadioEvent {
    /// How the radio is now. A radio that never says is ready.
    Health(RadioHealth),
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

/// From the broker's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloudEvent {
    /// Connected and subscribed.
    Up {
        /// Largest packet the broker takes, bytes, if it said so.
        max_packet: Option<usize>,
        /// Whether the broker remembered the session.
        session_present: bool,
    },
    /// The connection is gone; acknowledgements and publications in flight went with it.
    Down {
        /// Why, for the journal.
        reason: String,
    },
    /// A message came.
    Message {
        /// Full topic.
        topic: String,
        /// Its bytes.
        payload: Vec<u8>,
        /// Whether the broker kept it from earlier.
        retain: bool,
        /// Whether the broker says it sent it before.
        duplicate: bool,
        /// Correlation Data (MQTT 5).
        correlation: Option<Vec<u8>>,
        /// Response Topic (MQTT 5).
        response_topic: Option<String>,
        /// Acknowledge with this once it is durable or needs no keeping.
        ack: AckToken,
    },
    /// The broker has the publication.
    Published {
        /// Which.
        ticket: u64,
    },
    /// The publication was not taken.
    PublishFailed {
        /// Which.
        ticket: u64,
        /// Why, for the journal.
        reason: String,
        /// Whether trying again may help.
        is_temporary: bool,
    },
}

/// Why a batch was not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFault {
    /// For the journal.
    pub reason: String,
    /// Whether it may be found on disk after a restart all the same.
    pub may_have_succeeded: bool,
    /// Whether the same batch may be taken later.
    pub is_temporary: bool,
}

/// From the control socket.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlEvent {
    /// A client asks for something.
    Request {
        /// Who; the adapter has checked that the user may ask.
        client: ClientId,
        /// The client's number for the request, echoed.
        id: u64,
        /// What for: a verb of `iface`, such as `lock.list`.
        verb: String,
        /// Its arguments, strictly parsed by the adapter.
        data: Value,
    },
    /// A client hung up: nothing more is sent to it.
    Gone {
        /// Who.
        client: ClientId,
    },
}

/// Everything that can happen to a hub.
#[derive(Debug, Clone, PartialEq)]
pub enum HubEvent {
    /// On the air.
    Radio(RadioEvent),
    /// At the broker.
    Cloud(CloudEvent),
    /// The store answers [`super::HubAction::Store`].
    Stored {
        /// Which batch.
        batch: u64,
        /// `Ok` = the whole batch survives a power cut.
        result: Result<(), StoreFault>,
    },
    /// On the control socket.
    Control(ControlEvent),
    /// Nothing; the deadline named by [`super::Hub::next_deadline`] has come.
    Tick,
}
