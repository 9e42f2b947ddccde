//! All that a hub, a lock, a phone and an owner say to each other: bytes to meaning and back.
//!
//! No I/O, no clock, no heap; randomness is an argument. `PROTOCOL.md` beside this crate is the
//! specification, with worked bytes that a test parses. The modules, from the wire inwards:
//!
//! | layer | modules |
//! | --- | --- |
//! | link | [`frame`], [`link_message`], [`hello`], [`beacon`] |
//! | session | [`noise`], [`session`], [`psk`] |
//! | inside the session | [`tunnel`] |
//! | signed statements | [`cose`], [`grant`], [`command`], [`claim`], [`receipt`], [`session_info`], [`outcome`], [`report`], [`log_record`], [`audit_ack`] |
//! | on paper | [`qr`], [`ticket`], [`secret`] |
//! | beside them | [`bucket`], [`entropy`] |
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

#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod audit_ack;
pub mod beacon;
pub mod bucket;
pub mod claim;
pub mod codec;
pub mod command;
pub mod cose;
pub mod entropy;
pub mod frame;
pub mod gatt;
pub mod grant;
pub mod hello;
pub mod ids;
pub mod keys;
pub mod link_message;
pub mod log_record;
mod mac;
#[cfg(any(feature = "responder", feature = "initiator"))]
pub mod noise;
pub mod outcome;
pub mod psk;
pub mod qr;
pub mod reason;
pub mod receipt;
pub mod report;
pub mod secret;
pub mod session;
pub mod session_info;
pub mod ticket;
pub mod tunnel;
pub mod version;
