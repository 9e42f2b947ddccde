//! What goes in and what comes out of the cloud plane.

use std::time::Duration;

use super::acks::AckToken;

/// Who waits for this message. Commands' answers never wait behind telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Results, answers to requests, alarms.
    Urgent,
    /// Everything that can be late.
    Telemetry,
}

/// A message to publish with QoS 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The caller's name for it, given back in exactly one event.
    pub ticket: u64,
    /// Where to; no wildcards.
    pub topic: String,
    /// The bytes.
    pub payload: Vec<u8>,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
    /// Correlation Data (MQTT 5.0, 3.3.2.3.6), echoed from a request.
    pub correlation: Option<Vec<u8>>,
    /// Message Expiry Interval in seconds; a courtesy, never a security bound.
    pub expiry_s: Option<u32>,
    /// Which of the two queues.
    pub priority: Priority,
}

/// What the rest of the daemon asks of the plane.
#[derive(Debug)]
#[non_exhaustive]
pub enum CloudAction {
    /// Publish; ends in exactly one of [`CloudEvent::Published`], [`CloudEvent::PublishFailed`].
    Publish(Outgoing),
    /// The message is durable: the broker may forget it.
    Ack(AckToken),
    /// Publish what waits (at most `drain` long), say `offline`, disconnect, end.
    Shutdown {
        /// How long to try.
        drain: Duration,
    },
}

/// What the plane tells the rest of the daemon.
#[derive(Debug)]
#[non_exhaustive]
pub enum CloudEvent {
    /// Connected, subscribed, and `state` says `online`. Publish what changed now.
    Up {
        /// The key exchange that TLS agreed on.
        tls_group: String,
        /// Whether the broker remembered our session; if not, subscriptions and waiting commands
        /// were lost (subscriptions are already made again).
        session_present: bool,
        /// Largest packet that can be published, in bytes.
        max_packet: u32,
    },
    /// Not connected; sent once per lost connection or failed attempt.
    Down {
        /// Why, as a chain `a: b: c`.
        reason: String,
        /// What an operator can do, where somebody must.
        advice: Option<&'static str>,
        /// Waiting will probably not help: somebody must act.
        permanent_hint: bool,
    },
    /// A message arrived. It stays the broker's until `ack` is used. In a resumed session what
    /// waited comes before [`CloudEvent::Up`].
    Message {
        /// Its topic.
        topic: String,
        /// Its bytes.
        payload: Vec<u8>,
        /// It was kept by the broker: an old message (a retained command must be refused).
        retain: bool,
        /// The broker says that it may have come before.
        dup: bool,
        /// To be echoed in the answer.
        correlation: Option<Vec<u8>>,
        /// Where the sender wants the answer; to be checked by the receiver.
        response_topic: Option<String>,
        /// To be used when the message is durable.
        ack: AckToken,
    },
    /// The broker has it (PUBACK with success).
    Published {
        /// The caller's name for it.
        ticket: u64,
    },
    /// The broker does not have it, or we do not know.
    PublishFailed {
        /// The caller's name for it.
        ticket: u64,
        /// Why.
        reason: String,
        /// Trying again may work.
        is_temporary: bool,
        /// It was sent, and only the acknowledgement is missing.
        may_have_succeeded: bool,
    },
}

/// Why an action was not taken; the action comes back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The queue of its priority is full.
    #[error("queueing for the cloud plane: the queue is full")]
    Full(CloudAction),
    /// The plane has ended.
    #[error("queueing for the cloud plane: it has ended")]
    Ended(CloudAction),
}

impl Refused {
    /// Whether trying again may work.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}
