//! Guests under QEMU with the real BlueZ: `tests/bench/`.

use super::Report;
use super::tests::run_all;
use crate::context::Context;
use crate::failure::Failure;
use crate::lane_log::LaneLog;
use crate::suite::{BENCH, Suite};

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    let suite = Suite::of(context, BENCH, None, &[]);
    run_all(context, suite.into_iter().collect(), log)
}
