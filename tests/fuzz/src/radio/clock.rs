//! The host's clock. A program has one, and cargo gives all of a build the same: in the fuzzer's it goes when it is
//! told to, and in the workspace's, for the simulated lock's sake, by itself.

use embassy_time::Duration;

/// A new life begins, and nothing of the last one's waits.
pub(super) fn begin() {
    #[cfg(feature = "virtual-time")]
    embassy_time::MockDriver::get().reset();
}

/// A while passes in which nothing comes. Where time is real, none does: the host's longest patience is too long to wait for.
pub(super) fn leap(by: Duration) {
    #[cfg(feature = "virtual-time")]
    embassy_time::MockDriver::get().advance(by);
    #[cfg(not(feature = "virtual-time"))]
    let _ = by;
}

/// Waits, whatever it takes.
pub(super) fn wait(by: Duration) {
    #[cfg(feature = "virtual-time")]
    leap(by);
    #[cfg(not(feature = "virtual-time"))]
    std::thread::sleep(std::time::Duration::from_micros(by.as_micros()));
}
