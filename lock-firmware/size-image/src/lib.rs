//! The board under the size image: everything that is not the lock.
//!
//! It is linked into both programs, so that the difference between them is what the lock needs.
//! Inputs come over a serial line, so nothing about them is known when the image is built.
//!
//! | module | holds |
//! | --- | --- |
//! | [`serial`] | the line to whoever plays radio, bolt and button |
//! | [`nor`] | flash, as a window of memory |
//! | [`meter`] | instructions and stack of one input |
//! | [`serve`] | the loop: an input in, the outputs and what they cost out |
#![no_std]

pub mod meter;
pub mod nor;
pub mod serial;
pub mod serve;
