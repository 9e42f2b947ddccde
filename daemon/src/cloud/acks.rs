//! Acknowledging what the broker sent us, when the core says so, in the order MQTT wants.
//!
//! An [`AckToken`] goes out with each message. Using it on a later connection does nothing: the
//! broker delivers the message again there, with a new token. PUBACKs leave in the order in which
//! the messages came (MQTT 5.0, 4.6.0-2), so an early ack waits for its predecessors.
//!
//! **Nothing is acknowledged to the broker that the core has not acknowledged to us.**

use std::collections::VecDeque;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// The right to acknowledge one message on the connection that brought it.
///
/// Dropped unused, the message stays with the broker and comes again on the next connection.
#[derive(Debug)]
pub struct AckToken {
    id: u64,
    to: Option<mpsc::Sender<Settled>>,
    /// Its place on the way to the core, free again once the core has dealt with the message.
    place: Option<OwnedSemaphorePermit>,
}

/// What became of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settled {
    id: u64,
    acked: bool,
}

impl AckToken {
    /// Tells the broker that the message is ours now. Never blocks, never fails.
    pub fn ack(mut self) {
        self.settle(true);
    }

    /// A message that needs no acknowledgement (QoS 0).
    pub(super) fn nothing() -> Self {
        Self {
            id: 0,
            to: None,
            place: None,
        }
    }

    /// Holds `place` until the token is used or dropped.
    pub(super) fn holding(mut self, place: OwnedSemaphorePermit) -> Self {
        self.place = Some(place);
        self
    }

    fn settle(&mut self, acked: bool) {
        // Before the PUBACK: a lawful broker never finds the places taken.
        self.place = None;
        if let Some(to) = self.to.take() {
            // The channel holds as many as the connection has tokens, so it is never full; closed
            // means that the connection is gone and the broker will send the message again.
            let _ = to.try_send(Settled { id: self.id, acked });
        }
    }
}

impl Drop for AckToken {
    fn drop(&mut self) {
        self.settle(false);
    }
}

/// The unacknowledged messages of one connection, in order of arrival.
#[derive(Debug)]
pub(super) struct AckOrder {
    limit: usize,
    next_id: u64,
    waiting: VecDeque<Waiting>,
    to: mpsc::Sender<Settled>,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    packet: u16,
    acked: bool,
}

/// The broker sent more unacknowledged messages than we allowed it (MQTT 5.0, 3.3.4-9), or used a
/// packet id twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overrun;

impl AckOrder {
    pub(super) fn new(limit: u16) -> (Self, mpsc::Receiver<Settled>) {
        let limit = usize::from(limit);
        // An abandoned token leaves the order but keeps its slot at the broker.
        let (to, settled) = mpsc::channel(limit.max(1) * 2);
        (
            Self {
                limit,
                next_id: 1,
                waiting: VecDeque::new(),
                to,
            },
            settled,
        )
    }

    pub(super) fn arrived(&mut self, packet: u16) -> Result<AckToken, Overrun> {
        if self.waiting.len() >= self.limit || self.waiting.iter().any(|w| w.packet == packet) {
            return Err(Overrun);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.push_back(Waiting {
            id,
            packet,
            acked: false,
        });
        Ok(AckToken {
            id,
            to: Some(self.to.clone()),
            place: None,
        })
    }

    /// Returns the packet ids that may be acknowledged now, in order.
    pub(super) fn settled(&mut self, settled: Settled) -> Vec<u16> {
        if settled.acked {
            if let Some(entry) = self.waiting.iter_mut().find(|w| w.id == settled.id) {
                entry.acked = true;
            }
        } else {
            self.waiting.retain(|w| w.id != settled.id);
        }
        let mut ready = Vec::new();
        while self.waiting.front().is_some_and(|first| first.acked) {
            ready.extend(self.waiting.pop_front().map(|first| first.packet));
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(order: &mut AckOrder, settled: &mut mpsc::Receiver<Settled>) -> Vec<u16> {
        let mut out = Vec::new();
        while let Ok(one) = settled.try_recv() {
            out.extend(order.settled(one));
        }
        out
    }

    // Guards: brokers that follow MQTT 5.0 4.6.0-2 strictly drop a client that acks out of order.
    #[test]
    fn acks_leave_in_order_of_arrival() {
        let (mut order, mut settled) = AckOrder::new(4);
        let first = order.arrived(7).unwrap();
        let second = order.arrived(3).unwrap();
        second.ack();
        assert_eq!(drain(&mut order, &mut settled), [] as [u16; 0]);
        first.ack();
        assert_eq!(drain(&mut order, &mut settled), [7, 3]);
    }

    // Guards: a message the core could not store must come again, yet must not block the others.
    #[test]
    fn dropped_token_is_never_acknowledged_and_blocks_nobody() {
        let (mut order, mut settled) = AckOrder::new(4);
        let lost = order.arrived(1).unwrap();
        let kept = order.arrived(2).unwrap();
        drop(lost);
        kept.ack();
        assert_eq!(drain(&mut order, &mut settled), [2]);
    }

    // Guards (S35, S36): a broker that ignores our Receive Maximum must not grow our memory.
    #[test]
    fn broker_that_overruns_the_receive_maximum_is_noticed() {
        let (mut order, _settled) = AckOrder::new(2);
        let _one = order.arrived(1).unwrap();
        assert!(order.arrived(1).is_err(), "same packet id twice");
        let _two = order.arrived(2).unwrap();
        assert!(order.arrived(3).is_err());
    }

    // Guards: acking on a new connection what an old one delivered would acknowledge somebody
    // else's packet id there.
    #[test]
    fn token_of_a_dead_connection_does_nothing() {
        let (mut old, old_settled) = AckOrder::new(2);
        let token = old.arrived(1).unwrap();
        drop((old, old_settled));
        let (mut new, mut settled) = AckOrder::new(2);
        let _other = new.arrived(1).unwrap();
        token.ack();
        assert_eq!(drain(&mut new, &mut settled), [] as [u16; 0]);
    }
}
