//! What is to be published, until the broker has it.
//!
//! Our own outbox is the only truth: the client library's queue dies with each connection, so
//! everything it had not confirmed is published again, in order.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{CloudAction, Priority, StoreOp, Tree};
use super::event::AckToken;
use super::record::{OutboxRecord, Records, decoded, encoded};

/// Publications on their way at a time: below the 20 that AWS IoT and the 65,535 that others
/// allow, and enough to fill a connection of 100 ms.
const IN_FLIGHT: usize = 16;
/// First pause after the broker refused a publication, and the longest, in milliseconds.
const PAUSE_MS: (u64, u64) = (500, 60_000);
/// Bytes of an MQTT PUBLISH beside topic, payload and correlation: header, lengths, identifiers.
const OVERHEAD: usize = 32;

/// What happens to a publication when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Never dropped, stored: finals, audit batches, alarms, cleared topics.
    Kept,
    /// The oldest goes first, and is counted: progress, answers, telemetry.
    Passing,
    /// At most one per topic, the newest: retained documents.
    Document,
}

/// One publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Publication {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) retain: bool,
    pub(super) correlation: Option<Vec<u8>>,
    pub(super) expiry_s: Option<u32>,
    pub(super) priority: Priority,
}

#[derive(Debug)]
struct Waiting {
    publication: Publication,
    class: Class,
    is_ready: bool,
    is_stored: bool,
    in_flight: bool,
    not_before: u64,
    attempts: u32,
    acks: Vec<AckToken>,
}

/// Order of use: put things in with [`Self::keep`], [`Self::pass`], [`Self::document`]; call
/// [`Self::flush`] after every event. **What is kept leaves only when the broker has confirmed it.**
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: BTreeMap<u64, Waiting>,
    /// Ready and not in flight, in the order of going.
    due: BTreeSet<(Priority, u64)>,
    documents: BTreeMap<String, Document>,
    next_ticket: u64,
    in_flight: usize,
    is_up: bool,
    max_packet: Option<usize>,
    passing: usize,
    kept: usize,
    /// Passing publications given up for lack of room, since start.
    pub(super) dropped: u64,
}

#[derive(Debug)]
struct Document {
    payload: Vec<u8>,
    ticket: Option<u64>,
}

impl Outbox {
    /// With what was kept before a restart; also says how many records could not be read.
    pub(super) fn restore(records: &Records, next_ticket: u64) -> (Self, usize) {
        let mut outbox = Self {
            next_ticket,
            ..Self::default()
        };
        let mut unreadable = 0;
        for (key, value) in records {
            let ticket = key.as_slice().try_into().map(u64::from_be_bytes);
            let (Ok(ticket), Ok(record)) = (ticket, decoded::<OutboxRecord>(value)) else {
                unreadable += 1;
                continue;
            };
            outbox.next_ticket = outbox.next_ticket.max(ticket.saturating_add(1));
            let publication = Publication {
                topic: record.topic,
                payload: record.payload.into(),
                retain: record.retain,
                correlation: record.correlation.map(Into::into),
                expiry_s: None,
                priority: if record.is_urgent {
                    Priority::Urgent
                } else {
                    Priority::Bulk
                },
            };
            outbox.insert(ticket, publication, Class::Kept, true);
        }
        (outbox, unreadable)
    }

    /// Kept publications that wait.
    pub(super) const fn kept(&self) -> usize {
        self.kept
    }

    /// All publications that wait.
    pub(super) fn depth(&self) -> usize {
        self.waiting.len()
    }

    pub(super) const fn is_up(&self) -> bool {
        self.is_up
    }

    /// Keeps a publication; it goes out once [`Self::ready`] is called with the ticket. The change
    /// must be stored together with what caused it.
    pub(super) fn keep(&mut self, publication: Publication) -> (u64, StoreOp) {
        let ticket = self.ticket();
        let record = OutboxRecord {
            topic: publication.topic.clone(),
            payload: publication.payload.clone().into(),
            retain: publication.retain,
            correlation: publication.correlation.clone().map(Into::into),
            is_urgent: publication.priority == Priority::Urgent,
        };
        self.insert(ticket, publication, Class::Kept, false);
        let op = StoreOp::Put {
            tree: Tree::Outbox,
            key: ticket.to_be_bytes().to_vec(),
            value: encoded(&record),
            at: None,
        };
        (ticket, op)
    }

    /// A kept publication may go out.
    pub(super) fn ready(&mut self, ticket: u64) {
        if let Some(waiting) = self.waiting.get_mut(&ticket)
            && !waiting.is_ready
        {
            waiting.is_ready = true;
            waiting.is_stored = true;
            self.due.insert((waiting.publication.priority, ticket));
        }
    }

    /// Messages to acknowledge once the broker has this publication: their sender has his answer.
    pub(super) fn acknowledge_with(&mut self, ticket: u64, acks: Vec<AckToken>) {
        if let Some(waiting) = self.waiting.get_mut(&ticket) {
            waiting.acks.extend(acks);
        }
    }

    /// Queues a publication that may be dropped, at most `bound` of them.
    pub(super) fn pass(&mut self, publication: Publication, bound: usize) {
        if let Some(ticket) = self.hold(publication, bound) {
            self.ready(ticket);
        }
    }

    /// Like [`Self::pass`], but it keeps its place and goes out once [`Self::ready`] is called.
    pub(super) fn hold(&mut self, publication: Publication, bound: usize) -> Option<u64> {
        while self.passing >= bound {
            let oldest = self
                .waiting
                .iter()
                .find(|(_, waiting)| waiting.class == Class::Passing && !waiting.in_flight)
                .map(|(ticket, _)| *ticket);
            self.dropped += 1;
            match oldest {
                Some(ticket) => drop(self.remove(ticket)),
                None => return None,
            }
        }
        let ticket = self.ticket();
        self.insert(ticket, publication, Class::Passing, false);
        Some(ticket)
    }

    /// Gives a held publication up.
    pub(super) fn cancel(&mut self, ticket: u64) {
        self.remove(ticket);
    }

    /// Publishes a retained document if it differs from what was published under this topic.
    pub(super) fn document(&mut self, topic: String, payload: Vec<u8>) {
        if self
            .documents
            .get(&topic)
            .is_some_and(|known| known.payload == payload)
        {
            return;
        }
        let known = self.documents.remove(&topic);
        self.queue_document(topic, payload, known.and_then(|known| known.ticket));
    }

    /// Forgets a document; returns whether there was one. Its topic must then be cleared.
    pub(super) fn forget_document(&mut self, topic: &str) -> bool {
        let Some(known) = self.documents.remove(topic) else {
            return false;
        };
        if let Some(ticket) = known.ticket {
            self.remove(ticket);
        }
        true
    }

    fn queue_document(&mut self, topic: String, payload: Vec<u8>, pending: Option<u64>) {
        // One that is on its way may arrive: the newer one follows it under a ticket of its own.
        if let Some(ticket) = pending.filter(|ticket| self.waits(*ticket)) {
            self.remove(ticket);
        }
        let ticket = self.ticket();
        let publication = Publication {
            topic: topic.clone(),
            payload: payload.clone(),
            retain: true,
            correlation: None,
            expiry_s: None,
            priority: Priority::Bulk,
        };
        self.insert(ticket, publication, Class::Document, true);
        let ticket = Some(ticket);
        self.documents.insert(topic, Document { payload, ticket });
    }

    fn waits(&self, ticket: u64) -> bool {
        self.waiting
            .get(&ticket)
            .is_some_and(|waiting| !waiting.in_flight)
    }

    /// The connection is up: documents go out again, then everything unconfirmed, in order.
    pub(super) fn up(&mut self, max_packet: Option<usize>) {
        self.land();
        self.is_up = true;
        self.max_packet = max_packet;
        for waiting in self.waiting.values_mut() {
            waiting.not_before = 0;
        }
        let settled: Vec<_> = self
            .documents
            .iter()
            .filter(|(_, document)| document.ticket.is_none())
            .map(|(topic, document)| (topic.clone(), document.payload.clone()))
            .collect();
        for (topic, payload) in settled {
            self.queue_document(topic, payload, None);
        }
    }

    /// The connection is down: nothing is in flight any more, and nothing can be acknowledged.
    pub(super) fn down(&mut self) {
        self.is_up = false;
        self.land();
        for waiting in self.waiting.values_mut() {
            waiting.acks.clear();
        }
    }

    /// What was in flight is due again.
    fn land(&mut self) {
        let aloft: Vec<_> = self
            .waiting
            .iter()
            .filter_map(|(ticket, waiting)| waiting.in_flight.then_some(*ticket))
            .collect();
        for ticket in aloft {
            if !self.drop_outdated(ticket)
                && let Some(waiting) = self.waiting.get_mut(&ticket)
            {
                waiting.in_flight = false;
                self.due.insert((waiting.publication.priority, ticket));
            }
        }
        self.in_flight = 0;
    }

    /// Gives up a document that a newer one, or nothing at all, has followed: sent again, it would
    /// come after it and stay with the broker.
    fn drop_outdated(&mut self, ticket: u64) -> bool {
        let is_outdated = self.waiting.get(&ticket).is_some_and(|waiting| {
            let known = self.documents.get(&waiting.publication.topic);
            waiting.class == Class::Document && known.and_then(|known| known.ticket) != Some(ticket)
        });
        if is_outdated {
            self.remove(ticket);
        }
        is_outdated
    }

    /// The broker has it. Returns what to remove from the store and what to acknowledge.
    pub(super) fn published(&mut self, ticket: u64) -> (Option<StoreOp>, Vec<AckToken>) {
        let Some(waiting) = self.remove(ticket) else {
            return (None, Vec::new());
        };
        if waiting.class == Class::Document
            && let Some(document) = self.documents.get_mut(&waiting.publication.topic)
            && document.ticket == Some(ticket)
        {
            document.ticket = None;
        }
        let delete = waiting.is_stored.then(|| StoreOp::Delete {
            tree: Tree::Outbox,
            key: ticket.to_be_bytes().to_vec(),
        });
        (
            delete.filter(|_| waiting.class == Class::Kept),
            waiting.acks,
        )
    }

    /// The broker did not take it: later again, or never if it may be dropped. Answers whether that is
    /// news: what must not be lost is tried for as long as it takes, and refused as often.
    pub(super) fn failed(&mut self, ticket: u64, is_temporary: bool, now_ms: u64) -> bool {
        if self.drop_outdated(ticket) {
            return false;
        }
        let Some(waiting) = self.waiting.get_mut(&ticket) else {
            return false;
        };
        if !waiting.in_flight {
            // The connection died first, and it is due again already.
            return false;
        }
        if !is_temporary && waiting.class == Class::Passing {
            self.dropped += 1;
            self.remove(ticket);
            return true;
        }
        waiting.in_flight = false;
        self.in_flight = self.in_flight.saturating_sub(1);
        let pause = (PAUSE_MS.0 << waiting.attempts.min(10)).min(PAUSE_MS.1);
        waiting.attempts = waiting.attempts.saturating_add(1);
        waiting.not_before = now_ms.saturating_add(pause);
        self.due.insert((waiting.publication.priority, ticket));
        waiting.attempts == 1
    }

    /// The next publication to hand over, if the connection has room for one.
    pub(super) fn flush(&mut self, now_ms: u64) -> Option<CloudAction> {
        while self.is_up && self.in_flight < IN_FLIGHT {
            let (priority, ticket) = self.next_due(now_ms)?;
            self.due.remove(&(priority, ticket));
            let Some(waiting) = self.waiting.get_mut(&ticket) else {
                continue;
            };
            let publication = &waiting.publication;
            let correlation = publication.correlation.as_ref().map_or(0, Vec::len);
            let size = OVERHEAD + publication.topic.len() + publication.payload.len() + correlation;
            if self.max_packet.is_some_and(|max| size > max) {
                // The broker would discard it in silence. Another connection may take more.
                waiting.not_before = u64::MAX;
                self.due.insert((priority, ticket));
                continue;
            }
            waiting.in_flight = true;
            self.in_flight += 1;
            let publication = publication.clone();
            return Some(CloudAction::Publish {
                ticket,
                topic: publication.topic,
                payload: publication.payload,
                retain: publication.retain,
                correlation: publication.correlation,
                expiry_s: publication.expiry_s,
                priority,
            });
        }
        None
    }

    fn next_due(&self, now_ms: u64) -> Option<(Priority, u64)> {
        let mut due = self.due.iter();
        due.find(|(_, ticket)| self.not_before(*ticket) <= now_ms)
            .copied()
    }

    fn not_before(&self, ticket: u64) -> u64 {
        self.waiting
            .get(&ticket)
            .map_or(0, |waiting| waiting.not_before)
    }

    /// When a publication that was refused may be tried again.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        let room = self.is_up && self.in_flight < IN_FLIGHT;
        let times = self.due.iter().map(|(_, ticket)| self.not_before(*ticket));
        times.min().filter(|at| room && *at != u64::MAX)
    }

    fn ticket(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        ticket
    }

    fn insert(&mut self, ticket: u64, publication: Publication, class: Class, is_ready: bool) {
        match class {
            Class::Kept => self.kept += 1,
            Class::Passing => self.passing += 1,
            Class::Document => {}
        }
        if is_ready {
            self.due.insert((publication.priority, ticket));
        }
        let waiting = Waiting {
            publication,
            class,
            is_ready,
            is_stored: is_ready,
            in_flight: false,
            not_before: 0,
            attempts: 0,
            acks: Vec::new(),
        };
        self.waiting.insert(ticket, waiting);
    }

    fn remove(&mut self, ticket: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&ticket)?;
        self.due.remove(&(waiting.publication.priority, ticket));
        match waiting.class {
            Class::Kept => self.kept = self.kept.saturating_sub(1),
            Class::Passing => self.passing = self.passing.saturating_sub(1),
            Class::Document => {}
        }
        if waiting.in_flight {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        Some(waiting)
    }
}

#[cfg(test)]
mod tests;
