//! `tests/run assurance [--write]`: the page that maps numbers to tests is made from the claims.

use crate::claims::{self, Claim, Claims, Status};
use crate::context::Context;
use crate::failure::{During, Failure};
use crate::tally::{Tally, grouped};

/// The page.
pub(crate) const FILE: &str = "docs/assurance.md";

const HEAD: &str = "\
# What the tests show

<!-- Made from tests/claims.toml by `tests/run assurance --write`; edit that file. -->

Every promise that Drawbridge makes about itself has a number. The number never changes its meaning, and a test
that shows it carries it in its name or its first comment. A number is **done** when the tests listed beside it exist
and pass in every run, and **open** while the work that brings it is still ahead; the check that compares this page
with `tests/claims.toml` and with the tests that really ran is part of `tests/run`.

To see one for yourself: `tests/run --id S32`. Counts are given as quick of full: the quick lane runs at least 2 % of
every count, with a seed that changes with each commit, and `tests/run --full` runs them all.
";

pub(super) fn run(write: bool) -> Result<Tally, Failure> {
    let context = Context::open(false)?;
    if write {
        let page = page(&context.claims);
        std::fs::write(context.root.join(FILE), page).during(|| format!("write {FILE}"))?;
    }
    let current = is_current(&context)?;
    if !current {
        println!("{FILE} does not agree with {}", claims::FILE);
    }
    Ok(Tally::of(current))
}

/// Whether the page says what the claims say.
///
/// # Errors
/// When the page cannot be read.
pub(crate) fn is_current(context: &Context) -> Result<bool, Failure> {
    Ok(crate::tree::read(&context.root, FILE)? == page(&context.claims))
}

fn page(claims: &Claims) -> String {
    let mut text = HEAD.to_owned();
    for (letter, title, _) in claims::FAMILIES {
        let family: Vec<&Claim> = claims
            .claims
            .iter()
            .filter(|claim| claim.id.starts_with(letter))
            .collect();
        let done = family
            .iter()
            .filter(|claim| claim.status == Status::Done)
            .count();
        text.push_str(&format!(
            "\n## {title} ({done} of {} done)\n\n",
            family.len()
        ));
        text.push_str("| number | what is claimed | shown by |\n| --- | --- | --- |\n");
        for claim in family {
            let words = claim.claim.replace('|', "\\|");
            text.push_str(&format!(
                "| {} | {words} | {} |\n",
                claim.id,
                shown_by(claim)
            ));
        }
    }
    text
}

fn shown_by(claim: &Claim) -> String {
    let mut parts: Vec<String> = claim
        .tests
        .iter()
        .map(|test| format!("`{}` {} `{}`", test.package, test.target, test.filter))
        .collect();
    parts.extend(claim.lanes.iter().map(|lane| format!("lane `{lane}`")));
    parts.extend(
        claim
            .figures
            .iter()
            .map(|figure| format!("`{}`", figure.name())),
    );
    parts.extend(claim.counts.iter().map(|count| {
        let full = grouped(count.full);
        match count.quick {
            Some(quick) => format!("{}: {} of {full}", count.name, grouped(quick)),
            None => format!("{}: {full} in full", count.name),
        }
    }));
    if claim.status == Status::Open {
        let issue = claim.issue.as_deref().unwrap_or("no issue");
        parts.insert(0, format!("open, comes with: {issue}"));
    }
    parts.join("<br>")
}
