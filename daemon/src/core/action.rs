//! What the hub asks of the adapters.

use std::fmt;

use drawbridge_protocol::ids::LockId;
use serde_json::Value;

use super::binding::SecretBytes;
use super::event::{AckToken, Address, ClientId, LinkId};
use super::verbs::VerbError;

/// A Bluetooth passkey. It proves a place behind the door to the radio alone, and is still no one's to read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Passkey(u32);

impl Passkey {
    /// Takes the passkey of a code.
    #[must_use]
    pub const fn new(digits: u32) -> Self {
        Self(digits)
    }

    /// 0 to 999,999; to be handed to the radio and nothing else.
    #[must_use]
    pub const fn danger_digits(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for Passkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passkey(..)")
    }
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
        /// Whose link it is to be: what an adapter keeps of a lock it keeps under this name.
        lock: LockId,
        /// The passkey of the lock's code, 0 to 999,999, for an adapter that bonds.
        passkey: Passkey,
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
    /// The hub has given the lock up: forget what the adapter keeps of it, such as a bond.
    Forget {
        /// Which.
        lock: LockId,
    },
    /// Listen for adverts, or stop.
    Scan {
        /// Whether to listen.
        on: bool,
    },
}

/// Which of two publications goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Results, answers, alarms.
    Urgent,
    /// Documents, audit batches, telemetry.
    Bulk,
}

/// To the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloudAction {
    /// Publish with QoS 1; answered by `Published` or `PublishFailed`, unless the connection dies.
    Publish {
        /// Names the publication.
        ticket: u64,
        /// Full topic.
        topic: String,
        /// Its bytes; empty with `retain` clears the topic.
        payload: Vec<u8>,
        /// Whether the broker keeps it.
        retain: bool,
        /// Correlation Data to echo.
        correlation: Option<Vec<u8>>,
        /// Message Expiry Interval, seconds.
        expiry_s: Option<u32>,
        /// Which goes first.
        priority: Priority,
    },
    /// Acknowledge a message.
    Ack {
        /// Which.
        token: AckToken,
    },
}

/// A named set of records in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tree {
    /// Commands accepted and not concluded, by command id.
    Inbox,
    /// Publications that must not be lost, by ticket (8 bytes, big-endian).
    Outbox,
    /// Final results, by command id.
    Dedupe,
    /// Lock log records, by lock id and number (8 bytes each, big-endian).
    Audit,
    /// Cursors and pending acknowledgements.
    Meta,
}

/// One change. A batch is applied whole and in order; each change may be applied again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreOp {
    /// Insert or replace.
    Put {
        /// Where.
        tree: Tree,
        /// At most 16 bytes of id and 8 of number.
        key: Vec<u8>,
        /// The record.
        value: Vec<u8>,
        /// When, Unix seconds, if the clock can be trusted: ages final results.
        at: Option<u64>,
    },
    /// Remove; what is not there is no error.
    Delete {
        /// Where.
        tree: Tree,
        /// The key.
        key: Vec<u8>,
    },
    /// Save a lock's binding, sealed, under its id in hexadecimal. Holds secrets.
    SaveBinding {
        /// 16 hexadecimal digits.
        name: String,
        /// [`super::LockBinding::encode`].
        bytes: SecretBytes,
    },
    /// Remove a lock's binding and what was kept of older ones.
    RemoveBinding {
        /// 16 hexadecimal digits.
        name: String,
    },
}

/// To the control socket.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlAction {
    /// The last word on a request.
    Reply {
        /// To whom.
        client: ClientId,
        /// Which request.
        id: u64,
        /// What came of it.
        result: Result<Value, VerbError>,
    },
    /// A word on a request that goes on.
    Stream {
        /// To whom.
        client: ClientId,
        /// Which request.
        id: u64,
        /// What there is to say.
        value: Value,
    },
}

/// How loud a journal entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Someone must act.
    Error,
    /// Degraded but handled.
    Warn,
    /// A state changed.
    Info,
    /// For whoever looks for a fault.
    Debug,
}

/// One journal entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// How loud.
    pub level: Level,
    /// Stable name of the event.
    pub event: &'static str,
    /// Values, never secret.
    pub fields: Vec<(&'static str, String)>,
}

/// Everything a hub can ask for.
#[derive(Debug, Clone, PartialEq)]
pub enum HubAction {
    /// On the air.
    Radio(RadioAction),
    /// At the broker.
    Cloud(CloudAction),
    /// Store this, whole or not at all; answered by `Stored`. One batch is out at a time.
    Store {
        /// Names the batch.
        batch: u64,
        /// The changes, at most 1,024.
        ops: Vec<StoreOp>,
    },
    /// On the control socket.
    Control(ControlAction),
    /// Into the journal.
    Journal(Entry),
}
