//! Hub, locks and their owner over BlueZ, from the code on the lock to its signed log.

mod three_locks;

use drawbridge_bench::Scenario;

// Guards: a radio that works on the virtual air and not with the real bluetoothd, kernel and host of a lock.
#[test]
fn three_locks_are_paired_through_bluez_and_obey_mosquittos_client() {
    let report = Scenario::new("three_locks").run().unwrap();
    report.expect_all(&three_locks::expected());
    three_locks::judge(&report);
    assert!(
        report.value("channels") > 0,
        "no link was over an L2CAP channel"
    );
}

// Guards: a lock that runs on a simulated controller's socket only, and on no adapter of a real machine.
#[test]
fn three_locks_on_user_channels_of_the_kernel_are_paired_and_obey() {
    let report = Scenario::new("three_locks")
        .with("USER_CHANNELS", true)
        .run()
        .unwrap();
    let mut expected = three_locks::expected();
    for name in three_locks::LOCKS {
        expected.extend(["has_an_adapter", "has_it_alone"].map(|what| format!("{name}_{what}")));
    }
    report.expect_all(&expected);
    three_locks::judge(&report);
}

// Guards: a fallback that nobody ever used, on the day on which a controller refuses L2CAP channels.
#[test]
fn three_locks_are_paired_and_obey_over_gatt_alone() {
    let report = Scenario::new("three_locks")
        .with("GATT_ONLY", true)
        .run()
        .unwrap();
    report.expect_all(&three_locks::expected());
    three_locks::judge(&report);
    assert_eq!(
        report.value("channels"),
        0,
        "a link was over an L2CAP channel"
    );
}
