//! F19: a command's way while others flood the air, the broker and the bus.
//!
//! Guards: a hub that spends its time on what nobody needs, and an owner who stands before the door meanwhile.

use std::time::Duration;

use drawbridge_bench::{Clock, Report, Scenario, rounds, signed};
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::qr::QrCode;
use serde_json::Value;

/// At most so many times the quiet value.
const MOST: f64 = 2.0;
/// How often a second: devices of each of two controllers, messages of each of two apps, messages of one user. A device
/// advertises every 20 ms; RootCanal takes some 10 ms for each of the five commands that make another one of it.
const ADVERTS: u64 = 5;
const MQTT: u64 = 200;
const BUS: u64 = 200;

const FLOODS: [&str; 3] = ["adverts", "mqtt", "bus"];

/// What the commands of a phase took, in ms, sorted; each was done and turned the motor once.
fn times(report: &Report, code: &QrCode, phase: &str, commands: u64) -> Vec<u64> {
    let mut all: Vec<u64> = (1..=commands)
        .map(|number| {
            let told = report.text(&format!("result_{phase}_{number}"));
            let result: Value = serde_json::from_str(told).unwrap();
            let outcome = signed(&result, code);
            assert_eq!(outcome.verdict, Verdict::Done, "{phase} {number}: {result}");
            report.value(&format!("took_{phase}_{number}"))
        })
        .collect();
    assert_eq!(report.value(&format!("turns_{phase}")), commands, "{phase}");
    all.sort_unstable();
    all
}

/// Of sorted times; the 99th of a hundred, the last of fewer.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted[(sorted.len() * percent).div_ceil(100) - 1]
}

#[test]
fn f19_floods_of_adverts_mqtt_and_dbus_leave_the_command_p99_at_most_twice_its_idle_value() {
    let commands = rounds("f19_commands_a_phase", 15, 100);
    let report = Scenario::new("floods")
        .with("COMMANDS", commands)
        .with("ADVERTS", ADVERTS)
        .with("MQTT", MQTT)
        .with("BUS", BUS)
        .within(
            Duration::from_secs(120 + 15 * commands),
            Duration::from_secs(1_200 + 60 * commands),
        )
        .on(Clock::Counted)
        .run()
        .unwrap();
    report.expect_in_house(&[
        "Front_is_powered",
        "Away_is_powered",
        "hub_is_up",
        "owner_has_keys",
        "app_listens",
        "Front_is_claimed",
        "Away_is_claimed",
        "hub_was_never_restarted",
        "broker_was_never_lost",
    ]);
    let code = QrCode::from_text(report.text("code")).unwrap();
    let p99 = |phase: &str| {
        let times = times(&report, &code, phase, commands);
        let told = |what: &str| report.value(&format!("{what}_{phase}"));
        let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
        let (all, idle, hub) = (told("ms") / 10, told("idle"), told("hub"));
        println!(
            "EVIDENCE f19: {phase}: p50 {p50} ms, p99 {p99} ms of {commands}; the processor was idle for {} % of the \
             time, and the hub had {} %",
            100 * idle / all,
            100 * hub / all
        );
        p99
    };
    let quiet = p99("quiet");
    let floods = FLOODS.map(|flood| {
        let sent = report.value(&format!("flood_{flood}"));
        let seconds = report.value(&format!("ms_{flood}")) / 1_000;
        let rate = sent / seconds.max(1);
        // A flood that dried up tests nothing.
        let wanted = match flood {
            "adverts" => 2 * ADVERTS,
            "mqtt" => 2 * MQTT,
            _ => BUS,
        };
        println!("f19: {flood}: {sent} in {seconds} s, {rate} a second of {wanted}");
        assert!(rate >= wanted / 2, "{flood}: {rate} a second");
        (flood, p99(flood))
    });
    for (flood, flooded) in floods {
        let ratio = flooded as f64 / quiet as f64;
        println!("EVIDENCE f19: {flood}: p99 is {ratio:.2} of the quiet one");
    }
    for (flood, flooded) in floods {
        assert!(
            flooded as f64 <= MOST * quiet as f64,
            "{flood}: {flooded} ms, quiet {quiet} ms"
        );
    }
}
