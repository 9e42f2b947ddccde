//! `drawbridge-sim`: seeded runs of the whole house on virtual time; `--help` teaches.

mod args;
mod plant;
mod report;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser as _;
use drawbridge_simulator::Tally;
use drawbridge_simulator::run::{run, run_with_notes};
use drawbridge_simulator::schedule::Schedule;
use drawbridge_simulator::shrink::shrink;

use args::Args;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(name) = &args.plant {
        return plant::run(name, &args);
    }
    let (mut all, mut hours, mut took) = (Tally::default(), 0, Duration::ZERO);
    let (mut passed, mut failed) = (0_u64, 0_u64);
    for seed in args.seeds.clone() {
        let schedule = Schedule::draw(seed, args.virtual_hours);
        let began = Instant::now();
        let outcome = if args.trace {
            run_with_notes(&schedule)
        } else {
            run(&schedule)
        };
        let this = began.elapsed();
        for note in &outcome.notes {
            say(note);
        }
        all.add(&outcome.tally);
        hours += args.virtual_hours;
        took += this;
        if args.json {
            let object = report::object(seed, args.virtual_hours, &outcome, this);
            say(&object.to_string());
        } else {
            say(&report::line(seed, args.virtual_hours, &outcome, this));
        }
        if outcome.violation.is_none() {
            passed += 1;
            continue;
        }
        failed += 1;
        let short = if args.no_shrink {
            schedule.clone()
        } else {
            shrink(&schedule)
        };
        eprint!(
            "{}",
            report::failure(&schedule, &short, &run_with_notes(&short))
        );
    }
    if args.json {
        let mut object = report::counts(&all, hours, took);
        object["passed"] = passed.into();
        object["failed"] = failed.into();
        say(&object.to_string());
    } else {
        say(&format!(
            "{} commands, {} faults, {} motor starts, {hours} virtual hours in {:.1} s: {} times real time on one core",
            all.all_commands(),
            all.all_faults(),
            all.motor_starts,
            took.as_secs_f64(),
            report::speed_up(hours, took)
        ));
    }
    say(&format!("{passed} passed, {failed} failed"));
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

/// Prints a line. A reader that went away is no failure of a run.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
