//! An MQTT broker as far as QoS 1 goes: what the hub has not acknowledged is kept over connections
//! and sent again; what is published here twice is two messages.

use std::collections::BTreeMap;

use drawbridge_daemon::core::{AckToken, CloudEvent};

/// A message on its way to the hub.
#[derive(Debug, Clone)]
pub struct Message {
    /// Full topic.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Whether the hub is told that it was kept from earlier.
    pub retain: bool,
}

/// The broker's end of the hub's connection.
#[derive(Debug, Default)]
pub struct Broker {
    held: BTreeMap<u64, (Message, bool)>,
    tokens: BTreeMap<AckToken, u64>,
    next: u64,
    /// Whether the hub is connected.
    pub is_up: bool,
}

impl Broker {
    /// Takes a message for the hub; its number names it in [`Self::deliver`].
    pub fn take(&mut self, message: Message) -> u64 {
        self.next += 1;
        self.held.insert(self.next, (message, false));
        self.next
    }

    /// The hub's connection is gone, and with it every token.
    pub fn down(&mut self) {
        self.is_up = false;
        self.tokens.clear();
    }

    /// The hub is back: everything that it has not acknowledged is due again, in order.
    pub fn up(&mut self) -> Vec<u64> {
        self.is_up = true;
        self.held.keys().copied().collect()
    }

    /// The broker loses the hub's session and with it everything that was held for it.
    pub fn forget(&mut self) {
        self.held.clear();
        self.tokens.clear();
    }

    /// The event that brings a held message to the hub.
    pub fn deliver(&mut self, number: u64) -> Option<CloudEvent> {
        if !self.is_up {
            return None;
        }
        let (message, was_sent) = self.held.get_mut(&number)?;
        let duplicate = std::mem::replace(was_sent, true);
        self.next += 1;
        let ack = AckToken(self.next);
        self.tokens.insert(ack, number);
        Some(CloudEvent::Message {
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            retain: message.retain,
            duplicate,
            correlation: None,
            response_topic: None,
            ack,
        })
    }

    /// Whether the token is for a command.
    #[must_use]
    pub fn is_command(&self, token: AckToken) -> bool {
        let held = self
            .tokens
            .get(&token)
            .and_then(|number| self.held.get(number));
        held.is_some_and(|(message, _)| message.topic.ends_with("/command"))
    }

    /// The hub acknowledges.
    pub fn acknowledged(&mut self, token: AckToken) {
        if let Some(number) = self.tokens.remove(&token) {
            self.held.remove(&number);
        }
    }

    /// Messages that the hub has not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.held.len()
    }
}
