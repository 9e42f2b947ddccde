//! `tests/run [LANE]` and `tests/run --full [LANE]`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::context::{Context, QUICK_LIMIT};
use crate::failure::{During, Failure};
use crate::lanes::{self, Lane, LaneResult};
use crate::tally::{Tally, minutes};
use crate::verdict::Verdict;

/// Where the full lane leaves what it found.
const RESULTS: &str = "target/full/results.json";
/// Where `--list` finds how long things took on this machine.
pub(super) const SECONDS: &str = "target/lanes/seconds.json";

pub(super) fn run(full: bool, only: Option<&str>) -> Result<Tally, Failure> {
    let mut context = Context::open(full)?;
    let chosen: Vec<&Lane> = match only {
        Some(id) => vec![lanes::find(id)?],
        None => lanes::ALL.iter().collect(),
    };
    if !full {
        context.deadline = context
            .started
            .checked_add(QUICK_LIMIT.saturating_sub(context.setup));
    }
    let origin = &context.origin;
    println!(
        "{} lane, commit {}, seed {}",
        context.depth(),
        origin.commit,
        origin.seed
    );
    let mut results: Vec<LaneResult> = Vec::new();
    let mut later: Vec<(&Lane, String)> = Vec::new();
    for lane in chosen {
        // A lane that was asked for by name runs even where it is known to be early.
        match lanes::skipped(&context, lane).filter(|_| only.is_none()) {
            Some(why) => later.push((lane, why)),
            None => {
                println!("{}: {}", lane.id, lane.about);
                let result = lanes::run(&context, lane);
                lanes::print(&result);
                results.push(result);
            }
        }
    }
    let mut verdicts = Vec::new();
    if only.is_none() {
        println!("claims: what the lanes showed");
        verdicts = claims(&context, &mut results)?;
    }
    let total = context.setup + context.started.elapsed();
    let mut tally = table(&context, &results, &later, total);
    if !full && total > QUICK_LIMIT {
        println!(
            "FAILED: the quick lane took over {} minutes",
            QUICK_LIMIT.as_secs() / 60
        );
        tally += Tally::one_failure();
    }
    if full {
        write(
            &context,
            RESULTS,
            &results_json(&context, &results, &verdicts, tally, total),
        )?;
        println!("wrote {RESULTS}");
    }
    if only.is_none() {
        write(&context, SECONDS, &seconds_json(&context, &results))?;
    }
    Ok(tally)
}

fn claims(context: &Context, results: &mut Vec<LaneResult>) -> Result<Vec<Verdict>, Failure> {
    let (report, verdicts) = lanes::judge_all(context, results)?;
    for verdict in &verdicts {
        lanes::print_verdict(verdict);
    }
    let result = LaneResult {
        id: "claims",
        took: Duration::ZERO,
        report,
    };
    lanes::print(&result);
    results.push(result);
    Ok(verdicts)
}

fn table(
    context: &Context,
    results: &[LaneResult],
    later: &[(&Lane, String)],
    total: Duration,
) -> Tally {
    let mut tally = Tally::default();
    println!("\n{:<10} {:>7}  result", "lane", "minutes");
    if !context.setup.is_zero() {
        println!(
            "{:<10} {:>7}  tools and runner",
            "set-up",
            minutes(context.setup)
        );
    }
    for result in results {
        let sum = result.tally();
        println!("{:<10} {:>7}  {sum}", result.id, minutes(result.took));
        tally += sum;
    }
    for (lane, why) in later {
        println!("{:<10} {:>7}  {why}", lane.id, "-");
    }
    println!("{:<10} {:>7}", "total", minutes(total));
    if !context.full {
        let limit = QUICK_LIMIT.as_secs() / 60;
        println!("budget: 45 minutes cold, 20 warm on two cores; fails above {limit}");
    }
    println!();
    tally
}

fn results_json(
    context: &Context,
    results: &[LaneResult],
    verdicts: &[Verdict],
    tally: Tally,
    total: Duration,
) -> Value {
    let lanes: Vec<Value> = results
        .iter()
        .map(|result| {
            let sum = result.tally();
            json!({
                "lane": result.id,
                "seconds": rounded(result.took),
                "passed": sum.passed,
                "failed": sum.failed,
                "notes": result.report.notes,
                "problems": result.report.problems,
            })
        })
        .collect();
    let figures: Vec<_> = results
        .iter()
        .flat_map(|result| &result.report.figures)
        .collect();
    json!({
        "commit": context.origin.commit,
        "seed": context.origin.seed,
        "lane": context.depth(),
        "seconds": rounded(total),
        "passed": tally.passed,
        "failed": tally.failed,
        "lanes": lanes,
        "claims": verdicts,
        "figures": figures,
    })
}

/// Seconds of each test target and lane, for `--list`.
fn seconds_json(context: &Context, results: &[LaneResult]) -> Value {
    let mut targets = serde_json::Map::new();
    for (target, seconds) in results
        .iter()
        .flat_map(|result| &result.report.tests.seconds)
    {
        targets.insert(
            format!("{} {}", target.package, target.name),
            json!(seconds),
        );
    }
    let lanes: serde_json::Map<String, Value> = results
        .iter()
        .map(|result| (result.id.to_owned(), json!(rounded(result.took))))
        .collect();
    json!({ "lane": context.depth(), "targets": targets, "lanes": lanes })
}

fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

fn write(context: &Context, file: &str, value: &Value) -> Result<(), Failure> {
    let path = context.root.join(file);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).during(|| format!("make {}", folder.display()))?;
    }
    std::fs::write(&path, format!("{value:#}\n")).during(|| format!("write {file}"))
}
