//! The real binary `drawbridge`, run as a user runs it, against a hub that the test plays.

mod broker;
mod errors;
mod help;
mod hub;
mod journey;
mod lock;
mod run;
