//! The scenario `three_locks`, or the same with fewer: what it checks, and what must be true of it.

use drawbridge_bench::{Report, signed};
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::qr::QrCode;
use serde_json::{Value, json};

pub(crate) const LOCKS: [&str; 3] = ["Front", "Back", "Gate"];
const ACTIONS: [(&str, &str); 2] = [("unlock", "UNLOCKED"), ("lock", "LOCKED")];

/// Checked once, besides the house.
const ONCE: [&str; 4] = [
    "hub_is_up",
    "owner_has_keys",
    "app_listens",
    "Front_is_powered",
];

/// All checks of the scenario with these locks, of which `Front` is one.
pub(crate) fn expected(locks: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = ONCE.map(str::to_owned).to_vec();
    for name in locks {
        for what in [
            "is_powered",
            "is_claimed",
            "unlock_has_an_end",
            "lock_has_an_end",
            "tells_its_state",
            "log_is_whole",
        ] {
            all.push(format!("{name}_{what}"));
        }
    }
    all.sort();
    all.dedup();
    all
}

/// What the lock itself signed, what its motor did and what its log says.
pub(crate) fn judge(report: &Report, locks: &[&str]) {
    for name in locks {
        let code = QrCode::from_text(report.text(&format!("code_{name}"))).unwrap();
        let log: Value = serde_json::from_str(report.text(&format!("log_{name}"))).unwrap();
        for (action, position) in ACTIONS {
            let told = |what: &str| report.text(&format!("{what}_{name}_{action}"));
            let result: Value = serde_json::from_str(told("result")).unwrap();
            assert_eq!(result["status"], json!("done"), "{result}");
            let signed = signed(&result, &code);
            assert_eq!(signed.verdict, Verdict::Done, "{signed:?}");
            assert_eq!(signed.command.to_string(), told("command"));
            assert_eq!(told("turns"), "1", "the motor of {name} for one {action}");
            assert_eq!(told("bolt"), position);
            let records = log["log"].as_array().unwrap().iter();
            let about = records.filter(|record| record["command"] == json!(told("command")));
            assert!(about.count() > 0, "{action} is not in {log}");
            println!(
                "EVIDENCE {name} {action}: {} ms from the signed command to its proven end",
                told("ms")
            );
        }
    }
}
