//! One lock is paired and obeys while bluetoothd is killed under it; how soon all is right again, by the guest's clock.

use std::time::Duration;

use drawbridge_bench::{Clock, Scenario, ended_in_the_truth, rounds, seed};
use drawbridge_protocol::qr::QrCode;
use serde_json::Value;

// Guards: notifications that stay away after bluetoothd's return, and a command that then has no end or a wrong one.
#[test]
fn f01_bluetoothd_killed_under_commands_is_back_within_1_5_s() {
    let rounds = rounds("f01_kills", 3, 50);
    let scenario = Scenario::new("bluetoothd_killed")
        .with("ROUNDS", rounds)
        .with("SEED", seed())
        .within(
            Duration::from_secs(60 + 60 * rounds),
            Duration::from_secs(600 + 60 * rounds),
        )
        .on(Clock::Counted);
    let report = scenario.run().unwrap();
    report.expect_in_house(&[
        "lock_is_powered",
        "hub_is_up",
        "owner_has_keys",
        "app_listens",
        "lock_is_claimed",
        "hub_still_obeys",
        "log_is_whole",
        "hub_was_never_restarted",
    ]);
    let code = QrCode::from_text(report.text("code_Front")).unwrap();
    for round in 1..=rounds {
        let told = |what: &str| report.text(&format!("{what}_{round}"));
        let result: Value = serde_json::from_str(told("result")).unwrap();
        // Whatever became of the command: the motor did what the lock signed, and nothing besides.
        let _outcome = ended_in_the_truth(&result, &code, told("turns"), told("action"));
        let ms = report.took(&format!("returned_{round}"), &format!("ready_{round}"));
        assert!(ms <= 1_500, "round {round}: ready after {ms} ms");
        println!(
            "EVIDENCE f01: ready {ms} ms after bluetoothd's return; the command under it: {}",
            result["status"]
        );
    }
}
