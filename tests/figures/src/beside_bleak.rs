//! P01 over Bluetooth: the hub beside a bridge of bleak and paho in the same guest, which counts instructions.

use std::time::Duration;

use drawbridge_bench::{Clock, Scenario};

use crate::Failure;
use crate::figure::Figure;
use crate::told::samples;

/// Commands each way.
const COUNT: usize = 30;
/// What the hub's way may take, as a part of the bridge's.
const GOAL: f64 = 0.2;

const CHECKS: [&str; 9] = [
    "adapter_is_on",
    "taps_are_up",
    "echo_is_powered",
    "bridge_is_ready",
    "lock_is_powered",
    "hub_is_up",
    "owner_has_keys",
    "lock_is_claimed",
    "both_ways",
];

/// Boots the guest and prints what it told.
pub(crate) fn measure() -> Result<(), Failure> {
    let report = Scenario::new("figures_bridge")
        .with_python()
        .with("COUNT", COUNT)
        .with_program("drawbridge-figures", std::env::current_exe()?)
        .with_script("bridge.py", "/bench/bridge.py")
        .within(Duration::from_secs(1_800), Duration::from_secs(3_600))
        .on(Clock::Counted)
        .run()?;
    report.expect_in_house(&CHECKS);
    let of = |name: &str| samples(&report, &format!("{name}_way_us"), 1.0, COUNT);
    let (ours, bridge) = (of("hub")?, of("bridge")?);
    let limit = GOAL * bridge.p50();
    Figure::at_most(
        "P01",
        "over Bluetooth, p50",
        ours.p50(),
        "us",
        limit,
        ours.n(),
    )
    .against(bridge.p50())
    .goal_in_words(&format!("<= {GOAL}x of a bleak + paho bridge"))
    .with("p99", ours.p99())
    .with("bridge_p99", bridge.p99())
    .print();
    let spread = ours.p99() / ours.p50();
    Figure::at_most("P01", "over Bluetooth, p99/p50", spread, "x", 2.0, ours.n()).print();
    Ok(())
}
