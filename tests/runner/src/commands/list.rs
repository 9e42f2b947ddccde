//! `tests/run --list [--json]`: every number, where it is shown, how often and how long.

use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::lanes::SECONDS;
use crate::claims::{Claim, Status};
use crate::context::Context;
use crate::failure::Failure;
use crate::lanes;
use crate::tally::{Tally, grouped};

/// What the last run on this machine measured.
#[derive(Debug, Default, Deserialize)]
struct Measured {
    targets: BTreeMap<String, f64>,
    lanes: BTreeMap<String, f64>,
}

pub(super) fn run(json: bool) -> Result<Tally, Failure> {
    let context = Context::open(false)?;
    let measured = measured(&context);
    let rows: Vec<Value> = context
        .claims
        .claims
        .iter()
        .map(|claim| row(claim, &measured))
        .collect();
    if json {
        println!("{}", Value::Array(rows));
    } else {
        for claim in &context.claims.claims {
            let (quick, full) = counts(claim);
            let (quick, full) = (grouped(quick), grouped(full));
            println!(
                "{:<4} {:<8} {quick} of {full}  {}",
                claim.id,
                claim.lane(),
                claim.claim
            );
        }
    }
    let problems = context.claims.problems(&lanes::ids());
    for problem in &problems {
        eprintln!("tests/run: {problem}");
    }
    let listed = context.claims.claims.len() as u64;
    Ok(Tally {
        passed: listed,
        failed: problems.len() as u64,
    })
}

fn row(claim: &Claim, measured: &Measured) -> Value {
    let (quick, full) = counts(claim);
    let names: Vec<Value> = claim
        .counts
        .iter()
        .map(|count| json!({ "name": count.name, "quick": count.quick, "full": count.full }))
        .collect();
    json!({
        "id": claim.id,
        "lane": claim.lane(),
        "count": { "quick": quick, "full": full },
        "seconds": seconds(claim, measured),
        "status": if claim.status == Status::Done { "done" } else { "open" },
        "issue": claim.issue,
        "claim": claim.claim,
        "counts": names,
    })
}

/// The sum of the counts that an issue names, else how many things show the claim.
fn counts(claim: &Claim) -> (u64, u64) {
    if claim.counts.is_empty() {
        let shown = claim.tests.len() + claim.lanes.len() + claim.figures.len();
        return (shown as u64, shown as u64);
    }
    let sum = |pick: fn(&crate::claims::CountRef) -> u64| claim.counts.iter().map(pick).sum();
    (
        sum(|count| count.quick.unwrap_or(0)),
        sum(|count| count.full),
    )
}

/// Measured here, else the estimate in the claims, else unknown.
fn seconds(claim: &Claim, measured: &Measured) -> Option<f64> {
    let tests = claim.tests.iter().map(|test| {
        measured
            .targets
            .get(&format!("{} {}", test.package, test.target))
            .copied()
    });
    let lanes = claim
        .lanes
        .iter()
        .map(|lane| measured.lanes.get(lane).copied());
    let parts: Option<Vec<f64>> = tests.chain(lanes).collect();
    parts
        .filter(|parts| !parts.is_empty())
        .map(|parts| parts.iter().sum())
        .or(claim.seconds.map(|seconds| seconds as f64))
}

fn measured(context: &Context) -> Measured {
    let text = std::fs::read_to_string(context.root.join(SECONDS)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}
