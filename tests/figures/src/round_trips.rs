//! P02: a round trip to a lock with our encryption against a plain client's, to the echo of the same simulated lock, with
//! as many bytes on the air, in a guest that counts instructions.
//!
//! RootCanal carries a packet at its next tick, some 10 ms each way, so that most of either time is the air's: the
//! difference of the two is printed besides, and is what the hub's way costs.

use std::time::Duration;

use drawbridge_bench::{Clock, Scenario};

use crate::Failure;
use crate::figure::Figure;
use crate::told::samples;

/// Round trips each way over each bearer.
const COUNT: usize = 1_000;
/// What the hub's way may take, as a multiple of the plain client's.
const GOAL: f64 = 1.3;

const CHECKS: [&str; 4] = [
    "echo_is_powered",
    "adapter_is_on",
    "round_trips_over_a_channel",
    "round_trips_over_gatt",
];

/// Boots the guest and prints what it told.
pub(crate) fn measure() -> Result<(), Failure> {
    let report = Scenario::new("figures_echo")
        .with("COUNT", COUNT)
        .with_program("drawbridge-figures", std::env::current_exe()?)
        .within(Duration::from_secs(1_200), Duration::from_secs(3_600))
        .on(Clock::Counted)
        .run()?;
    report.expect_in_house(&CHECKS);
    for (label, bearer) in [("channel", "CoC"), ("gatt", "GATT")] {
        let of = |name: &str| samples(&report, &format!("{label}_{name}_us"), 1.0, COUNT);
        let (ours, plain) = (of("sealed")?, of("plain")?);
        let bytes = report.value(&format!("{label}_bytes"));
        let part = format!("{bearer}, p50");
        let limit = GOAL * plain.p50();
        Figure::at_most("P02", &part, ours.p50(), "us", limit, ours.n())
            .against(plain.p50())
            .goal_in_words(&format!("<= {GOAL}x of a plain client"))
            .with("p99", ours.p99())
            .with("plain_p99", plain.p99())
            .with("bytes", bytes)
            .print();
        let cost = ours.p50() - plain.p50();
        Figure::information(
            "P02",
            &format!("{bearer}, what ours takes more"),
            cost,
            "us",
            ours.n(),
        )
        .print();
    }
    Ok(())
}
