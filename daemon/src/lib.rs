//! The hub: one daemon that carries signed commands between a broker and the locks nearby, and the
//! command line that goes with it.
//!
//! Three rings: [`core`] is pure machines over `drawbridge-protocol`; the adapters around it
//! ([`radio`], [`cloud`], [`store`], [`control`]) are the only ones that touch the world; and
//! [`supervisor`] puts them together.

pub mod cli;
pub mod clock;
pub mod cloud;
pub mod config;
pub mod control;
pub mod core;
pub mod error_chain;
pub mod journal;
pub mod means;
pub mod owner;
pub mod radio;
pub mod readiness;
pub mod store;
pub mod strict_json;
pub mod supervisor;
