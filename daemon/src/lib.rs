//! drawbridge-daemon.

pub mod store;
