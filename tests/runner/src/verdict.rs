//! Whether what a claim lists as showing it did run and hold.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::claims::{Claim, Status};
use crate::counts::{self, Count};
use crate::figure::Figure;
use crate::harness::{Case, Ending, TestRun};
use crate::tally::grouped;

/// What one run showed about one number.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    pub(crate) id: String,
    pub(crate) claim: String,
    /// Names of what ran, joined by `; `.
    pub(crate) test: String,
    /// How often it was tried: the sum of its counts, else the number of tests and lanes.
    pub(crate) count: u64,
    pub(crate) passed: bool,
    /// Lines that the tests printed for the reader.
    pub(crate) evidence: Vec<String>,
    /// Why it did not pass.
    pub(crate) problems: Vec<String>,
}

/// Everything that ran.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) tests: TestRun,
    /// Lane and whether it passed.
    pub(crate) lanes: BTreeMap<String, bool>,
    pub(crate) figures: Vec<Figure>,
    /// `docs/known-issues.md`, for goals that are known to be missed.
    pub(crate) known_issues: String,
}

/// Judges one claim. **A claim passes only if each thing it lists ran at least once and held.**
pub(crate) fn judge(claim: &Claim, full: bool, shown: &Shown) -> Verdict {
    let mut verdict = Verdict {
        id: claim.id.clone(),
        claim: claim.claim.clone(),
        test: String::new(),
        count: 0,
        passed: false,
        evidence: Vec::new(),
        problems: Vec::new(),
    };
    let mut names: Vec<String> = Vec::new();
    let mut counts: Vec<Count> = Vec::new();
    for wanted in &claim.tests {
        let found: Vec<&Case> = shown
            .tests
            .cases
            .iter()
            .filter(|case| {
                case.target.package == wanted.package
                    && case.target.name == wanted.target
                    && case.name.contains(&wanted.filter)
            })
            .collect();
        if found.is_empty() && (full || !wanted.full_only) {
            let (package, target, filter) = (&wanted.package, &wanted.target, &wanted.filter);
            verdict
                .problems
                .push(format!("no test {filter} in {package} {target}"));
        }
        for case in found {
            let name = format!("{} {} {}", case.target.package, case.target.name, case.name);
            if names.contains(&name) {
                continue;
            }
            if case.ending != Ending::Passed {
                verdict.problems.push(format!("{name} did not pass"));
            }
            names.push(name);
            collect(case, &mut verdict, &mut counts);
        }
    }
    for lane in &claim.lanes {
        names.push(format!("lane {lane}"));
        match shown.lanes.get(lane) {
            Some(true) => {}
            Some(false) => verdict.problems.push(format!("lane {lane} failed")),
            None => verdict.problems.push(format!("lane {lane} did not run")),
        }
    }
    if !claim.figures.is_empty() {
        names.extend(
            claim
                .figures
                .iter()
                .map(|figure| format!("figure {}", figure.name())),
        );
        judge_figures(claim, shown, &mut verdict);
    }
    judge_counts(claim, full, &counts, &mut verdict);
    if claim.status == Status::Open && names.is_empty() {
        let issue = claim.issue.as_deref().unwrap_or("no issue");
        verdict
            .problems
            .push(format!("nothing shows it yet; it comes with: {issue}"));
    } else if names.is_empty() {
        verdict.problems.push("nothing shows it".to_owned());
    }
    if verdict.count == 0 {
        verdict.count = names.len() as u64;
    }
    verdict.test = names.join("; ");
    verdict.passed = verdict.problems.is_empty();
    verdict
}

fn collect(case: &Case, verdict: &mut Verdict, counts: &mut Vec<Count>) {
    for line in case.output.iter().filter(|line| counts::is_evidence(line)) {
        verdict.evidence.push(line.trim().to_owned());
        match Count::parse(line) {
            Some(Ok(count)) => {
                verdict.count += count.ran;
                counts.push(count);
            }
            Some(Err(problem)) => verdict.problems.push(problem),
            None => {}
        }
    }
}

fn judge_counts(claim: &Claim, full: bool, counts: &[Count], verdict: &mut Verdict) {
    verdict
        .problems
        .extend(counts.iter().filter_map(|count| count.shortfall(full)));
    for wanted in &claim.counts {
        let least = if full {
            wanted.full
        } else if let Some(quick) = wanted.quick {
            quick
        } else {
            continue;
        };
        match counts.iter().find(|count| count.name == wanted.name) {
            Some(count) if count.ran < least || count.of != wanted.full => {
                verdict.problems.push(format!(
                    "count {}: {} of {} instead of {} of {}",
                    wanted.name,
                    grouped(count.ran),
                    grouped(count.of),
                    grouped(least),
                    grouped(wanted.full),
                ));
            }
            Some(_) => {}
            None => verdict
                .problems
                .push(format!("no line COUNT {} was printed", wanted.name)),
        }
    }
}

fn judge_figures(claim: &Claim, shown: &Shown, verdict: &mut Verdict) {
    let mut none = true;
    for figure in shown.figures.iter().filter(|figure| figure.id == claim.id) {
        none = false;
        verdict.count += figure.n;
        verdict.evidence.push(figure.line());
        if !figure.met && !figure.is_known(&shown.known_issues) {
            verdict
                .problems
                .push(format!("goal missed: {}", figure.line()));
        }
    }
    if none {
        verdict
            .problems
            .push(format!("no figure {} was printed", claim.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::{CountRef, TestRef};
    use crate::harness::Target;

    fn claim() -> Claim {
        Claim {
            id: "S05".into(),
            claim: "lengths".into(),
            status: Status::Done,
            issue: None,
            tests: vec![TestRef {
                package: "p".into(),
                target: "lib".into(),
                filter: "s05".into(),
                features: Vec::new(),
                full_only: false,
            }],
            lanes: Vec::new(),
            figures: Vec::new(),
            counts: vec![CountRef {
                name: "flips".into(),
                quick: Some(20),
                full: 1_000,
            }],
            seconds: None,
        }
    }

    fn shown(ending: Ending, output: &str) -> Shown {
        let target = Target {
            package: "p".into(),
            name: "lib".into(),
        };
        let output = output.lines().map(str::to_owned).collect();
        let case = Case {
            target,
            name: "frame::s05_flips".into(),
            ending,
            output,
        };
        Shown {
            tests: TestRun {
                cases: vec![case],
                ..TestRun::default()
            },
            ..Shown::default()
        }
    }

    // Guards: a number that stays "done" when its test is renamed, fails, or counts nothing.
    #[test]
    fn claim_needs_its_test_to_have_run_and_counted() {
        let good = judge(
            &claim(),
            false,
            &shown(Ending::Passed, "COUNT flips quick 20 of 1,000 seed 1"),
        );
        assert!(good.passed, "{:?}", good.problems);
        assert_eq!(good.count, 20);
        assert_eq!(good.evidence.len(), 1);
        assert!(!judge(&claim(), false, &Shown::default()).passed);
        let mut renamed = claim();
        renamed.tests.push(TestRef {
            filter: "s05_renamed".into(),
            ..renamed.tests[0].clone()
        });
        let rest = shown(Ending::Passed, "COUNT flips quick 20 of 1,000 seed 1");
        assert_eq!(
            judge(&renamed, false, &rest).problems,
            ["no test s05_renamed in p lib"]
        );
        for (ending, output) in [
            (Ending::Failed, "COUNT flips quick 20 of 1,000 seed 1"),
            (Ending::Passed, ""),
            (Ending::Passed, "COUNT flips quick 19 of 1,000 seed 1"),
            (Ending::Passed, "COUNT flips quick 20 of 900 seed 1"),
            (Ending::Passed, "COUNT flips full 1,000 of 1,000 seed 1"),
        ] {
            assert!(
                !judge(&claim(), false, &shown(ending, output)).passed,
                "{output}"
            );
        }
    }

    // Guards: the full lane passing on the quick lane's count.
    #[test]
    fn full_lane_needs_the_full_count() {
        let quick = shown(Ending::Passed, "COUNT flips quick 20 of 1,000 seed 1");
        assert!(!judge(&claim(), true, &quick).passed);
        let full = shown(Ending::Passed, "COUNT flips full 1,000 of 1,000 seed 1");
        assert!(judge(&claim(), true, &full).passed);
    }

    // Guards: a long test that the quick lane misses, and the full lane, too.
    #[test]
    fn what_is_for_the_full_lane_only_is_missed_there_alone() {
        let mut long = claim();
        long.tests[0].full_only = true;
        long.counts[0].quick = None;
        let rest = &Shown::default();
        assert_eq!(judge(&long, true, rest).problems.len(), 3);
        long.tests.push(TestRef {
            full_only: false,
            ..long.tests[0].clone()
        });
        assert_eq!(
            judge(&long, false, rest).problems,
            ["no test s05 in p lib", "nothing shows it"]
        );
        let few = shown(Ending::Failed, "COUNT flips quick 20 of 1,000 seed 1");
        assert!(!judge(&long, false, &few).passed, "it ran, and failed");
    }

    // Guards: `--id` of an open number exiting 0.
    #[test]
    fn open_claim_without_a_test_does_not_pass() {
        let open = Claim {
            status: Status::Open,
            issue: Some("later".into()),
            tests: Vec::new(),
            counts: Vec::new(),
            ..claim()
        };
        let verdict = judge(&open, false, &Shown::default());
        assert!(!verdict.passed);
        assert_eq!(
            verdict.problems,
            ["nothing shows it yet; it comes with: later"]
        );
    }
}
