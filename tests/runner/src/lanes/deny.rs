//! Licences, bans and sources by cargo-deny; advisories by its database, or by our dated list
//! where the database is out of reach (the list is checked either way).
//!
//! **What `deny.toml` lets in for the demo's broker is linked by nothing that ships.**

use std::time::Duration;

use super::Report;
use crate::advisories;
use crate::context::Context;
use crate::failure::Failure;
use crate::graph::Graph;
use crate::lane_log::LaneLog;
use crate::process::Errors;
use crate::tree;

/// Let in by `deny.toml` under `wrappers`, which cannot tell a dependency of tests from a linked one.
const ONLY_TESTS: &[&str] = &[
    "drawbridge-support",
    "hyper-rustls",
    "mqtt5",
    "rustls-native-certs",
    "webpki-roots",
];

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    let mut report = Report::default();
    // On a fresh machine only what this system builds is there, and cargo-deny reads the packages of every system.
    let fetched = log.run(context.cargo(["fetch", "--locked"]))?;
    report.expect(fetched.ok, || "cargo fetch failed".to_owned());
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

    report
        .problems
        .extend(shipped_all_the_same(&Graph::of_what_ships(context, log)?));

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

fn shipped_all_the_same(graph: &Graph) -> Vec<String> {
    let found = graph
        .packages
        .iter()
        .filter(|package| ONLY_TESTS.contains(&package.name.as_str()));
    found
        .map(|package| {
            let parents: Vec<&str> = package.parents.iter().map(String::as_str).collect();
            let by = parents.join(", ");
            format!("{} is for tests only, and {by} ships it", package.name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards: the hub linking the web's CA list, or the demo's broker, by a dependency that was meant for its tests.
    #[test]
    fn linked_test_dependency_is_a_problem() {
        let metadata = |kind: &str| {
            format!(
                r#"{{"packages": [{{"id": "hub#1", "name": "hub", "version": "1.0.0"}},
                    {{"id": "roots#1", "name": "webpki-roots", "version": "1.0.0"}}],
                "resolve": {{"nodes": [{{"id": "hub#1",
                    "deps": [{{"pkg": "roots#1", "dep_kinds": [{{"kind": {kind}}}]}}]}}]}}}}"#
            )
        };
        let problems =
            |kind: &str| shipped_all_the_same(&Graph::walk(&metadata(kind), &["hub"]).unwrap());
        assert!(problems("\"dev\"").is_empty());
        assert_eq!(
            problems("null"),
            ["webpki-roots is for tests only, and hub ships it"]
        );
    }
}
