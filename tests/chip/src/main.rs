//! Runs the size image on an emulated core and prints what each input costs the lock.
//!
//! `drawbridge-chip IMAGE [em|main]`: IMAGE is `lock` of `lock-firmware/size-image`, `em` an Arm AN386
//! (Cortex-M4, the default), `main` an AN505 (Cortex-M33). The peer is the real one (snow), so the run is
//! also a test: a pairing, a claim, a command and a resumed session against the code for the chip.
//! Instructions are exact to one tick of the counter (40 or 50); time on a real core is more:
//! 1.7 cycles an instruction were seen on an nRF52840 at 64 MHz.

mod board;
mod cost;
mod peer;
mod scenario;

use std::process::ExitCode;

use board::{Board, BoardError, Machine};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(image), machine) = (args.next(), args.next()) else {
        eprintln!("usage: drawbridge-chip IMAGE [em|main]");
        return ExitCode::from(2);
    };
    let machine = match machine.as_deref() {
        None | Some("em") => Machine::An386,
        Some("main") => Machine::An505,
        Some(other) => {
            eprintln!("{other}: not a machine; em or main");
            return ExitCode::from(2);
        }
    };
    match run(&image, machine) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drawbridge-chip: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(image: &str, machine: Machine) -> Result<(), BoardError> {
    let mut board = Board::start(image, machine)?;
    let costs = scenario::run(&mut board)?;
    print!("{}", cost::table(&costs, board.lock_bytes()));
    Ok(())
}
