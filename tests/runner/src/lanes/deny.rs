//! Licences, bans and sources by cargo-deny; advisories by its database, or by our dated list
//! where the database is out of reach (the list is checked either way).

use std::time::Duration;

use super::Report;
use crate::advisories;
use crate::context::Context;
use crate::failure::Failure;
use crate::lane_log::LaneLog;
use crate::process::Errors;
use crate::tree;

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    let mut report = Report::default();
    let offline = [
        "deny",
        "--offline",
        "--locked",
        "check",
        "bans",
        "licenses",
        "sources",
    ];
    let ended = log.run(context.cargo(offline))?;
    report.expect(ended.ok, || {
        "cargo deny check bans licenses sources failed".to_owned()
    });

    // A network that swallows packets must not hold up the run.
    log.limit = Some(Duration::from_mins(2));
    let fetched = log.run_quietly(context.cargo(["deny", "fetch", "db"]), Errors::Merged)?;
    log.limit = None;
    let list = tree::read(&context.root, advisories::FILE)?;
    let lock = tree::read(&context.root, "Cargo.lock")?;
    let deny = tree::read(&context.root, "deny.toml")?;
    let judgement = advisories::judge(&list, &lock, &deny)?;
    let date = &judgement.date;
    if fetched.ok {
        let words = ["deny", "--offline", "--locked", "check", "advisories"];
        let ended = log.run(context.cargo(words))?;
        report.expect(ended.ok, || "cargo deny check advisories failed".to_owned());
        report.notes.push(format!(
            "advisories: database fetched; the list of {date} checked too"
        ));
    } else {
        report.notes.push(format!(
            "advisories: the DATABASE IS OUT OF REACH; Cargo.lock checked against the list of {date} only ({} rows of {})",
            judgement.rows,
            advisories::FILE,
        ));
    }
    report.problems.extend(judgement.problems);
    Ok(report)
}
