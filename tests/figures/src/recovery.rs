//! P07: how soon the hub is back in service after bluetoothd, itself or the broker was killed, in a guest that counts
//! instructions. Service is a ready adapter, a lock's link as an app hears of it, and the hub's connection to the broker.

use std::time::Duration;

use drawbridge_bench::{Clock, Scenario, seed};

use crate::Failure;
use crate::figure::Figure;
use crate::told::samples;

/// Losses of each kind.
const COUNT: usize = 20;

const CHECKS: [&str; 9] = [
    "lock_is_powered",
    "hub_is_up",
    "owner_has_keys",
    "lock_is_claimed",
    "lock_is_bonded",
    "app_watches",
    "bluetoothd_comes_back",
    "hub_comes_back",
    "broker_comes_back",
];

/// Boots the guest and prints what it told.
pub(crate) fn measure() -> Result<(), Failure> {
    let report = Scenario::new("figures_recovery")
        .with("COUNT", COUNT)
        .with("SEED", seed())
        .within(Duration::from_secs(3_600), Duration::from_secs(3_600))
        .on(Clock::Counted)
        .run()?;
    report.expect_in_house(&CHECKS);
    let told = |name: &str| samples(&report, name, 1.0, COUNT);
    let bluetoothd = told("bluetoothd_is_back_ms")?;
    let (hub, hub_at_broker) = (told("hub_is_back_ms")?, told("hub_is_back_also_ms")?);
    for (part, back, goal) in [
        (
            "bluetoothd, from its return to a ready adapter, p99",
            bluetoothd,
            1_500.0,
        ),
        ("hub, from its start to the lock's link, p99", hub, 2_000.0),
        (
            "hub, from its start to the broker, p99",
            hub_at_broker,
            2_000.0,
        ),
    ] {
        Figure::at_most("P07", part, back.p99(), "ms", goal, back.n())
            .beside("1 to 15 s")
            .with("p50", back.p50())
            .print();
    }
    let broker = told("broker_is_back_ms")?;
    for (part, value, goal) in [
        ("broker, after 1 to 25 s away, p50", broker.p50(), 1_000.0),
        ("broker, after 1 to 25 s away, p99", broker.p99(), 5_000.0),
    ] {
        Figure::at_most("P07", part, value, "ms", goal, broker.n()).print();
    }
    Ok(())
}
