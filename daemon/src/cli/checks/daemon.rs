//! The daemon on this machine, and what it says of its own store, broker and air.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Check, Verdict};
use crate::cli::carrier::{Carrier, local::LocalCarrier};
use crate::cli::fault::Fault;

pub(super) fn check(socket: &Path) -> Vec<Check> {
    let mut carrier = match LocalCarrier::connect(socket) {
        Ok(carrier) => carrier,
        Err(error) => {
            let fault = error.fault("");
            // On an owner's own machine there is no daemon, and none is missed.
            let absent = !socket.exists() && !Path::new("/var/lib/drawbridge").exists();
            let verdict = if absent { Verdict::Skip } else { Verdict::Fail };
            return vec![advised(
                Check::new("daemon", verdict, &fault.message),
                &fault,
            )];
        }
    };
    match carrier.ask("doctor", json!({}), Duration::from_secs(20)) {
        Ok(facts) => {
            let mut checks = vec![Check::new(
                "daemon",
                Verdict::Ok,
                format!("answers on {}", socket.display()),
            )];
            checks.extend(from_facts(&facts));
            checks
        }
        Err(error) => {
            let fault = error.fault("");
            vec![advised(
                Check::new("daemon", Verdict::Fail, &fault.message),
                &fault,
            )]
        }
    }
}

fn advised(check: Check, fault: &Fault) -> Check {
    match &fault.next {
        Some(next) => check.advise(next),
        None => check,
    }
}

/// `{"checks":[{"check","verdict","detail","advice"}],"findings":[{"code","detail","advice"}]}`; an
/// unknown verdict is a warning, never good, and so is every finding.
fn from_facts(facts: &Value) -> Vec<Check> {
    let Some(list) = facts.get("checks").and_then(Value::as_array) else {
        return vec![
            Check::new(
                "daemon checks",
                Verdict::Warn,
                "the daemon named no checks of its own",
            )
            .advise("are daemon and command line of one release?"),
        ];
    };
    let findings = facts.get("findings").and_then(Value::as_array);
    list.iter()
        .map(from_check)
        .chain(findings.into_iter().flatten().map(from_finding))
        .collect()
}

fn text<'v>(fact: &'v Value, name: &str) -> Option<&'v str> {
    fact.get(name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

fn from_check(fact: &Value) -> Check {
    let verdict = match text(fact, "verdict").or_else(|| text(fact, "status")) {
        Some("ok") => Verdict::Ok,
        Some("fail") => Verdict::Fail,
        Some("skip") => Verdict::Skip,
        _ => Verdict::Warn,
    };
    with_advice(fact, text(fact, "check"), verdict)
}

fn from_finding(fact: &Value) -> Check {
    with_advice(fact, text(fact, "code"), Verdict::Warn)
}

fn with_advice(fact: &Value, name: Option<&str>, verdict: Verdict) -> Check {
    let name = format!("daemon {}", name.unwrap_or("?"));
    let check = Check::new(
        &name,
        verdict,
        text(fact, "detail").unwrap_or("no detail was given"),
    );
    match text(fact, "advice") {
        Some(advice) => check.advise(advice),
        None => check,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards: an answer of another form that doctor turns into "all is well".
    #[test]
    fn what_the_daemon_does_not_call_ok_is_not_ok() {
        let checks = from_facts(&json!({"checks": [
            {"check": "store", "verdict": "ok", "detail": "d", "advice": ""},
            {"check": "air", "status": "fail", "detail": "no adapter", "advice": "a"},
            {"check": "x", "verdict": "OK"}, {}, 7,
        ], "findings": [{"code": "battery_low", "detail": "lock 1", "advice": "change"}]}));
        let verdicts: Vec<_> = checks.iter().map(|check| check.verdict).collect();
        assert_eq!(
            verdicts,
            [
                Verdict::Ok,
                Verdict::Fail,
                Verdict::Warn,
                Verdict::Warn,
                Verdict::Warn,
                Verdict::Warn
            ]
        );
        assert_eq!(from_facts(&json!({}))[0].verdict, Verdict::Warn);
    }
}
