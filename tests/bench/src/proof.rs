//! What a lock itself signed, taken out of what the guest told.

use base64ct::{Base64, Encoding};
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::qr::QrCode;
use serde_json::{Value, json};

/// The outcome in a result, verified under the identity of the lock whose code this is.
///
/// # Panics
/// When there is none or the lock did not sign it.
#[must_use]
#[track_caller]
pub fn signed(result: &Value, code: &QrCode) -> Outcome {
    let outcome = || {
        let report = Base64::decode_vec(result["report"].as_str()?).ok()?;
        Outcome::verify(&report, &code.identity).ok()
    };
    outcome().unwrap_or_else(|| panic!("the lock did not sign an outcome in {result}"))
}

/// The same of a command under which something broke: it was done or it was not, and the motor turned `turns` times, which is
/// what the lock signed and nothing besides. `about` says which command it was.
///
/// # Panics
/// When that is not so.
#[must_use]
#[track_caller]
pub fn ended_in_the_truth(result: &Value, code: &QrCode, turns: &str, about: &str) -> Outcome {
    let outcome = signed(result, code);
    assert!(
        matches!(
            outcome.verdict,
            Verdict::Done | Verdict::Expired | Verdict::NotExecuted
        ),
        "{about}: {result}"
    );
    let right = if outcome.verdict == Verdict::Done {
        "1"
    } else {
        "0"
    };
    assert_eq!(turns, right, "{about}: {result}");
    outcome
}

/// The numbers of a log's records: one follows the other, and each of `commands` has its intent and its outcome.
///
/// # Panics
/// When that is not so.
#[must_use]
#[track_caller]
pub fn whole_log(log: &Value, commands: &[impl AsRef<str>], about: &str) -> Vec<u64> {
    let lines = log["log"].as_array();
    let lines = lines.unwrap_or_else(|| panic!("{about}: no log in {log}"));
    let records = || lines.iter().filter(|line| line["kind"] == json!("record"));
    let number = |record: &Value| {
        let number = record["seq"].as_u64();
        number.unwrap_or_else(|| panic!("{about}: a record without a number: {record}"))
    };
    let numbers: Vec<u64> = records().map(number).collect();
    let follow = |pair: &[u64]| matches!(pair, [one, next] if *next == one + 1);
    assert!(numbers.windows(2).all(follow), "{about}: {numbers:?}");
    for command in commands {
        let command = command.as_ref();
        let own = records().filter(|record| record["command"] == json!(command));
        assert_eq!(own.count(), 2, "{about}: {command} in {log}");
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(records: &[(u64, &str)]) -> std::thread::Result<Vec<u64>> {
        let record = |(seq, command): &(u64, &str)| json!({"kind": "record", "seq": seq, "command": command});
        let log = json!({"log": records.iter().map(record).collect::<Vec<_>>()});
        std::panic::catch_unwind(|| whole_log(&log, &["a"], "Front"))
    }

    // Guards: a hole in a log, or a command of which a half is missing, that nobody sees.
    #[test]
    fn a_log_with_a_hole_or_without_a_command_is_not_whole() {
        assert_eq!(numbers(&[(3, "a"), (4, "a"), (5, "b")]).unwrap(), [3, 4, 5]);
        for wrong in [
            &[(3, "a"), (5, "a")][..],
            &[(3, "a"), (4, "b")],
            &[(4, "a"), (3, "a")],
            &[],
        ] {
            assert!(numbers(wrong).is_err(), "{wrong:?}");
        }
        let nothing = json!({});
        assert!(std::panic::catch_unwind(|| whole_log(&nothing, &["a"; 0], "Front")).is_err());
    }
}
