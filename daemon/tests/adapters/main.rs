//! Claims about the daemon's adapters, shown from outside through their public interfaces.

mod lane;
mod store_damage;
mod store_disk_full;
mod store_power_cut;
