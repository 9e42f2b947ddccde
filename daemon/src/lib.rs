//! drawbridge-daemon.

pub mod cli;
pub mod clock;
pub mod cloud;
pub mod config;
pub mod control;
pub mod journal;
pub mod owner;
pub mod radio;
pub mod readiness;
pub mod store;
pub mod strict_json;
