//! Many locks on one hub, for long.
//!
//! Guards: memory and descriptors that a hub loses with each link, and a log entry that is missed in the bustle.

use std::collections::BTreeMap;
use std::time::Duration;

use drawbridge_bench::{
    Clock, Report, Scenario, ended_in_the_truth, of_lane, rounds, seed, whole_log,
};
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::qr::QrCode;
use serde_json::{Value, json};

/// RSS may grow by so much in ten minutes, in percent.
const GROWTH: f64 = 1.0;
/// The hub's memory settles for so long, in minutes.
const SETTLED: usize = 5;

/// How much a line through `values`, one a minute, rises in ten minutes: in percent of their mean.
fn slope(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let (mean_x, mean_y) = ((count - 1.0) / 2.0, values.iter().sum::<f64>() / count);
    let (mut above, mut below) = (0.0, 0.0);
    for (minute, value) in values.iter().enumerate() {
        let x = minute as f64 - mean_x;
        above += x * (value - mean_y);
        below += x * x;
    }
    1_000.0 * above / below / mean_y
}

/// Each command had one end, which its lock signed, and its motor did that; answers those of each lock that were done.
fn commands_were_obeyed(report: &Report) -> BTreeMap<String, Vec<String>> {
    let mut done: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for number in 1..=report.value("commands") {
        let told = report.text(&format!("command_{number}"));
        let words: Vec<&str> = told.split(' ').collect();
        let [name, action, command, turns, bolt, end, finals] = words[..] else {
            panic!("{told}");
        };
        assert_eq!((end, finals), ("told", "1"), "{told}");
        let result = report.text(&format!("result_{number}"));
        let result: Value = serde_json::from_str(result).unwrap();
        let code = QrCode::from_text(report.text(&format!("code_{name}"))).unwrap();
        let outcome = ended_in_the_truth(&result, &code, turns, told);
        assert_eq!(outcome.command.to_string(), command, "{told}");
        let is_done = outcome.verdict == Verdict::Done;
        if is_done {
            let position = if action == "lock" {
                "LOCKED"
            } else {
                "UNLOCKED"
            };
            assert_eq!(bolt, position, "{told}");
            let all = done.entry(name.to_owned()).or_default();
            all.push(command.to_owned());
        }
    }
    done
}

/// All readings of the lock's log together have every record from the first to the last, and those of `commands`; answers how
/// many they have.
fn log_misses_nothing(report: &Report, name: &str, commands: &[String]) -> usize {
    let mut lines = Vec::new();
    let mut head = None;
    for reading in 1..=report.value("readings") {
        let told = report.text(&format!("log_{name}_{reading}"));
        let log: Value = serde_json::from_str(told).unwrap();
        lines.extend(log["log"].as_array().unwrap().iter().cloned());
        head = log["signed_head"]["seq"].as_u64();
    }
    let numbers = whole_log(&json!({"log": lines}), commands, name);
    assert_eq!(numbers.last().copied(), head, "{name}");
    numbers.len()
}

#[test]
fn many_locks_for_30_minutes_leak_nothing_and_miss_no_log_entry() {
    let minutes = rounds("many_locks_minutes", 3, 30);
    let locks = rounds("many_locks", 4, 16);
    let report = Scenario::new("many_locks")
        .with("COUNT", locks)
        .with("MINUTES", minutes)
        .with("SEED", seed())
        .with("PAUSE_US", of_lane(500_000, 4_000_000))
        .within(
            Duration::from_secs(60 * minutes + 120 * locks + 600),
            Duration::from_secs(of_lane(1_200, 5_400)),
        )
        // Sixteen locks and their air are more than an emulated processor does in a busy host's time.
        .on(Clock::Counted)
        .run()
        .unwrap();
    let mut expected: Vec<String> = [
        "hub_is_up",
        "owner_has_keys",
        "app_listens",
        "all_are_linked_start",
        "all_are_linked_end",
        "descriptors_are_counted_start",
        "descriptors_are_counted_end",
        "broker_was_never_lost",
        "hub_was_never_restarted",
    ]
    .map(str::to_owned)
    .to_vec();
    let names: Vec<String> = (1..=locks).map(|number| format!("L{number}")).collect();
    for name in &names {
        expected.push(format!("{name}_is_powered"));
        expected.push(format!("{name}_is_claimed"));
        let readings = 1..=report.value("readings");
        expected.extend(readings.map(|reading| format!("{name}_log_is_whole_{reading}")));
    }
    report.expect_in_house(&expected);

    let done = commands_were_obeyed(&report);
    let records: usize = names
        .iter()
        .map(|name| {
            let commands = done.get(name).map(Vec::as_slice).unwrap_or_default();
            // A lock that was never asked anything has shown nothing.
            assert!(!commands.is_empty(), "{name} did nothing");
            log_misses_nothing(&report, name, commands)
        })
        .sum();
    assert!(report.value("losses") > 0, "no link was lost");
    println!(
        "EVIDENCE {locks} locks for {minutes} minutes: {} commands, {} of them done, {} link losses, {records} log records \
         and none missed",
        report.value("commands"),
        done.values().map(Vec::len).sum::<usize>(),
        report.value("losses"),
    );
    assert!(report.value("minutes") >= minutes, "it ended early");
    let each_minute = |what: &str| -> Vec<f64> {
        let told = |minute| report.value(&format!("{what}_kib_{minute}")) as f64;
        (0..=report.value("minutes")).map(told).collect()
    };
    let rss = each_minute("rss");
    println!("many locks: RSS in KiB, a value a minute: {rss:?}");
    println!("many locks: of it anonymous: {:?}", each_minute("anon"));
    let told = |what: &str| {
        (
            report.value(&format!("{what}_start")),
            report.value(&format!("{what}_end")),
        )
    };
    assert_eq!(told("channels").0, told("channels").1, "links");
    let (before, after) = told("descriptors");
    println!(
        "EVIDENCE descriptors with {} links up: {before} at the start, {after} at the end",
        told("channels").0
    );
    assert_eq!(before, after, "descriptors");
    let settled = rss.get(SETTLED..).unwrap_or_default();
    // A run of the quick lane ends before the hub has settled: it has no slope to judge.
    if settled.len() > SETTLED {
        let slope = slope(settled);
        println!("EVIDENCE RSS rises by {slope:.2} % in ten minutes, after the first {SETTLED}");
        assert!(slope < GROWTH, "{slope} %: {rss:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slope_is_percent_of_the_mean_in_ten_minutes() {
        let growing: Vec<f64> = (0..20)
            .map(|minute| 995.25 + f64::from(minute) / 2.0)
            .collect();
        assert!((slope(&growing) - 0.5).abs() < 1e-9, "{}", slope(&growing));
        assert!(slope(&[7.0; 9]).abs() < 1e-9);
    }
}
