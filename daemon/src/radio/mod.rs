//! What carries links: adapters between the hub's core and some air.
//!
//! An adapter is told what to do by [`RadioAction`]s and tells what happened by [`RadioEvent`]s,
//! over bounded channels. Its contract: every `Connect` is answered by exactly one `LinkUp` or
//! `ConnectFailed`; every `LinkUp` is followed by exactly one `LinkDown`; packets of a link keep
//! their order and come only between the two. **Nothing that one lock does or fails to do delays
//! another lock's packets.**

#[cfg(feature = "bluez")]
pub mod bluez;
mod boundary;
pub mod virtual_air;

pub use boundary::{Address, LinkFault, LinkId, RadioAction, RadioEvent};
