//! `tests/claims.toml`: every S, F, P, R and I number, in words, and what shows it.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use crate::counts::MOST_TIMES;
use crate::failure::{During, Failure};
use crate::tally::grouped;
use crate::tree;

/// Where the claims are written.
pub(crate) const FILE: &str = "tests/claims.toml";

/// The families of numbers: letter, title, and the numbers in use (gaps are retired numbers).
pub(crate) const FAMILIES: [(char, &str, &[std::ops::RangeInclusive<u32>]); 5] = [
    ('I', "Invariants", &[1..=7]),
    ('S', "Attacks", &[1..=27, 31..=36]),
    ('R', "Revocation", &[1..=8]),
    ('F', "Faults", &[1..=16, 18..=25]),
    ('P', "Performance", &[1..=15, 17..=18]),
];

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claims {
    #[serde(rename = "lane")]
    pub(crate) lanes: Vec<LaneEntry>,
    #[serde(rename = "claim")]
    pub(crate) claims: Vec<Claim>,
}

/// Whether something is shown already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Shown by what is listed; fails if that is missing or fails.
    Done,
    /// Not built yet; `issue` says what brings it.
    Open,
}

/// One lane of the runner and whether its object exists yet.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LaneEntry {
    pub(crate) id: String,
    pub(crate) status: Status,
    pub(crate) issue: Option<String>,
}

/// One number.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claim {
    /// Letter and number, such as `S05` or `I3`.
    pub(crate) id: String,
    /// What is claimed, in words.
    pub(crate) claim: String,
    pub(crate) status: Status,
    /// Title of the issue that brings it, for open claims.
    pub(crate) issue: Option<String>,
    /// Tests that must all pass.
    #[serde(default)]
    pub(crate) tests: Vec<TestRef>,
    /// Lanes that must pass.
    #[serde(default)]
    pub(crate) lanes: Vec<String>,
    /// Programs that measure it.
    #[serde(default)]
    pub(crate) figures: Vec<FigureCommand>,
    /// Counts that the tests print.
    #[serde(default)]
    pub(crate) counts: Vec<CountRef>,
    /// Seconds on two cores, as a first estimate until a run has measured it.
    pub(crate) seconds: Option<u64>,
}

/// Tests of one target whose name contains `filter`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestRef {
    pub(crate) package: String,
    /// `lib`, `test:NAME` or `bin:NAME`.
    pub(crate) target: String,
    pub(crate) filter: String,
    /// Cargo features that the package needs when it is built alone.
    #[serde(default)]
    pub(crate) features: Vec<String>,
    /// Too long for the quick lane, which says nothing about it.
    #[serde(default)]
    pub(crate) full_only: bool,
}

/// A program that prints figures as JSON lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FigureCommand {
    pub(crate) package: String,
    pub(crate) bin: String,
    #[serde(default)]
    pub(crate) args: Vec<String>,
}

/// A count that an issue names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountRef {
    pub(crate) name: String,
    /// None: of a test that only the full lane runs.
    pub(crate) quick: Option<u64>,
    pub(crate) full: u64,
}

impl Claims {
    /// Reads and parses the file; [`Claims::problems`] judges it.
    ///
    /// # Errors
    /// When it is missing or is not the TOML expected.
    pub(crate) fn load(root: &Path) -> Result<Self, Failure> {
        Self::parse(&tree::read(root, FILE)?)
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        toml::from_str(text).during(|| format!("parse {FILE}"))
    }

    /// The claim with this number. `I03` and `I3` are the same.
    pub(crate) fn find(&self, id: &str) -> Option<&Claim> {
        let wanted = split_id(id)?;
        self.claims
            .iter()
            .find(|claim| split_id(&claim.id) == Some(wanted))
    }

    /// Everything that makes the file untrue on its face.
    pub(crate) fn problems(&self, known_lanes: &[&str]) -> Vec<String> {
        let mut problems: Vec<String> = self.claims.iter().flat_map(Claim::problems).collect();
        let mut seen = BTreeSet::new();
        for claim in &self.claims {
            match split_id(&claim.id) {
                Some(key) if !expected(key) => {
                    problems.push(format!("{}: no such number", claim.id))
                }
                Some(key) if !seen.insert(key) => {
                    problems.push(format!("{}: listed twice", claim.id))
                }
                Some(_) => {}
                None => problems.push(format!("{}: not a number like S05", claim.id)),
            }
            for lane in claim
                .lanes
                .iter()
                .filter(|lane| !known_lanes.contains(&lane.as_str()))
            {
                problems.push(format!("{}: unknown lane {lane}", claim.id));
            }
        }
        for (letter, _, ranges) in FAMILIES {
            for number in ranges.iter().cloned().flatten() {
                if !seen.contains(&(letter, number)) {
                    problems.push(format!("{letter}{number}: missing from {FILE}"));
                }
            }
        }
        for lane in &self.lanes {
            if !known_lanes.contains(&lane.id.as_str()) {
                problems.push(format!("lane {}: the runner has no such lane", lane.id));
            }
            if lane.status == Status::Open && lane.issue.is_none() {
                problems.push(format!("lane {}: open, but no issue brings it", lane.id));
            }
        }
        for lane in known_lanes {
            if !self.lanes.iter().any(|entry| entry.id == *lane) {
                problems.push(format!("lane {lane}: not listed in {FILE}"));
            }
        }
        problems
    }
}

impl FigureCommand {
    /// What it is called where only people read it.
    pub(crate) fn name(&self) -> String {
        let words = std::iter::once(&self.bin).chain(&self.args);
        words.map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

impl Claim {
    /// The lane that shows it: `figures` for a measured number, else `tests` or the lane named.
    pub(crate) fn lane(&self) -> &str {
        if self.id.starts_with('P') {
            "figures"
        } else if self.tests.is_empty() {
            self.lanes.first().map_or("tests", String::as_str)
        } else {
            "tests"
        }
    }

    /// Whether the quick lane says nothing about it.
    pub(crate) fn is_full_only(&self) -> bool {
        self.lanes.is_empty()
            && !self.tests.is_empty()
            && self.tests.iter().all(|test| test.full_only)
    }

    fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        let shown = !self.tests.is_empty() || !self.lanes.is_empty() || !self.figures.is_empty();
        match self.status {
            Status::Done if !shown => found.push("done, but nothing shows it".to_owned()),
            Status::Open if self.issue.is_none() => {
                found.push("open, but no issue brings it".to_owned());
            }
            Status::Done | Status::Open => {}
        }
        if self.claim.trim().is_empty() {
            found.push("no words".to_owned());
        }
        for test in &self.tests {
            if cargo_target(&test.target).is_none() {
                found.push(format!(
                    "target {:?} is not lib, test:NAME or bin:NAME",
                    test.target
                ));
            }
            if test.filter.is_empty() {
                found.push("an empty filter would match every test".to_owned());
            }
        }
        for count in &self.counts {
            let Some(quick) = count.quick else {
                if !self.tests.iter().any(|test| test.full_only) {
                    let name = &count.name;
                    found.push(format!("count {name}: no test is for the full lane only"));
                }
                continue;
            };
            let short = quick.saturating_mul(MOST_TIMES) < count.full;
            if quick == 0 || quick > count.full || short {
                let (quick, full) = (grouped(quick), grouped(count.full));
                found.push(format!(
                    "count {}: quick {quick} of {full} is not 2-100 %",
                    count.name
                ));
            }
        }
        found
            .into_iter()
            .map(|text| format!("{}: {text}", self.id))
            .collect()
    }
}

/// Cargo's own words for `lib`, `test:NAME` or `bin:NAME`.
pub(crate) fn cargo_target(target: &str) -> Option<Vec<String>> {
    match target.split_once(':') {
        None if target == "lib" => Some(vec!["--lib".to_owned()]),
        Some((kind @ ("test" | "bin"), name)) if !name.is_empty() => {
            Some(vec![format!("--{kind}"), name.to_owned()])
        }
        _ => None,
    }
}

/// Letter and number of an id; leading zeros do not matter.
pub(crate) fn split_id(id: &str) -> Option<(char, u32)> {
    let letter = id.chars().next().filter(char::is_ascii_uppercase)?;
    let digits = id
        .get(1..)
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((letter, digits.parse().ok()?))
}

fn expected((letter, number): (char, u32)) -> bool {
    FAMILIES.iter().any(|(family, _, ranges)| {
        *family == letter && ranges.iter().any(|range| range.contains(&number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANES: &[&str] = &["tests"];

    fn file(claims: &str) -> Claims {
        Claims::parse(&format!(
            "[[lane]]\nid = \"tests\"\nstatus = \"done\"\n{claims}"
        ))
        .unwrap()
    }

    fn problems_of(claims: &str, id: &str) -> Vec<String> {
        let problems = file(claims).problems(LANES);
        problems
            .into_iter()
            .filter(|text| text.starts_with(id))
            .collect()
    }

    // Guards: a number marked done with nothing behind it.
    #[test]
    fn done_without_a_test_is_a_problem() {
        let claim = "[[claim]]\nid = \"S05\"\nclaim = \"x\"\nstatus = \"done\"\n";
        assert_eq!(
            problems_of(claim, "S05"),
            ["S05: done, but nothing shows it"]
        );
        let test = "tests = [{ package = \"a\", target = \"lib\", filter = \"s05\" }]\n";
        assert!(problems_of(&format!("{claim}{test}"), "S05").is_empty());
    }

    // Guards: a number that drops out of the file drops out of every check.
    #[test]
    fn every_number_must_be_listed_once() {
        let claim = "[[claim]]\nid = \"S32\"\nclaim = \"x\"\nstatus = \"open\"\nissue = \"y\"\n";
        let problems = file(&format!("{claim}{claim}")).problems(LANES);
        assert!(problems.contains(&"S32: listed twice".to_owned()));
        assert!(problems.contains(&format!("S31: missing from {FILE}")));
        assert!(
            !problems.iter().any(|text| text.starts_with("S28")),
            "S28 was never given out"
        );
    }

    // Guards: a quick count under 2 %, and an empty filter that any test satisfies.
    #[test]
    fn weak_counts_and_filters_are_problems() {
        let claim = "[[claim]]\nid = \"I3\"\nclaim = \"x\"\nstatus = \"done\"\n\
                     tests = [{ package = \"a\", target = \"tests/x.rs\", filter = \"\" }]\n\
                     counts = [{ name = \"kills\", quick = 19, full = 1000 }]\n";
        assert_eq!(problems_of(claim, "I3:").len(), 3);
    }

    // Guards: a count that no quick lane shows and that nobody said to be long.
    #[test]
    fn only_what_is_for_the_full_lane_has_no_quick_count() {
        let claim = "[[claim]]\nid = \"I3\"\nclaim = \"x\"\nstatus = \"done\"\n\
                     counts = [{ name = \"kills\", full = 1000 }]\n\
                     tests = [{ package = \"a\", target = \"lib\", filter = \"i3\"";
        assert_eq!(problems_of(&format!("{claim} }}]\n"), "I3:").len(), 1);
        let long = format!("{claim}, full_only = true }}]\n");
        assert!(problems_of(&long, "I3:").is_empty());
    }

    // Guards: `--id S5` answering "unknown" for S05.
    #[test]
    fn leading_zeros_do_not_matter() {
        let claim = "[[claim]]\nid = \"S05\"\nclaim = \"x\"\nstatus = \"open\"\nissue = \"y\"\n";
        assert!(file(claim).find("S5").is_some());
        assert!(file(claim).find("S55").is_none());
        assert!(file(claim).find("5").is_none());
    }
}
