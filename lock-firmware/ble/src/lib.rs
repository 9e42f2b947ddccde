//! The lock's end of Bluetooth LE: adverts, GATT, the L2CAP channel, bonds; over any HCI controller.
//!
//! What is said on a link is the lock core's matter, handed in and out through [`Port`]. This crate
//! knows no message of the protocol but the hello that can be read without a link.
//!
//! | module | holds |
//! | --- | --- |
//! | [`port`] | what the lock above offers: a beacon, links, bonds to keep |
//! | [`radio`] | all of it running, until the controller fails |
//! | [`identity`] | the identity address and the key behind the changing addresses |
//! | [`bond`] | bonds as bytes, to be kept over a restart |
//! | `guard` | checks the form of whatever the controller says before the host sees it |
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

#[cfg(test)]
extern crate std;

mod advert;
mod attributes;
pub mod bond;
mod connection;
mod guard;
pub mod identity;
mod link;
pub mod port;
pub mod radio;
mod seats;

pub use bond::{Bond, MAX_BONDS};
pub use identity::Identity;
pub use port::{Inbound, Outbound, Port};
pub use radio::{RadioError, Setup, run};
