//! `cargo demo`: the whole product on one machine, without Bluetooth.
//!
//! A throw-away CA, an MQTT 5 broker with mutual TLS, three simulated locks that run the real lock
//! core, the daemon, and the command line as their owner uses it.

mod attacks;
mod mqtt;
mod report;
mod stage;
mod tour;

use std::process::ExitCode;

use clap::Parser;

use report::Report;
use stage::Stage;

/// Runs broker, locks and hub on this machine, pairs the locks, operates and attacks them.
///
///   cargo demo                     then type along in a second terminal
///   cargo demo -- --once --json    the same as a script
#[derive(Debug, Parser)]
struct Options {
    /// End after the last step instead of staying up.
    #[arg(long)]
    once: bool,
    /// One JSON object per step, and a last line with the sum.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut report = Report::new(options.json);
    let stage = report.run(
        "build",
        "building hub, command line and lock",
        Stage::programs,
    );
    let stage = stage.and_then(|programs| Stage::set(programs, &mut report));
    if let Some(mut stage) = stage {
        tour::run(&mut stage, &mut report);
        attacks::run(&mut stage, &mut report);
        tour::check_logs(&stage, &mut report);
        let all_well = report.sum_up();
        if !options.once {
            stage.stay_up();
        }
        return if all_well {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    report.sum_up();
    ExitCode::FAILURE
}
