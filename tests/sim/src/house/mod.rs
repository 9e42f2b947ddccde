//! What stands around the two cores: the lock's body and flash, the hub's disk, the broker, and
//! the people who sign. The tests of single faults use these parts, too.

pub mod auditor;
pub mod broker;
pub mod chip;
pub mod disk;
pub mod door;
pub mod owner;
