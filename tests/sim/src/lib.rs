//! The seeded simulator: the hub's core, three locks' cores, air, broker, disk, clock and users in
//! one process on virtual time.
//!
//! | part | what it is |
//! | --- | --- |
//! | [`schedule`] | everything that is going to happen, drawn from a seed |
//! | `world` | both cores and what is around them, on one clock |
//! | `judge` | the invariants I1 to I7, looked at after each step |
//! | [`run`](mod@run), [`shrink`](mod@shrink) | one run; a failing one made short |
//! | [`house`], [`dice`], [`lane`] | parts that the tests of single faults use, too |
//!
//! What is modelled, and what is not: `docs/decisions/0007-the-simulator.md`.

pub mod dice;
pub mod house;
mod judge;
pub mod lane;
pub mod run;
pub mod schedule;
pub mod shrink;
mod tally;
mod world;

pub use judge::Violation;
pub use tally::Tally;
