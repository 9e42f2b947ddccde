//! The command line, which is also how a test says what it wants.

use std::path::{Path, PathBuf};

use clap::Parser;

use crate::control::HELP;
use crate::hci::HciAddress;

/// A simulated lock: the firmware that runs on the chip, with its bolt, flash and radio simulated.
///
/// On its first start it makes a lock: the flash image, and beside it NAME.factory with the keys that
/// a factory would put in. Every later start with the same --flash is the same lock again, with its
/// owner, its log and its wear. It prints the code that an owner scans to pair it.
#[derive(Debug, Clone, Parser)]
#[command(name = "drawbridge-lock-sim", version, after_help = HELP)]
pub struct Options {
    /// Folder of the virtual air; hub and locks must be given the same one.
    #[arg(long, value_name = "DIR", required_unless_present = "hci")]
    pub air: Option<PathBuf>,

    /// A Bluetooth controller instead of the virtual air: tcp:HOST:PORT (an H4 stream, as RootCanal
    /// and Bumble serve it) or user:hciN (taken from the kernel; the adapter must be down).
    #[arg(long, value_name = "ADDR", conflicts_with = "air")]
    pub hci: Option<HciAddress>,

    /// With --hci: change the address on the air, and the beacon with it, this often.
    #[arg(long, value_name = "SECS", default_value_t = 900, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub address_every: u32,

    /// With --hci: between two adverts.
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u16).range(20..=10_240))]
    pub advert_every: u16,

    /// Flash image of the lock; made on the first start.
    #[arg(long, value_name = "FILE")]
    pub flash: PathBuf,

    /// Make a new lock, with new keys and blank flash, over the one in --flash.
    #[arg(long)]
    pub new: bool,

    /// What to call it in this terminal; the lock itself has no name.
    #[arg(long, default_value = "lock", value_parser = parse_name)]
    pub name: String,

    /// Also write the text of the code to this file (mode 0600), for scripts.
    #[arg(long, value_name = "FILE")]
    pub qr_text: Option<PathBuf>,

    /// Print neither the code nor what the bolt does.
    #[arg(long)]
    pub quiet: bool,

    /// Lock again this many seconds after each unlock.
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub auto_relock: Option<u32>,

    /// Milliseconds that the bolt takes from end to end; 0 = at once.
    #[arg(long, value_name = "MS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub motor_ms: u32,

    /// Tests only: repeatable instead of random bytes. Everybody who knows N knows the lock's keys.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Tests only, with --hci: links reach an echo and not the lock.
    #[arg(long, requires = "hci")]
    pub echo: bool,

    /// Unix socket for the knobs below.
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
}

impl Options {
    /// A quiet lock with this flash image in this air, everything else as without options.
    #[must_use]
    pub fn new(air: &Path, flash: &Path) -> Self {
        Self {
            air: Some(air.to_owned()),
            hci: None,
            address_every: 900,
            advert_every: 100,
            flash: flash.to_owned(),
            new: false,
            name: "lock".to_owned(),
            qr_text: None,
            quiet: true,
            auto_relock: None,
            motor_ms: 300,
            seed: None,
            echo: false,
            control: None,
        }
    }
}

/// A name is printed as it is, so nothing in it may move the cursor or reverse the line (S26).
fn parse_name(name: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_graphic() || c == ' ';
    if (1..=32).contains(&name.len()) && name.chars().all(plain) {
        Ok(name.to_owned())
    } else {
        Err("use 1 to 32 plain letters, digits, spaces or punctuation".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_its_help_names_every_knob() {
        Options::command().debug_assert();
        let help = Options::command().render_long_help().to_string();
        for knob in [
            "power_loss",
            "link_loss",
            "hang_up",
            "by_hand",
            "--motor-ms",
            "--qr-text",
        ] {
            assert!(help.contains(knob), "{knob}");
        }
    }

    /// Guards: a lock that is on the air twice, or nowhere.
    #[test]
    fn exactly_one_of_air_and_controller_is_taken() {
        let parse = |more: &[&str]| {
            let line = ["sim", "--flash", "f"].iter().chain(more);
            Options::try_parse_from(line)
        };
        assert!(parse(&["--air", "a"]).is_ok());
        assert!(parse(&["--hci", "tcp:127.0.0.1:9001"]).is_ok());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--air", "a", "--hci", "tcp:127.0.0.1:9001"]).is_err());
    }

    /// S26: a name cannot write elsewhere on the terminal.
    #[test]
    fn s26_a_name_with_control_characters_is_refused() {
        for name in [
            "",
            "a\u{1b}[2J",
            "line\nbreak",
            "\u{202e}txet",
            &"x".repeat(33),
        ] {
            let line = ["sim", "--air", "a", "--flash", "f", "--name", name];
            assert!(Options::try_parse_from(line).is_err(), "{name:?}");
        }
    }
}
