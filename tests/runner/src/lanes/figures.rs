//! Performance figures: runs each program that measures one and collects its lines.

use std::collections::BTreeSet;

use super::Report;
use crate::claims::{FigureCommand, Status};
use crate::context::Context;
use crate::failure::Failure;
use crate::figure::Figure;
use crate::history::{self, History};
use crate::lane_log::LaneLog;
use crate::process::Errors;
use crate::tally::Tally;
use crate::tree;

/// How often a program is run again whose figures were worse than they were.
const SECOND_LOOKS: usize = 2;

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    let mut report = measure(context, log, None)?;
    let history = History::load(&context.root)?;
    report.problems.extend(history.differences(&report.figures));
    Ok(report)
}

/// Measures all figures, or those of one number.
///
/// # Errors
/// When a program cannot be started.
pub(crate) fn measure(
    context: &Context,
    log: &mut LaneLog<'_>,
    only: Option<&str>,
) -> Result<Report, Failure> {
    let mut report = Report::default();
    let claims = context
        .claims
        .claims
        .iter()
        .filter(|claim| only.is_none_or(|id| id == claim.id));
    let claims: Vec<_> = claims.filter(|claim| !claim.figures.is_empty()).collect();
    if claims.is_empty() {
        return Ok(Report::problem("no figure is listed in tests/claims.toml"));
    }
    let commands: BTreeSet<&FigureCommand> =
        claims.iter().flat_map(|claim| &claim.figures).collect();
    let history = History::load(&context.root)?;
    for command in commands {
        let mut figures = run_one(context, log, command, &mut report)?;
        for _ in 0..SECOND_LOOKS {
            let worse = history.regressions(&figures);
            if worse.is_empty() {
                break;
            }
            report.notes.extend(worse);
            report
                .notes
                .push(format!("{}: measured again", command.name()));
            let again = run_one(context, log, command, &mut report)?;
            figures = history::better_of(figures, &again);
        }
        report.problems.extend(history.regressions(&figures));
        report.figures.extend(figures);
    }
    let known = tree::read(&context.root, "docs/known-issues.md")?;
    for figure in &report.figures {
        let excused = !figure.met && figure.is_known(&known);
        let suffix = if excused {
            " (docs/known-issues.md)"
        } else {
            ""
        };
        report.notes.push(format!("{}{suffix}", figure.line()));
        report.checks += Tally::of(figure.met || excused);
        if !figure.met && !excused {
            report
                .problems
                .push(format!("goal missed: {}", figure.line()));
        }
    }
    for claim in claims.iter().filter(|claim| claim.status == Status::Done) {
        let shown = report.figures.iter().any(|figure| figure.id == claim.id);
        report.expect(shown, || format!("{}: no figure was printed", claim.id));
    }
    Ok(report)
}

fn run_one(
    context: &Context,
    log: &mut LaneLog<'_>,
    command: &FigureCommand,
    report: &mut Report,
) -> Result<Vec<Figure>, Failure> {
    let mut program = context.cargo(["run", "--locked", "--release", "--quiet"]);
    program
        .args(["--package", &command.package, "--bin", &command.bin, "--"])
        .args(&command.args);
    let ended = log.run_quietly(program, Errors::Apart)?;
    if !ended.ok {
        log.show();
        report.problems.push(format!("{} failed", command.name()));
    }
    let mut figures = Vec::new();
    for parsed in ended.text.lines().filter_map(Figure::parse) {
        match parsed {
            Ok(figure) => figures.push(figure),
            Err(problem) => report.problems.push(problem),
        }
    }
    Ok(figures)
}
