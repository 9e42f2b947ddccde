//! The simulated lock, from outside: over its air, its control socket and its files.

mod air_peer;
mod air_wire;
mod dead_or_alive;
mod faults;
mod hostile_bytes;
mod lock_process;
mod owner;
mod power_cuts;
