//! F03: the link is cut behind each message that lock and hub exchange.
//!
//! Guards: a command done twice or told wrongly after a lost link, a hole in the log, a pairing that stands on one side only
//! and needs somebody to clean up.

use std::time::Duration;

use drawbridge_bench::{
    Clock, Report, Scenario, ended_in_the_truth, of_lane, seed, told, whole_log,
};
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::qr::QrCode;
use serde_json::{Value, json};

/// In the quick lane one message boundary in so many is tried.
const ONE_COMMAND_IN: u64 = 3;
const ONE_PAIRING_IN: u64 = 5;
/// From the link's return to the proven end of the command, in ms.
const RESOLVED_MS: u64 = 1_000;

/// Checked once, besides the house.
const ONCE: [&str; 5] = [
    "lock_is_powered",
    "hub_is_up",
    "owner_has_keys",
    "app_listens",
    "hub_was_never_restarted",
];

/// The boundaries that the guest chose.
fn cuts(report: &Report, what: &str) -> Vec<u64> {
    let chosen = report.text(&format!("{what}_cuts")).split_whitespace();
    let chosen: Vec<u64> = chosen.map(|cut| cut.parse().unwrap()).collect();
    let all = report.value(&format!("{what}_messages"));
    told(
        &format!("f03_{what}_message_cuts"),
        chosen.len() as u64,
        all,
    );
    assert!(chosen.iter().all(|cut| *cut <= all), "{chosen:?} of {all}");
    chosen
}

/// A command ended once, in what the lock signed, and its motor did that and nothing besides.
fn was_obeyed(report: &Report, code: &QrCode, name: &str) {
    let told = |what: &str| report.text(&format!("{what}_{name}"));
    let command = told("command");
    let result: Value = serde_json::from_str(told("result")).unwrap();
    let outcome = ended_in_the_truth(&result, code, told("turns"), name);
    assert_eq!(outcome.command.to_string(), command, "{name}: {result}");
    assert_eq!(report.value(&format!("finals_{command}")), 1, "{name}");
    let is_done = outcome.verdict == Verdict::Done;
    let is_unlock = told("action") == "unlock";
    let end = if is_unlock == is_done {
        "UNLOCKED"
    } else {
        "LOCKED"
    };
    assert_eq!(told("bolt"), end, "{name}: {result}");
}

/// The log has each record from the first to the last, and those of each command.
fn log_holds(report: &Report, commands: &[&str]) -> usize {
    let log: Value = serde_json::from_str(report.text("log")).unwrap();
    let lines = log["log"].as_array().unwrap();
    let is = |line: &Value, kind: &str| line["kind"] == json!(kind);
    assert!(
        lines
            .iter()
            .all(|line| is(line, "record") || is(line, "earlier")),
        "{log}"
    );
    whole_log(&log, commands, "Front").len()
}

#[test]
fn f03_link_cut_at_each_message_boundary_in_pair_command_and_log_pull() {
    let limit = of_lane(600, 3_600);
    let report = Scenario::new("link_cut")
        .with("COMMAND_STEP", of_lane(ONE_COMMAND_IN, 1))
        .with("PAIRING_STEP", of_lane(ONE_PAIRING_IN, 1))
        .with("SEED", seed())
        .within(
            Duration::from_secs(limit),
            Duration::from_secs(of_lane(1_200, 3_600)),
        )
        .on(Clock::Counted)
        .run()
        .unwrap();
    let commands: Vec<String> = ["uncut_command", "uncut_command_2"]
        .map(str::to_owned)
        .into_iter()
        .chain(
            cuts(&report, "command")
                .iter()
                .map(|cut| format!("command_{cut}")),
        )
        .collect();
    let pairings: Vec<u64> = cuts(&report, "pairing");
    let (mut expected, mut second_tries) = (ONCE.map(str::to_owned).to_vec(), 0);
    let after_pairings = pairings.iter().map(|cut| format!("paired_{cut}"));
    let all_commands: Vec<String> = commands.iter().cloned().chain(after_pairings).collect();
    for name in &all_commands {
        expected.push(format!("{name}_is_sent"));
        expected.push(format!("{name}_has_an_end"));
        expected.push(format!("{name}_log_is_whole"));
    }
    assert_eq!(report.text("code_uncut_pairing"), "0");
    for cut in &pairings {
        let name = format!("pairing_{cut}");
        if report.value(&format!("code_{name}")) != 0 {
            expected.push(format!("{name}_works_the_second_time"));
            second_tries += 1;
        }
    }
    report.expect_in_house(&expected);

    let code = QrCode::from_text(report.text("code")).unwrap();
    let (mut slowest, mut cut_under_way) = (0, 0);
    for name in &all_commands {
        was_obeyed(&report, &code, name);
        // Whoever is cut too late or not at all tests nothing.
        assert_eq!(report.text(&format!("cut_left_{name}")), "null", "{name}");
        if !name.starts_with("command_") {
            continue;
        }
        // No link: the end was learnt over the one that was cut behind it.
        let back = report.text(&format!("link_ms_{name}")).parse().unwrap_or(0);
        let is_cut = report.text(&format!("cut_left_at_end_{name}")) == "null";
        if is_cut && back < report.value(&format!("sent_ms_{name}")) {
            cut_under_way += 1;
            println!("f03: {name}: the end was known {back} ms after the link's return");
            slowest = slowest.max(back);
        }
    }
    let of_commands: Vec<&str> = commands
        .iter()
        .map(|name| report.text(&format!("command_{name}")))
        .collect();
    let records = log_holds(&report, &of_commands);
    assert!(cut_under_way > 0, "no command was cut on its way");
    let mut pairings_cut = 0;
    for cut in &pairings {
        let told = |what: &str| report.text(&format!("{what}_pairing_{cut}"));
        // A first try that failed proves nothing, whatever the lock made of it.
        let said: Value = serde_json::from_str(told("said")).unwrap_or_default();
        assert!(
            told("code") == "0" || said["proven"].is_null(),
            "{cut}: {said}"
        );
        assert_eq!(told("owned_in_the_end"), "true", "{cut}");
        pairings_cut += u64::from(told("cut_left") == "null");
    }
    assert!(pairings_cut > 0, "no pairing was cut");
    println!(
        "EVIDENCE f03: {cut_under_way} commands cut between their sending and their end, which was known at most {slowest} ms \
         after the link's return; {records} records in the log without a gap; {pairings_cut} of {} pairings cut before \
         their end, {second_tries} needed a second try",
        pairings.len()
    );
    assert!(slowest <= RESOLVED_MS, "{slowest} ms");
}
