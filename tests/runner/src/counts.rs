//! What tests say they did: `COUNT`, `STATES` and `EVIDENCE` lines.
//!
//! A test with a count that an issue names prints `COUNT <name> quick 20 of 1,000 seed 7`: it ran 20
//! here of the 1,000 that the full lane runs. **A quick count is never zero and at least 2 % of the
//! full one; a full count is never short.**

use crate::tally::grouped;

/// The full count may be at most this many times the quick one (2 %).
pub(crate) const MOST_TIMES: u64 = 50;

/// One `COUNT` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Count {
    /// What was counted.
    pub(crate) name: String,
    /// Whether the test believed itself to be in the full lane.
    pub(crate) full: bool,
    /// How many were run.
    pub(crate) ran: u64,
    /// How many the full lane runs.
    pub(crate) of: u64,
}

impl Count {
    /// Reads a line; `None` if it is not a `COUNT` line at all.
    ///
    /// # Errors
    /// The malformed line, so that a misspelt count is not a count that was never checked.
    pub(crate) fn parse(line: &str) -> Option<Result<Self, String>> {
        let rest = line.trim().strip_prefix("COUNT ")?;
        Some(parse_rest(rest).ok_or_else(|| format!("malformed count line: {}", line.trim())))
    }

    /// Why this count does not suffice, if it does not.
    pub(crate) fn shortfall(&self, full_lane: bool) -> Option<String> {
        let said = format!(
            "{} {} of {}",
            self.name,
            grouped(self.ran),
            grouped(self.of)
        );
        if self.full != full_lane {
            Some(format!("{said}: ran at the other lane's count"))
        } else if self.ran == 0 {
            Some(format!("{said}: nothing was run"))
        } else if full_lane && self.ran < self.of {
            Some(format!("{said}: short in the full lane"))
        } else if self.ran.saturating_mul(MOST_TIMES) < self.of {
            Some(format!("{said}: under 2 %"))
        } else {
            None
        }
    }
}

fn parse_rest(rest: &str) -> Option<Count> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let lane = words
        .iter()
        .position(|word| matches!(*word, "quick" | "full"))?;
    let [ran, "of", of, ..] = words.get(lane + 1..)? else {
        return None;
    };
    let name = words.get(..lane)?.join(" ");
    let full = *words.get(lane)? == "full";
    (!name.is_empty()).then_some(())?;
    Some(Count {
        name,
        full,
        ran: number(ran)?,
        of: number(of)?,
    })
}

fn number(word: &str) -> Option<u64> {
    word.trim_end_matches([',', ';', '.'])
        .replace([',', '_'], "")
        .parse()
        .ok()
}

/// Whether a line of a test's output is meant for the reader of a claim.
pub(crate) fn is_evidence(line: &str) -> bool {
    let line = line.trim_start();
    ["COUNT ", "STATES ", "EVIDENCE "]
        .iter()
        .any(|word| line.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(line: &str) -> Count {
        Count::parse(line).unwrap().unwrap()
    }

    // Guards: a lane that shrinks a promised 1,000 to nothing while staying green.
    #[test]
    fn quick_count_below_two_percent_is_refused() {
        assert_eq!(
            count("COUNT kills quick 20 of 1,000 seed 7").shortfall(false),
            None
        );
        assert_eq!(
            count("COUNT ack drops full 1,000 of 1,000 seed 7").shortfall(true),
            None
        );
        for (line, full_lane) in [
            ("COUNT kills quick 19 of 1,000 seed 7", false),
            ("COUNT kills quick 0 of 0 seed 7", false),
            ("COUNT kills quick 1,000 of 1,000 seed 7", true),
            ("COUNT kills full 999 of 1,000 seed 7", true),
        ] {
            assert!(count(line).shortfall(full_lane).is_some(), "{line}");
        }
    }

    // Guards: a misspelt line that is skipped, so its count is never checked.
    #[test]
    fn malformed_count_is_an_error_not_silence() {
        for line in [
            "COUNT kills 20 of 1,000",
            "COUNT quick 1 of 1",
            "COUNT x quick many of 3",
        ] {
            assert!(Count::parse(line).unwrap().is_err(), "{line}");
        }
        assert_eq!(Count::parse("counted 3"), None);
    }
}
