//! What goes wrong between the hub and its Bluetooth, and how soon it is right again, by the guest's clock.

use std::time::Duration;

use drawbridge_bench::{Clock, Scenario, rounds, seed};

/// F02: adopted again within 3 s.
const ADOPTED_MS: u64 = 3_000;

// Guards: a hub that needs its adapter at boot, knows it by its number, or loses its broker with it.
#[test]
fn f02_adapter_removed_added_mute_renumbered_or_absent_at_boot_is_adopted_by_address() {
    let rounds = rounds("f02_adapters", 3, 50);
    let scenario = Scenario::new("adapters")
        .with("ROUNDS", rounds)
        .within(
            Duration::from_secs(300 + 10 * rounds),
            Duration::from_secs(900 + 30 * rounds),
        )
        .on(Clock::Counted);
    let report = scenario.run().unwrap();
    let mut expected: Vec<String> = [
        "bus_is_up",
        "air_is_up",
        "broker_is_up",
        "Front_is_powered",
        "hub_is_up_without_an_adapter",
        "absent_at_boot_is_adopted",
        "owner_has_keys",
        "app_listens",
        "Front_is_claimed",
        "mute_is_noticed",
        "plugged_in_after_mute_is_adopted",
        "unplugged_for_renumbering_is_missed",
        "stranger_takes_the_number",
        "stranger_has_another_address",
        "renumbered_is_adopted",
        "stranger_is_left_alone",
        "hub_still_obeys",
        "broker_was_never_lost",
        "hub_was_never_restarted",
    ]
    .map(str::to_owned)
    .to_vec();
    for round in 1..=rounds {
        expected.push(format!("unplugged_{round}_is_missed"));
        expected.push(format!("plugged_in_{round}_is_adopted"));
    }
    report.expect(&expected);
    let names = (0..=rounds).map(|round| round.to_string());
    let others = ["mute", "renumbered"].map(str::to_owned);
    let times = names.chain(others).map(|name| {
        let ms = report.took(&format!("told_{name}"), &format!("ready_{name}"));
        assert!(ms <= ADOPTED_MS, "{name}: adopted after {ms} ms");
        ms
    });
    let slowest = times.max().unwrap();
    println!(
        "EVIDENCE f02: slowest adoption {slowest} ms after BlueZ told of the adapter, of {}",
        rounds + 3
    );
}

// Guards: a hub that hangs for the two minutes after which a call on a dead bus gives up, or keeps a dead session.
#[test]
fn f24_dbus_daemon_killed_is_reconnected_within_3_s() {
    let rounds = rounds("f24_buses", 2, 20);
    let scenario = Scenario::new("bus_restarted")
        .with("ROUNDS", rounds)
        .with("SEED", seed())
        .within(
            Duration::from_secs(300 + 30 * rounds),
            Duration::from_secs(900 + 60 * rounds),
        )
        .on(Clock::Counted);
    let report = scenario.run().unwrap();
    let mut expected: Vec<String> = [
        "hub_is_up",
        "adapter_is_ready",
        "broker_was_never_lost",
        "hub_was_never_restarted",
    ]
    .map(str::to_owned)
    .to_vec();
    for round in 1..=rounds {
        for what in [
            "loss_{}_is_noticed",
            "bus_{}_is_back",
            "return_{}_is_noticed",
        ] {
            expected.push(what.replace("{}", &round.to_string()));
        }
    }
    report.expect_in_house(&expected);
    for round in 1..=rounds {
        let ms = report.took(&format!("told_{round}"), &format!("ready_{round}"));
        assert!(ms <= 3_000, "round {round}: ready after {ms} ms");
        println!("EVIDENCE f24: ready {ms} ms after bluetoothd was on the new bus");
    }
}
