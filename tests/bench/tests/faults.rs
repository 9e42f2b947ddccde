//! What goes wrong between the hub and its Bluetooth, and how soon it is right again, by the guest's clock.

use drawbridge_bench::{Clock, Report, Scenario, rounds};

/// F02: adopted again within 3 s.
const ADOPTED_MS: u64 = 3_000;

/// How long after `from` `to` was told, in ms.
fn took(report: &Report, from: &str, to: &str) -> u64 {
    let (from, to) = (report.value(from), report.value(to));
    to.saturating_sub(from)
}

// Guards: a hub that needs its adapter at boot, knows it by its number, or loses its broker with it.
#[test]
fn f02_adapter_removed_added_renumbered_or_absent_at_boot_is_adopted_by_address() {
    let rounds = rounds("f02_adapters", 3, 50);
    let scenario = Scenario::new("adapters")
        .with("ROUNDS", rounds)
        .on(Clock::Counted);
    let report = scenario.run().unwrap();
    let mut expected: Vec<String> = [
        "bus_is_up",
        "air_is_up",
        "broker_is_up",
        "hub_is_up_without_an_adapter",
        "absent_at_boot_is_adopted",
        "unplugged_for_renumbering_is_missed",
        "stranger_takes_the_number",
        "stranger_has_another_address",
        "renumbered_is_adopted",
        "stranger_is_left_alone",
        "broker_was_never_lost",
        "hub_was_never_restarted",
    ]
    .map(str::to_owned)
    .to_vec();
    for round in 1..=rounds {
        expected.push(format!("unplugged_{round}_is_missed"));
        expected.push(format!("plugged_in_{round}_is_adopted"));
    }
    report.expect_all(&expected);
    let names = (0..=rounds).map(|round| round.to_string());
    let times = names.chain(["renumbered".to_owned()]).map(|name| {
        let ms = took(&report, &format!("told_{name}"), &format!("ready_{name}"));
        assert!(ms <= ADOPTED_MS, "{name}: adopted after {ms} ms");
        ms
    });
    let slowest = times.max().unwrap();
    println!(
        "EVIDENCE f02: slowest adoption {slowest} ms after BlueZ told of the adapter, of {}",
        rounds + 2
    );
}
