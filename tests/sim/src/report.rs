//! What is printed about runs.

use std::time::Duration;

use drawbridge_simulator::Tally;
use drawbridge_simulator::run::Outcome;
use drawbridge_simulator::schedule::Schedule;
use serde_json::{Value, json};

/// Virtual time per real time.
pub(crate) fn speed_up(virtual_hours: u64, took: Duration) -> u64 {
    (virtual_hours as f64 * 3_600.0 / took.as_secs_f64().max(1e-6)) as u64
}

/// One run in a line.
pub(crate) fn line(seed: u64, hours: u64, outcome: &Outcome, took: Duration) -> String {
    let tally = &outcome.tally;
    let verdict = if outcome.violation.is_none() {
        "ok"
    } else {
        "VIOLATION"
    };
    format!(
        "seed {seed} {verdict}: {} commands, {} faults, {} motor starts, {} hub crashes, {} lock boots, \
         {} steps, digest {:016x}, {hours} h in {:.2} s ({} times real time)",
        tally.all_commands(),
        tally.all_faults(),
        tally.motor_starts,
        tally.hub_crashes,
        tally.lock_boots,
        tally.steps,
        outcome.digest,
        took.as_secs_f64(),
        speed_up(hours, took),
    )
}

/// The same as JSON.
pub(crate) fn object(seed: u64, hours: u64, outcome: &Outcome, took: Duration) -> Value {
    let mut object = counts(&outcome.tally, hours, took);
    object["seed"] = json!(seed);
    object["digest"] = json!(format!("{:016x}", outcome.digest));
    object["violation"] = outcome.violation.as_ref().map_or(Value::Null, |violation| {
        json!({
            "invariant": format!("I{}", violation.invariant),
            "at_ms": violation.at_ms,
            "what": violation.what,
        })
    });
    object
}

/// What was counted, as JSON.
pub(crate) fn counts(tally: &Tally, hours: u64, took: Duration) -> Value {
    json!({
        "virtual_hours": hours,
        "commands": tally.commands,
        "commands_all": tally.all_commands(),
        "faults": tally.faults,
        "faults_all": tally.all_faults(),
        "finals": tally.finals,
        "steps": tally.steps,
        "motor_starts": tally.motor_starts,
        "hub_crashes": tally.hub_crashes,
        "lock_boots": tally.lock_boots,
        "calms": tally.calms,
        "seconds": took.as_secs_f64(),
        "speed_up": speed_up(hours, took),
    })
}

/// A failing run for whoever has to find out why: its seed, what was violated, what is left of the
/// schedule, and what happened.
pub(crate) fn failure(whole: &Schedule, short: &Schedule, outcome: &Outcome) -> String {
    use std::fmt::Write as _;
    let mut text = format!("seed {}: ", whole.seed);
    match &outcome.violation {
        Some(violation) => text += &violation.to_string(),
        None => text += "the shortened run does not fail any more",
    }
    let _ = write!(
        text,
        "\n{} of {} entries of the schedule are left:\n",
        short.items.len(),
        whole.items.len()
    );
    for item in &short.items {
        let at = item.at_ms;
        let _ = writeln!(
            text,
            "  {:>6}.{:03} s {:?}",
            at / 1_000,
            at % 1_000,
            item.deed
        );
    }
    text += "what happened, to its end:\n";
    let skipped = outcome.notes.len().saturating_sub(NOTES);
    for note in outcome.notes.iter().skip(skipped) {
        let _ = writeln!(text, "  {note}");
    }
    text
}

/// Steps that are told of a failing run.
const NOTES: usize = 120;
