//! The hub as a service: the unit and its sandbox, the users of bus and socket, the package and what it does to a system.
//!
//! No release build and no running systemd is needed. What a booted system shows is shown by the bench.

mod bus;
mod install;
mod package;
mod sandbox;
mod unit;
