//! Which publishes are in flight, under which packet id.
//!
//! The MQTT library gives out packet ids 1..=max in a circle, and when the next id is still in use
//! it parks the publish in a state from which a failed PUBACK never frees it. So we count along
//! and hand it a publish only when the next id is free.
//!
//! Call [`Window::open`] with the broker's limit, [`Window::skip`] for each SUBSCRIBE (it uses an
//! id), [`Window::send`] before each publish, [`Window::acked`] on each PUBACK.
//!
//! **At most one publish holds a packet id, and each ticket leaves the window exactly once.**

use tokio::time::Instant;

/// The library's own table; ours stays one below, so that its gate never closes and our PUBACKs
/// are never stuck behind it.
pub(super) const LIBRARY_LIMIT: u16 = 16;

/// Slots that telemetry leaves free for urgent messages.
const RESERVED: usize = 4;

/// Bytes of telemetry that may be in flight: one slow link must not put 64 KiB before a command's
/// answer more than once.
const TELEMETRY_BYTES: usize = 64 * 1024;

/// Whose publish it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The core's, by its ticket.
    Ticket(u64),
    /// The retained `online` or `offline`.
    State,
    /// The self-addressed message.
    Live,
}

#[derive(Debug, Clone)]
struct Flight {
    owner: Owner,
    since: Instant,
    telemetry_bytes: usize,
}

#[derive(Debug)]
pub(super) struct Window {
    slots: Vec<Option<Flight>>,
    last: u16,
}

impl Window {
    /// `receive_max` as the broker gave it in CONNACK.
    pub(super) fn open(receive_max: u16) -> Self {
        let max = receive_max.clamp(1, LIBRARY_LIMIT);
        Self {
            slots: vec![None; usize::from(max)],
            last: 0,
        }
    }

    fn max(&self) -> u16 {
        u16::try_from(self.slots.len()).unwrap_or(LIBRARY_LIMIT)
    }

    /// As the library counts: back to the start after `max`.
    fn next(&self) -> u16 {
        self.last + 1
    }

    fn step(&mut self) {
        let next = self.next();
        self.last = if next == self.max() { 0 } else { next };
    }

    fn busy(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// A packet that uses an id without staying in flight.
    pub(super) fn skip(&mut self) {
        self.step();
    }

    /// Whether an urgent publish can go out now.
    pub(super) fn has_room(&self) -> bool {
        let limit = self.slots.len().saturating_sub(1).max(1);
        let next_free = self
            .slots
            .get(usize::from(self.last))
            .is_some_and(Option::is_none);
        self.busy() < limit && next_free
    }

    /// Whether telemetry can go out now.
    pub(super) fn has_room_for_telemetry(&self) -> bool {
        let limit = self.slots.len().saturating_sub(1 + RESERVED).max(1);
        let bytes: usize = self.slots.iter().flatten().map(|f| f.telemetry_bytes).sum();
        self.has_room() && self.busy() < limit && bytes < TELEMETRY_BYTES
    }

    /// Takes the next packet id; `None` when there is no room.
    pub(super) fn send(
        &mut self,
        owner: Owner,
        telemetry_bytes: usize,
        now: Instant,
    ) -> Option<u16> {
        if !self.has_room() {
            return None;
        }
        let id = self.next();
        let slot = self.slots.get_mut(usize::from(id) - 1)?;
        *slot = Some(Flight {
            owner,
            since: now,
            telemetry_bytes,
        });
        self.step();
        Some(id)
    }

    /// The owner of an acknowledged packet id; `None` when it was not in flight.
    pub(super) fn acked(&mut self, id: u16) -> Option<Owner> {
        let slot = self.slots.get_mut(usize::from(id.checked_sub(1)?))?;
        slot.take().map(|flight| flight.owner)
    }

    /// When the oldest publish in flight was sent.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.slots.iter().flatten().map(|flight| flight.since).min()
    }

    /// Empties the window.
    pub(super) fn abandon(&mut self) -> Vec<Owner> {
        self.slots
            .iter_mut()
            .filter_map(|slot| slot.take().map(|flight| flight.owner))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(window: &mut Window, mut ticket: u64) -> Vec<u16> {
        let mut ids = Vec::new();
        while let Some(id) = window.send(Owner::Ticket(ticket), 0, Instant::now()) {
            ids.push(id);
            ticket += 1;
        }
        ids
    }

    // Guards (F07): in-flight full. A library whose gate is closed sends no PUBACK either.
    #[test]
    fn f07_one_library_slot_always_stays_free() {
        let mut window = Window::open(u16::MAX);
        assert_eq!(fill(&mut window, 0).len(), usize::from(LIBRARY_LIMIT) - 1);
        assert_eq!(fill(&mut Window::open(1), 0).len(), 1);
    }

    // Guards (F07): acks out of order made the library wait for an id that a failed PUBACK had
    // already given back.
    #[test]
    fn f07_next_id_in_use_holds_the_publish_back() {
        let mut window = Window::open(4);
        assert_eq!(fill(&mut window, 0), [1, 2, 3]);
        assert_eq!(window.acked(2), Some(Owner::Ticket(1)));
        assert_eq!(fill(&mut window, 10), [4]);
        assert!(!window.has_room(), "id 1 is still in flight");
        assert_eq!(window.acked(3), Some(Owner::Ticket(2)));
        assert!(!window.has_room(), "id 1 is still in flight");
        assert_eq!(window.acked(1), Some(Owner::Ticket(0)));
        assert_eq!(fill(&mut window, 20), [1, 2]);
    }

    // Guards: a PUBACK for nothing must not be taken for somebody's.
    #[test]
    fn each_ticket_leaves_once() {
        let mut window = Window::open(4);
        assert_eq!(fill(&mut window, 0), [1, 2, 3]);
        assert_eq!(window.acked(1), Some(Owner::Ticket(0)));
        assert_eq!(window.acked(1), None);
        assert_eq!(window.acked(0), None);
        assert_eq!(window.acked(999), None);
        assert_eq!(window.abandon(), [Owner::Ticket(1), Owner::Ticket(2)]);
        assert_eq!(window.abandon(), []);
    }

    // Guards (F19): a flood of telemetry must leave room for a command's answer.
    #[test]
    fn f19_telemetry_leaves_slots_and_bytes_for_urgent_messages() {
        let mut window = Window::open(16);
        let mut sent = 0;
        while window.has_room_for_telemetry() {
            window.send(Owner::Ticket(sent), 100, Instant::now());
            sent += 1;
        }
        assert_eq!(sent, 11);
        assert!(window.has_room());

        let mut window = Window::open(16);
        window.send(Owner::Ticket(0), TELEMETRY_BYTES, Instant::now());
        assert!(!window.has_room_for_telemetry());
        assert!(window.has_room());
    }
}
