//! drawbridge-daemon.

pub mod clock;
pub mod cloud;
pub mod config;
pub mod control;
pub mod core;
pub mod journal;
pub mod radio;
pub mod readiness;
pub mod store;
pub mod strict_json;
