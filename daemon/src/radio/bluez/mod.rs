//! Bluetooth adapters through BlueZ.

pub mod probe;
