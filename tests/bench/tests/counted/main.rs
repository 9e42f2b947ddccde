//! Guests that count instructions: what they measure is the same whatever runs beside them, so they run two at a time.

// Tests begin in the order of their names: what takes longest is first, and the others run beside it.
mod crowd;
mod faults;
mod floods;
mod link_cut;
