//! The lock: everything that decides, without a board, a radio, a clock or a heap.
//!
//! Time, randomness and flash are handed in, so that one and the same code runs on the chip and on Linux.
//!
//! [`Lock`] is the whole of it. What it stands on:
//!
//! | module | holds |
//! | --- | --- |
//! | [`flash`] | what a board's flash must offer, and the model of it that loses power on request |
//! | [`store`] | the critical records: keys, owner, floors, users; a batch is whole or absent |
//! | [`log_ring`] | the lock's history, freed only when somebody who may has asked for it |
#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

#[cfg(feature = "std")]
extern crate std;

mod actuation;
mod admission;
mod answers;
mod back_off;
mod boot;
mod decided;
pub mod factory;
pub mod flash;
mod grants;
mod history;
mod intents;
mod left_out;
mod links;
mod lock;
pub mod log_ring;
mod output;
mod owner;
mod pairing;
mod peers;
mod requests;
pub mod sensors;
mod sessions;
pub mod store;
mod window;

pub use back_off::LONGEST_WAIT_MS;
pub use boot::BootError;
pub use factory::{Factory, Settings};
pub use links::{LINKS, LinkId};
pub use lock::{Lock, RESET_HOLD_MS, Status};
pub use output::Output;
pub use sensors::{Motor, Sensors};
pub use window::WINDOW_MS;
