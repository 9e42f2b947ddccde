//! The hub as a service: installed from its package on the oldest and the newest Debian, run by systemd.

mod three_locks;

use std::time::Duration;

use drawbridge_bench::{Clock, Scenario, Suite};
use three_locks::LOCKS;

/// Milliseconds within which systemd has the hub back after SIGKILL.
const BACK_MS: u64 = 2_000;

const JUDGED: [&str; 11] = [
    "package_is_installed",
    "service_is_active",
    "status_tells_that_it_is_active",
    "journal_has_our_fields",
    "member_asks_status",
    "member_asks_doctor",
    "nobody_is_refused_at_the_socket",
    "nobody_is_refused_by_the_bus",
    "hub_may_restart_bluetooth",
    "hub_may_restart_nothing_else",
    "member_may_not_restart_bluetooth",
];

fn installed(suite: Suite, gatt_only: bool) {
    let report = Scenario::new("three_locks")
        .with("GATT_ONLY", gatt_only)
        .within(Duration::from_secs(600), Duration::from_secs(1_200))
        .installed_on(suite)
        .run()
        .unwrap();
    let mut expected = three_locks::expected(&LOCKS);
    expected.extend(JUDGED.map(str::to_owned));
    report.expect_in_house(&expected);
    three_locks::judge(&report, &LOCKS);
    let exposure: f64 = report.text("exposure").parse().unwrap();
    println!("EVIDENCE systemd-analyze security: {exposure}");
    assert!(exposure <= 1.4, "{exposure}");
    let channels = report.value("channels");
    assert_eq!(channels == 0, gatt_only, "{channels} links over channels");
}

// Guards (S24): a package that installs and a hub that its own sandbox, user or bus policy keeps from its work.
#[test]
fn s24_hub_installed_on_trixie_pairs_and_commands_three_locks_and_refuses_nobody() {
    installed(Suite::Trixie, false);
}

// Guards: the oldest BlueZ that is supported, on which nobody tries what a new version allows.
#[test]
fn s24_hub_installed_on_bookworm_pairs_and_commands_three_locks_and_refuses_nobody() {
    installed(Suite::Bookworm, false);
}

#[test]
fn hub_installed_on_trixie_commands_three_locks_over_gatt_alone() {
    installed(Suite::Trixie, true);
}

#[test]
fn hub_installed_on_bookworm_commands_three_locks_over_gatt_alone() {
    installed(Suite::Bookworm, true);
}

/// SIGKILL three times; by the guest's clock, in which one instruction takes a nanosecond.
fn killed(suite: Suite) {
    let report = Scenario::new("service_killed")
        .within(Duration::from_secs(600), Duration::from_secs(2_400))
        .on(Clock::Counted)
        .installed_on(suite)
        .run()
        .unwrap();
    let house = ["bus_is_up", "air_is_up", "broker_is_up", "hub_is_up"];
    let mut expected: Vec<String> = house
        .iter()
        .chain(&JUDGED)
        .map(|&name| name.into())
        .collect();
    for round in 1..=3 {
        expected.push(format!("hub_is_back_after_kill_{round}"));
        expected.push(format!("hub_reaches_the_broker_after_kill_{round}"));
    }
    report.expect(&expected);
    for round in 1..=3 {
        let back = report.value(&format!("back_ms_{round}"));
        println!("EVIDENCE back {back} ms after SIGKILL");
        assert!(back <= BACK_MS, "back after {back} ms");
    }
}

// Guards: a hub that stays away when its process ends, with every door behind it.
#[test]
fn installed_hub_on_trixie_is_back_within_2_s_of_sigkill() {
    killed(Suite::Trixie);
}

#[test]
fn installed_hub_on_bookworm_is_back_within_2_s_of_sigkill() {
    killed(Suite::Bookworm);
}
