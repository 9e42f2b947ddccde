//! The lock: everything that decides, without a board, a radio, a clock or a heap.
//!
//! Time, randomness and flash are handed in, so that one and the same code runs on the chip and on Linux.
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

pub mod flash;
pub mod log_ring;
pub mod store;
