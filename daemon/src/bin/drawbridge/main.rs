//! `drawbridge`: asks the hub, and signs for whoever owns its locks.

fn main() -> std::process::ExitCode {
    drawbridge_daemon::cli::run(std::env::args_os())
}
