//! Passed and failed, and how numbers are printed.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

/// How many checks passed and how many failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Checks that ran and held.
    pub(crate) passed: u64,
    /// Checks that ran and did not hold, or could not run.
    pub(crate) failed: u64,
}

impl Tally {
    /// The tally of a run that could not even start.
    pub(crate) const fn one_failure() -> Self {
        Self {
            passed: 0,
            failed: 1,
        }
    }

    /// One check with the given outcome.
    pub(crate) const fn of(passed: bool) -> Self {
        if passed {
            Self {
                passed: 1,
                failed: 0,
            }
        } else {
            Self::one_failure()
        }
    }

    /// Whether nothing failed.
    pub(crate) const fn is_green(self) -> bool {
        self.failed == 0
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Minutes with one decimal, as the lane table prints them.
pub(crate) fn minutes(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() / 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards: the last line is read by machines; its form is part of the interface.
    #[test]
    fn tally_prints_the_agreed_last_line() {
        let mut tally = Tally::of(true);
        tally += Tally::of(false);
        tally += Tally {
            passed: 40,
            failed: 0,
        };
        assert_eq!(tally.to_string(), "41 passed, 1 failed");
        assert!(!tally.is_green());
    }

    // Guards: `quick 20 of 1000` read as a different number than `1,000`.
    #[test]
    fn numbers_are_grouped_by_thousands() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (36_500, "36,500"),
            (1_000_000, "1,000,000"),
        ];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }
}
