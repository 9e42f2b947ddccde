//! Guests under QEMU in which the real hub meets real locks over the real BlueZ and the real kernel.
//!
//! No special hardware is needed. A guest is a small home hub: Debian's kernel, D-Bus, bluetoothd, mosquitto, RootCanal as
//! the air, our programs, and a script of `tests/bench/guest/` that says what happens. It is built once and kept outside
//! the repository; it says on its serial console what it saw, and the test on the host judges that.
//!
//! `tests/bench/run --list` names the scenarios, `tests/bench/run NAME` runs one, `tests/bench/run --shell` lets you look
//! around.

mod archive;
pub mod capture;
mod error;
mod full;
mod guest;
mod house;
mod lane;
mod machine;
mod proof;
mod report;
mod scenario;

pub use error::BenchError;
pub use full::Suite;
pub use guest::here;
pub use lane::{of_lane, rounds, seed, told};
pub use machine::Clock;
pub use proof::{ended_in_the_truth, signed, whole_log};
pub use report::Report;
pub use scenario::{Scenario, shell};
