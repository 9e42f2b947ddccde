//! Guests under QEMU with the real BlueZ: `tests/bench/`.

use super::Report;
use super::tests::run_all;
use crate::context::Context;
use crate::failure::Failure;
use crate::lane_log::LaneLog;
use crate::suite::{BENCH, Suite};

/// What the quick lane runs: the bench's own parts, what is said of a missing tool, the bench by hand, and one guest in
/// which one lock is paired and obeys while bluetoothd is killed.
const QUICK: [&str; 4] = [
    "lib",
    "test:missing_tools",
    "test:by_hand",
    "test:bluetoothd_killed",
];

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    let of = |target| Suite::of(context, BENCH, target, &[]);
    let suites = if context.full {
        of(None).into_iter().collect()
    } else {
        QUICK.iter().filter_map(|target| of(Some(target))).collect()
    };
    run_all(context, suites, log)
}
