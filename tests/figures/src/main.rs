//! Measures what the product promises in numbers, on a release build of it.
//!
//! Each figure is one JSON line: `id`, `part` where a figure has several, `value`, `unit`, `baseline`, `ratio`,
//! `goal`, `met`, `n`. Everything is measured from outside the daemon: `/proc`, the notify socket, the
//! file on the disk, and taps on both of its connections. Progress goes to standard error.

mod air_tap;
mod app;
mod beside_bleak;
mod bridge;
mod commands;
mod conversation;
mod echo;
mod errand;
mod figure;
mod handshake;
mod house;
mod idle;
mod latency;
mod parts;
mod proc;
mod recovery;
mod round_trips;
mod samples;
mod size;
mod start;
mod tcp_tap;
mod told;
mod ways;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Why a figure could not be measured.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures one group of figures and prints them as JSON lines.
#[derive(Debug, Parser)]
struct Options {
    /// What to measure.
    #[command(subcommand)]
    group: Group,
}

#[derive(Debug, Subcommand)]
enum Group {
    /// P01: from MQTT to the first byte on the air, and its parts.
    Latency,
    /// P05: round trips from link-up to a command, with a new and with a resumed session.
    Handshake,
    /// P01 beside a bridge of bleak and paho, in a guest.
    BesideBleak,
    /// P02: round trips to a lock, ours against a plain client's, in a guest.
    RoundTrips,
    /// P03 and P04, and P07 of the link: commands over the real Bluetooth of a guest.
    Commands,
    /// P07: back in service after the loss of bluetoothd, hub and broker, in a guest.
    Recovery,
    /// P08 and P09: memory and wake-ups of an idle hub.
    Idle,
    /// P14: from the start of the process to READY.
    Start,
    /// P15: the installed binary.
    Size,
    /// What the guest itself runs.
    #[command(hide = true)]
    Errand(errand::Errand),
    /// What the guest itself runs.
    #[command(hide = true)]
    Echo(echo::Echo),
    /// What the guest itself runs.
    #[command(hide = true)]
    Ways(ways::Ways),
}

fn main() -> ExitCode {
    let measured = match Options::parse().group {
        Group::Latency => latency::measure(),
        Group::Handshake => handshake::measure(),
        Group::BesideBleak => beside_bleak::measure(),
        Group::RoundTrips => round_trips::measure(),
        Group::Commands => commands::measure(),
        Group::Recovery => recovery::measure(),
        Group::Ways(ways) => ways.run(),
        Group::Echo(echo) => echo.run(),
        Group::Errand(errand) => errand.run(),
        Group::Idle => idle::measure(),
        Group::Start => start::measure(),
        Group::Size => size::measure(),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes = std::iter::successors(error.source(), |cause| cause.source());
            let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
            eprintln!("drawbridge-figures: {text}");
            ExitCode::FAILURE
        }
    }
}
