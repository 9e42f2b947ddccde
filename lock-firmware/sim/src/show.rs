//! What a person sees on the terminal: the code on the lock, and one line whenever something moves.

use std::io::{self, IsTerminal, Write};

use drawbridge_protocol::report::{Door, Position};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use crate::device::View;

/// The code as half blocks, dark on light on a dark terminal, with its quiet zone.
#[must_use]
pub fn qr_picture(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let picture = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .quiet_zone(true)
        .build();
    Some(picture)
}

/// One line about a lock; colour only if asked for.
#[must_use]
pub fn line(name: &str, view: &View, colour: bool) -> String {
    let position = view.sensors.position;
    let word = format!("{:<8}", position.name());
    let word = match (colour, position) {
        (false, _) => word,
        (true, Position::Locked) => format!("\u{1b}[32m{word}\u{1b}[0m"),
        (true, Position::Unlocked) => format!("\u{1b}[33m{word}\u{1b}[0m"),
        (true, Position::Jammed | Position::Unknown) => format!("\u{1b}[31m{word}\u{1b}[0m"),
        (true, _) => word,
    };
    let mut line = format!("{name}: bolt {word} motor runs: {}", view.actuations);
    if view.sensors.door != Door::Closed {
        line.push_str(&format!(", door {}", view.sensors.door.name()));
    }
    if view.sensors.tamper {
        line.push_str(", case open");
    }
    if view.sensors.battery < 100 {
        line.push_str(&format!(", battery {} %", view.sensors.battery));
    }
    if !view.alive {
        line.push_str(", no power");
    }
    line
}

/// Prints for a person, or keeps quiet.
#[derive(Debug, Clone)]
pub struct Terminal {
    name: String,
    quiet: bool,
    colour: bool,
}

impl Terminal {
    /// For a lock of this name.
    #[must_use]
    pub fn new(name: &str, quiet: bool) -> Self {
        Self {
            name: name.to_owned(),
            quiet,
            colour: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    /// The code, and where the lock is.
    pub fn introduce(&self, qr_text: &str, address: &str) {
        if let Some(picture) = qr_picture(qr_text) {
            self.print(&picture);
        }
        self.print(&format!("{}: code {qr_text}", self.name));
        self.print(&format!("{}: on the air as {address}", self.name));
    }

    /// What somebody before the lock would notice.
    pub fn notice(&self, view: &View) {
        self.print(&line(&self.name, view, self.colour));
    }

    /// A line that is printed even if quiet.
    pub fn warn(&self, text: &str) {
        // A terminal that is gone is no reason to stop a lock.
        let _written = writeln!(io::stderr(), "{}: {text}", self.name);
    }

    fn print(&self, text: &str) {
        if !self.quiet {
            let mut out = io::stdout().lock();
            // As above; flushed so that a pipe sees each change when it happens.
            let _written = writeln!(out, "{text}").and_then(|()| out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use drawbridge_lock::{Factory, Sensors};
    use drawbridge_protocol::qr::QR_TEXT_LEN;

    use super::*;
    use crate::entropy::Randomness;

    #[test]
    fn the_code_fits_an_ordinary_terminal() {
        let factory = Factory::generate(7, &mut Randomness::new(Some(3)));
        let mut text = [0; QR_TEXT_LEN];
        let picture = qr_picture(factory.qr().to_text(&mut text).unwrap()).unwrap();
        let widest = picture.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{widest:?}");
        assert!(picture.lines().count() <= 40);
        let blocks = [' ', '\u{2580}', '\u{2584}', '\u{2588}'];
        assert!(
            picture
                .lines()
                .flat_map(str::chars)
                .all(|c| blocks.contains(&c))
        );
    }

    #[test]
    fn a_line_has_no_escapes_without_colour_and_says_what_is_unusual() {
        let view = View {
            sensors: Sensors {
                position: Position::Jammed,
                door: Door::Open,
                tamper: true,
                battery: 20,
            },
            actuations: 2,
            alive: false,
        };
        assert_eq!(
            line("front", &view, false),
            "front: bolt JAMMED   motor runs: 2, door OPEN, case open, battery 20 %, no power"
        );
        assert!(line("front", &view, true).contains("\u{1b}[31m"));
    }
}
