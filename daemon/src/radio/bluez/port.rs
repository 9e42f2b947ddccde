//! The adapters that are ready, and whose turn it is on each.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bluer::{Adapter, Address as Bdaddr, AddressType};
use drawbridge_protocol::ids::LockId;
use tokio::sync::{Mutex as Turn, MutexGuard as TurnGuard, watch};

/// An adapter that is switched on. **Whoever has its turn either connects one link or listens:
/// controllers do not do both well, and none makes two connections at once.**
#[derive(Debug)]
pub(super) struct Port {
    pub(super) address: Bdaddr,
    pub(super) kind: AddressType,
    pub(super) adapter: Adapter,
    turn: Turn<()>,
    connects: watch::Sender<usize>,
}

impl Port {
    pub(super) fn new(adapter: Adapter, address: Bdaddr, kind: AddressType) -> Self {
        Self {
            address,
            kind,
            adapter,
            turn: Turn::new(()),
            connects: watch::Sender::new(0),
        }
    }

    /// Waits for the turn to connect; a scanner makes room.
    pub(super) async fn turn_to_connect(&self) -> ConnectTurn<'_> {
        self.connects.send_modify(|count| *count += 1);
        let wish = Wish(&self.connects);
        ConnectTurn {
            _turn: self.turn.lock().await,
            _wish: wish,
        }
    }

    /// Waits for the turn to listen: nobody wants to connect.
    pub(super) async fn turn_to_listen(&self) -> TurnGuard<'_, ()> {
        loop {
            let mut connects = self.connects.subscribe();
            // The sender is in `self`.
            drop(connects.wait_for(|count| *count == 0).await);
            let turn = self.turn.lock().await;
            if *self.connects.borrow() == 0 {
                return turn;
            }
        }
    }

    /// Waits until somebody wants to connect.
    pub(super) async fn connect_is_wanted(&self) {
        let mut connects = self.connects.subscribe();
        drop(connects.wait_for(|count| *count > 0).await);
    }
}

/// The turn; dropped, it is the next one's.
pub(super) struct ConnectTurn<'a> {
    _turn: TurnGuard<'a, ()>,
    _wish: Wish<'a>,
}

struct Wish<'a>(&'a watch::Sender<usize>);

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// All ports by address, and where each lock was linked last.
#[derive(Debug)]
pub(super) struct Ports {
    ready: Mutex<BTreeMap<Bdaddr, Arc<Port>>>,
    count: watch::Sender<usize>,
    linked: Mutex<HashMap<LockId, Bdaddr>>,
    doors: Mutex<HashMap<Bdaddr, Arc<Turn<()>>>>,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            ready: Mutex::default(),
            count: watch::Sender::new(0),
            linked: Mutex::default(),
            doors: Mutex::default(),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds one of these panics half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ports {
    pub(super) fn port(&self, address: Bdaddr) -> Option<Arc<Port>> {
        locked(&self.ready).get(&address).cloned()
    }

    /// Its port, if the adapter has this name now.
    pub(super) fn named(&self, name: &str) -> Option<Arc<Port>> {
        let ready = locked(&self.ready);
        ready
            .values()
            .find(|port| port.adapter.name() == name)
            .cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Port>> {
        locked(&self.ready).values().cloned().collect()
    }

    /// How many are ready, for whoever waits for a change.
    pub(super) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    pub(super) fn open(&self, port: &Arc<Port>) {
        let mut ready = locked(&self.ready);
        ready.insert(port.address, Arc::clone(port));
        self.count.send_replace(ready.len());
    }

    /// Takes this very port away; a newer one of the same address stays.
    pub(super) fn close(&self, port: &Arc<Port>) {
        let mut ready = locked(&self.ready);
        if ready
            .get(&port.address)
            .is_some_and(|there| Arc::ptr_eq(there, port))
        {
            ready.remove(&port.address);
        }
        self.count.send_replace(ready.len());
    }

    /// Waits until this very port is ready no longer.
    pub(super) async fn closed(&self, port: &Arc<Port>) {
        let mut changed = self.count();
        while self
            .port(port.address)
            .is_some_and(|there| Arc::ptr_eq(&there, port))
        {
            // The sender is in `self`.
            drop(changed.changed().await);
        }
    }

    /// The lock is linked here now; returns where it was before, if that was elsewhere.
    pub(super) fn linked(&self, lock: LockId, at: Bdaddr) -> Option<Bdaddr> {
        locked(&self.linked)
            .insert(lock, at)
            .filter(|before| *before != at)
    }

    pub(super) fn unlinked(&self, lock: LockId) {
        locked(&self.linked).remove(&lock);
    }

    /// One link at a time to an address: the next waits until the last is really closed.
    pub(super) fn door(&self, device: Bdaddr) -> Arc<Turn<()>> {
        let mut doors = locked(&self.doors);
        // Addresses rotate; those that nobody waits at are not kept.
        doors.retain(|_, door| Arc::strong_count(door) > 1);
        Arc::clone(doors.entry(device).or_default())
    }
}
