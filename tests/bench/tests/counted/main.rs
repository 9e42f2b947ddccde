//! Guests that count instructions: what they measure is the same whatever runs beside them, so they run two at a time.

mod faults;
mod floods;
mod link_cut;
mod many_locks;
