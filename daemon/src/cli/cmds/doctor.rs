//! `drawbridge doctor`: every check, each with what to do.

use serde_json::json;

use crate::cli::args::DoctorArgs;
use crate::cli::checks::{self, Check, Verdict};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::fault::Fault;
use crate::cli::plain_text::plain;

pub(super) fn run(context: &Context, args: &DoctorArgs) -> Result<Exit, Fault> {
    context.output.progress("checking");
    let checks = checks::all(&context.config, &args.state_dir);
    let failed = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Fail)
        .count();
    let warned = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Warn)
        .count();
    let value = json!({
        "ok": failed == 0,
        "failed": failed,
        "warned": warned,
        "checks": checks.iter().map(Check::value).collect::<Vec<_>>(),
    });
    context.output.answer(&value, || {
        let mut lines: Vec<String> = checks.iter().map(|check| line(context, check)).collect();
        lines.push(match (failed, warned) {
            (0, 0) => "all is well".to_owned(),
            (0, warned) => format!("{warned} warnings"),
            (failed, warned) => format!("{failed} failed, {warned} warnings"),
        });
        lines.join("\n")
    });
    Ok(if failed == 0 {
        Exit::Done
    } else {
        Exit::Refused
    })
}

fn line(context: &Context, check: &Check) -> String {
    let (colour, word) = match check.verdict {
        Verdict::Ok => (32, "ok  "),
        Verdict::Warn => (33, "warn"),
        Verdict::Fail => (31, "FAIL"),
        Verdict::Skip => (2, "skip"),
    };
    let mut line = format!(
        "{}  {:<20}  {}",
        context.output.paint(colour, word),
        plain(&check.name),
        plain(&check.detail)
    );
    if let Some(advice) = &check.advice {
        line.push_str(&format!("\n      {:<20}  next: {}", "", plain(advice)));
    }
    line
}
