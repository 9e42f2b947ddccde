//! P03, P04 and P07's link: commands over BlueZ, the kernel and RootCanal, in a guest that counts instructions.
//!
//! Two things that a real lock has are missing there, and are put in for the figures that have a goal. RootCanal has no
//! connection intervals: each packet is held back for a whole one, the longest that it can wait for its turn. And the
//! simulated lock's processor checks a signature in no time: what the real one takes is added.

use std::time::Duration;

use drawbridge_bench::{Clock, Scenario};

use crate::Failure;
use crate::figure::Figure;
use crate::samples::Samples;
use crate::told::samples;

/// Errands of each kind.
const COUNT: usize = 50;
/// The connection interval that the goals speak of, in ms.
const INTERVAL_MS: u64 = 30;
/// Between two adverts, likewise.
const ADVERT_MS: u64 = 500;
/// And what a lock does by itself, in ms.
const LOCK_ADVERT_MS: u64 = 100;
/// A signature check on the lock's processor at 64 MHz, in ms.
const VERIFY_MS: f64 = 46.0;
/// What the motor takes in the guest, in ms.
const MOTOR_MS: f64 = 150.0;

const CHECKS: [&str; 13] = [
    "lock_is_powered",
    "hub_is_up",
    "owner_has_keys",
    "lock_is_claimed",
    "lock_is_bonded",
    "commands_over_a_link",
    "packets_are_delayed",
    "commands_over_a_slow_link",
    "commands_over_a_lost_link",
    "packets_are_no_longer_delayed",
    "lock_is_back",
    "losses_of_the_link",
    "hub_was_never_restarted",
];

/// Boots the guest and prints what it told.
pub(crate) fn measure() -> Result<(), Failure> {
    let report = Scenario::new("figures_commands")
        .with("COUNT", COUNT)
        .with("INTERVAL_MS", INTERVAL_MS)
        .with("ADVERT_MS", ADVERT_MS)
        .with_program("drawbridge-figures", std::env::current_exe()?)
        .within(Duration::from_secs(2_400), Duration::from_secs(3_600))
        .on(Clock::Counted)
        .run()?;
    report.expect_in_house(&CHECKS);
    let interval: f64 = report.text("interval").parse()?;
    let motor = |label: &str| samples(&report, &format!("{label}_motor_us"), 1e3, COUNT);
    let done = |label: &str| samples(&report, &format!("{label}_done_us"), 1e3, COUNT);
    for (id, part, times) in [
        ("P03", "warm, to motor start, no interval", motor("warm")?),
        (
            "P03",
            "warm, to the signed outcome, no interval",
            done("warm")?,
        ),
    ] {
        Figure::information(id, part, times.p50(), "ms", times.n())
            .with("p99", times.p99())
            .with("interval_asked_for_ms", interval)
            .print();
    }
    let (slow, slow_done) = (motor("slow")?, done("slow")?);
    modelled("P03", "warm, to motor start, p50", &slow, slow.p50(), 120.0);
    let outcome = MOTOR_MS + 150.0;
    modelled(
        "P03",
        "warm, to the signed outcome, p50",
        &slow_done,
        slow_done.p50(),
        outcome,
    );
    let (cold, cold_done) = (motor("cold")?, done("cold")?);
    modelled("P04", "cold, to motor start, p50", &cold, cold.p50(), 500.0);
    modelled(
        "P04",
        "cold, to motor start, p99",
        &cold,
        cold.p99(),
        1_200.0,
    );
    Figure::information(
        "P04",
        "cold, to the signed outcome",
        cold_done.p50(),
        "ms",
        cold_done.n(),
    )
    .with("p99", cold_done.p99())
    .print();
    let back = samples(&report, "link_back_us", 1e3, COUNT)?;
    Figure::at_most("P07", "link lost, p99", back.p99(), "ms", 500.0, back.n())
        .beside("1 to 15 s")
        .with("p50", back.p50())
        .with("advert_every_ms", LOCK_ADVERT_MS)
        .print();
    Ok(())
}

/// A time to which the lock's processor is added.
fn modelled(id: &'static str, part: &str, times: &Samples, value: f64, goal: f64) {
    Figure::at_most(id, part, value + VERIFY_MS, "ms", goal, times.n())
        .with("measured_ms", value)
        .with("p50", times.p50())
        .with("p99", times.p99())
        .with("lock_processor_ms", VERIFY_MS)
        .with("interval_ms", INTERVAL_MS)
        .print();
}
