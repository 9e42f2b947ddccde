//! Claims about the daemon's adapters, shown from outside through their public interfaces.

mod control_socket;
mod lane;
mod service;
mod store_damage;
mod store_disk_full;
mod store_power_cut;
