//! The daemon put together: one process, one runtime, one task per adapter and one for the core.
//!
//! Between the core and each adapter are bounded channels. The core's task never waits for an
//! adapter: what an adapter cannot take at once comes back as a failure, so **a slow disk, a stalled
//! broker or a deaf lock never holds up the others**.

mod cloud;
mod control;
mod driver;
mod restore;
mod start;
mod storage;
mod wall;

pub use driver::AdapterEnded;
pub use start::{StartError, run};
