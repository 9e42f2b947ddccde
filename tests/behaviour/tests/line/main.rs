//! The whole line in one process: the hub's core, the lock's core, and models of broker, store, air,
//! bolt and clock between them. Nothing waits, and a run is the same for the same seed.

mod capture;
mod dropped_acknowledgements;
mod duplicate_reordered_late;
mod faults;
mod line;
mod power_lost;
mod replay;
mod same_bytes_twice;
mod sender;
mod shows_nothing;
mod wires;
