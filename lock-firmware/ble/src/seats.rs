//! Who holds a place, and for whom the next one is (S14).

use core::cell::Cell;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;

/// Links at once.
pub(crate) const LINKS: usize = 2;

/// The places of all links.
pub(crate) struct Seats {
    taken: Cell<usize>,
    strangers: Cell<usize>,
    changed: Signal<NoopRawMutex, ()>,
}

impl Seats {
    pub(crate) const fn new() -> Self {
        Self {
            taken: Cell::new(0),
            strangers: Cell::new(0),
            changed: Signal::new(),
        }
    }

    /// A newcomer's, who is a stranger until he shows his bond or proves himself to the lock.
    pub(crate) fn take(&self) -> Seat<'_> {
        self.taken.set(self.taken.get() + 1);
        self.count_strangers(1);
        Seat {
            seats: self,
            is_strangers: Cell::new(true),
        }
    }

    /// Whether nobody else can connect.
    pub(crate) fn is_crowded(&self) -> bool {
        self.taken.get() >= LINKS
    }

    /// Whether a stranger sits here now: the place that is left is for a paired peer.
    pub(crate) fn look(&self) -> bool {
        self.changed.reset();
        self.strangers.get() > 0
    }

    /// Ends when a stranger came, went or was none, since [`Self::look`]. For one at a time.
    pub(crate) async fn changed(&self) {
        self.changed.wait().await;
    }

    fn count_strangers(&self, change: isize) {
        let strangers = self.strangers.get().saturating_add_signed(change);
        self.strangers.set(strangers);
        self.changed.signal(());
    }
}

/// A place that is taken, until it is dropped.
pub(crate) struct Seat<'a> {
    seats: &'a Seats,
    is_strangers: Cell<bool>,
}

impl Seat<'_> {
    /// Who sits here is no stranger.
    pub(crate) fn recognise(&self) {
        if self.is_strangers.replace(false) {
            self.seats.count_strangers(-1);
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.recognise();
        let taken = self.seats.taken.get().saturating_sub(1);
        self.seats.taken.set(taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S14. Guards: a stranger counted for ever, or twice, which would close the lock to all but bonded peers.
    #[test]
    fn s14_stranger_counts_until_he_is_known_or_gone() {
        let seats = Seats::new();
        assert!(!seats.look() && !seats.changed.signaled());
        let (first, second) = (seats.take(), seats.take());
        assert!(seats.is_crowded() && seats.look());
        first.recognise();
        first.recognise();
        assert!(seats.changed.signaled() && seats.look());
        drop(second);
        assert!(seats.changed.signaled() && !seats.look() && !seats.is_crowded());
        drop(first);
        assert!(!seats.look());
    }
}
