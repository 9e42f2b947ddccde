//! `drawbridge-lock-sim`: a lock without a door.

use std::process::ExitCode;

use clap::Parser;
use drawbridge_lock_sim::causes::chain;
use drawbridge_lock_sim::options::Options;
use drawbridge_lock_sim::simulator::{Simulator, SimulatorError};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drawbridge-lock-sim: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), SimulatorError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SimulatorError::Runtime)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(SimulatorError::Runtime)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(SimulatorError::Runtime)?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        Simulator::start(options)?.run(stop).await
    })
}
