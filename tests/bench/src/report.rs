//! What a guest said, judged.
//!
//! **A scenario holds only if exactly the expected checks were made, each once, and each was ok**: a check that was not
//! reached is a check that failed.

use std::collections::BTreeMap;
use std::path::Path;

use base64ct::{Base64, Encoding};

use crate::error::BenchError;

/// What `start_house` in `guest/house.sh` checks.
const HOUSE: [&str; 4] = [
    "bus_is_up",
    "air_is_up",
    "broker_is_up",
    "hub_has_a_controller",
];

/// A file that comes line by line.
#[derive(Debug, Clone, Default)]
struct Told {
    bytes: Vec<u8>,
    /// What it should be, once it was said.
    size: Option<usize>,
    /// Whether a line could not be read.
    broken: bool,
}

impl Told {
    fn take(&mut self, line: &str) {
        if let Some(size) = line.strip_prefix("size ") {
            self.size = size.trim().parse().ok();
        } else if let Ok(bytes) = Base64::decode_vec(line) {
            self.bytes.extend(bytes);
        } else {
            self.broken = true;
        }
    }

    fn is_whole(&self) -> bool {
        !self.broken && self.size == Some(self.bytes.len())
    }
}

/// What was read from the console.
#[derive(Debug, Clone, Default)]
pub struct Report {
    checks: Vec<(String, Result<(), String>)>,
    values: BTreeMap<String, String>,
    files: BTreeMap<String, Told>,
    lines: Vec<String>,
    ended: Option<i32>,
    /// Whether the guest switched itself off in time.
    pub in_time: bool,
}

impl Report {
    /// Takes one line of the console.
    pub(crate) fn take(&mut self, line: &str) {
        if let Some((name, rest)) = file_line(line) {
            // Not among the lines: nobody reads it there, and it is longer than all of them.
            return self.files.entry(name.to_owned()).or_default().take(rest);
        }
        self.lines.push(line.to_owned());
        // What comes before is the firmware's: its last line has no end.
        let Some((word, rest)) = line.trim().split_once(' ') else {
            return;
        };
        match word {
            "CHECK" => {
                let (name, verdict) = rest.split_once(' ').unwrap_or((rest, ""));
                let verdict = match verdict {
                    "ok" => Ok(()),
                    why => Err(why.to_owned()),
                };
                self.checks.push((name.to_owned(), verdict));
            }
            "VALUE" => {
                if let Some((name, value)) = rest.split_once(' ') {
                    self.values.insert(name.to_owned(), value.to_owned());
                }
            }
            "BENCH" => {
                if let Some((_, code)) = rest.split_once("ended ") {
                    self.ended = code.parse().ok();
                }
            }
            _ => {}
        }
    }

    /// Everything that speaks against `expected`.
    #[must_use]
    pub fn problems(&self, expected: &[impl AsRef<str>]) -> Vec<String> {
        let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
        let mut problems = Vec::new();
        for name in &expected {
            let made = self.checks.iter().filter(|(made, _)| made == name);
            match made.count() {
                0 => problems.push(format!("{name}: was not checked")),
                1 => {}
                times => problems.push(format!("{name}: was checked {times} times")),
            }
        }
        for (name, verdict) in &self.checks {
            if !expected.contains(&name.as_str()) {
                problems.push(format!("{name}: nobody expects this check"));
            }
            if let Err(why) = verdict {
                problems.push(format!("{name}: {why}"));
            }
        }
        if !self.in_time {
            problems.push("the guest did not end in time".to_owned());
        }
        if self.ended != Some(0) {
            problems.push(match self.ended {
                Some(code) => format!("the scenario ended with {code}"),
                None => "the guest never said that the scenario ended".to_owned(),
            });
        }
        problems
    }

    /// Fails the test, with all that the guest said, unless exactly the `expected` checks were made and are ok.
    ///
    /// # Panics
    /// Then.
    #[track_caller]
    pub fn expect(&self, expected: &[impl AsRef<str>]) {
        let problems = self.problems(expected);
        assert!(
            problems.is_empty(),
            "{}\n--- the guest said:\n{}",
            problems.join("\n"),
            self.lines.join("\n")
        );
    }

    /// The same of a guest that calls `start_house`, which makes four checks itself.
    ///
    /// # Panics
    /// Likewise.
    #[track_caller]
    pub fn expect_in_house(&self, besides: &[impl AsRef<str>]) {
        let besides = besides.iter().map(AsRef::as_ref);
        let all: Vec<&str> = HOUSE.into_iter().chain(besides).collect();
        self.expect(&all);
    }

    /// A number that the guest told.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    #[track_caller]
    pub fn value(&self, name: &str) -> u64 {
        let value = self.text(name);
        let number = value.parse().ok();
        number.unwrap_or_else(|| panic!("{name} is no number: {value}"))
    }

    /// How long after `from` `to` was, in the unit of both; 0 if it was before.
    ///
    /// # Panics
    /// When the guest did not tell both.
    #[must_use]
    #[track_caller]
    pub fn took(&self, from: &str, to: &str) -> u64 {
        self.value(to).saturating_sub(self.value(from))
    }

    /// A text that the guest told.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        let value = self.values.get(name);
        value.unwrap_or_else(|| panic!("no value {name}; the guest told {:?}", self.values))
    }

    /// A file that the guest handed over.
    ///
    /// # Panics
    /// When it did not, or not every byte came.
    #[must_use]
    #[track_caller]
    pub fn file(&self, name: &str) -> &[u8] {
        let told = self.files.get(name);
        let told = told.unwrap_or_else(|| panic!("no file {name}; there are {:?}", self.files()));
        assert!(
            told.is_whole(),
            "{name}: {} bytes came of {:?}",
            told.bytes.len(),
            told.size
        );
        &told.bytes
    }

    /// The names of all files that the guest handed over, in order.
    #[must_use]
    pub fn files(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).collect()
    }

    /// Keeps these files in `folder`, for whoever wants to look at a capture.
    pub(crate) fn keep_files(&self, folder: &Path) -> Result<(), BenchError> {
        std::fs::create_dir_all(folder).map_err(BenchError::io("make a folder", folder))?;
        for (name, told) in &self.files {
            let path = folder.join(name.replace('/', "_"));
            std::fs::write(&path, &told.bytes).map_err(BenchError::io("keep a file", &path))?;
        }
        Ok(())
    }
}

/// The name and the rest of a line that hands over a part of a file.
pub(crate) fn file_line(line: &str) -> Option<(&str, &str)> {
    line.trim().strip_prefix("FILE ")?.split_once(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lines: &[&str]) -> Report {
        let mut report = Report {
            in_time: true,
            ..Report::default()
        };
        lines.iter().for_each(|line| report.take(line));
        report
    }

    // Guards: a scenario that dies half way and is green for the half that it made.
    #[test]
    fn only_exactly_the_expected_checks_hold() {
        let good = ["CHECK a ok", "CHECK b ok", "BENCH 900 ended 0"];
        assert!(report(&good).problems(&["a", "b"]).is_empty());
        for (lines, expected) in [
            (&good[..], &["a", "b", "c"][..]),
            (&good[..], &["a"][..]),
            (&["CHECK a ok", "BENCH 900 ended 1"][..], &["a"][..]),
            (&["CHECK a ok"][..], &["a"][..]),
            (&["CHECK a FAILED no", "BENCH 900 ended 0"][..], &["a"][..]),
            (
                &["CHECK a ok", "CHECK a ok", "BENCH 9 ended 0"][..],
                &["a"][..],
            ),
            (&["CHECK a", "BENCH 9 ended 0"][..], &["a"][..]),
        ] {
            assert!(!report(lines).problems(expected).is_empty(), "{lines:?}");
        }
        let mut late = report(&good);
        late.in_time = false;
        assert!(!late.problems(&["a", "b"]).is_empty());
    }

    #[test]
    fn values_are_numbers_of_the_last_line_that_told_them() {
        let told = report(&["VALUE ready_ms 120", "VALUE ready_ms 140"]);
        assert_eq!(told.value("ready_ms"), 140);
    }

    // Guards: a capture of which half was lost on the console, in which nothing is found for that reason.
    #[test]
    fn only_a_file_of_which_every_byte_came_is_handed_over() {
        let good = ["FILE air AAEC", "FILE air AwQ=", "FILE air size 5"];
        assert_eq!(report(&good).file("air"), [0, 1, 2, 3, 4]);
        assert_eq!(report(&["FILE none size 0"]).file("none"), [0_u8; 0]);
        for lines in [
            &good[..2],
            &[good[0], good[2]],
            &[good[0], good[1], good[1], good[2]],
            &[good[0], "FILE air A*Q=", good[1], good[2]],
            &[good[0], good[1], "FILE air size five"],
            &[],
        ] {
            let told = report(lines);
            let taken = std::panic::catch_unwind(|| told.file("air").len());
            assert!(taken.is_err(), "{lines:?}");
        }
    }
}
