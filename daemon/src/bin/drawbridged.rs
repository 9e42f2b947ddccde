//! `drawbridged`: the daemon.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use drawbridge_daemon::config::{Config, ConfigError};
use drawbridge_daemon::error_chain::chain;
use drawbridge_daemon::{journal, supervisor};

/// Carries signed commands between a broker and the locks nearby.
///
/// Started by systemd as drawbridge.service. By hand:
///
///   drawbridged --config /etc/drawbridge/drawbridge.toml
///
/// Look at it with `drawbridge status`; ask what is wrong with `drawbridge doctor`.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The configuration file (TOML; every setting is explained in the default one).
    #[arg(long, short, default_value = "/etc/drawbridge/drawbridge.toml")]
    config: PathBuf,
    /// Read and check the configuration and the files it names, say what is wrong, and end.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let config = match Config::load(&options.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("drawbridged: {}", chain(&error));
            if let ConfigError::Read { .. } = error {
                eprintln!(
                    "drawbridged: name a configuration that this user may read with --config"
                );
            }
            // What a card's read error ended is tried again by the service manager; a wrong file is not.
            return if error.is_temporary() && !options.check {
                ExitCode::FAILURE
            } else {
                ExitCode::from(2)
            };
        }
    };
    let problems = config.check_files();
    for problem in &problems {
        eprintln!("drawbridged: {}: {problem}", options.config.display());
    }
    if options.check {
        return if problems.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        };
    }
    if let Err(error) = journal::start(config.log.level.filter()) {
        eprintln!("drawbridged: {}", chain(&error));
        return ExitCode::FAILURE;
    }
    match supervisor::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let reason = chain(&error);
            log::error!(event = "failed", reason = reason.as_str(); "the daemon ends with an error");
            ExitCode::FAILURE
        }
    }
}
