//! Hub, locks and their owner over BlueZ, from the code on the lock to its signed log.

mod three_locks;

use drawbridge_bench::Scenario;
use three_locks::LOCKS;

// Guards: a radio that works on the virtual air and not with the real bluetoothd, kernel and host of a lock.
#[test]
fn three_locks_are_paired_through_bluez_and_obey_mosquittos_client() {
    let report = Scenario::new("three_locks").run().unwrap();
    report.expect_in_house(&three_locks::expected(&LOCKS));
    three_locks::judge(&report, &LOCKS);
    assert!(
        report.value("channels") > 0,
        "no link was over an L2CAP channel"
    );
}

/// Each of these locks has an adapter of the kernel for itself.
fn on_user_channels(scenario: Scenario, locks: &[&str]) {
    let report = scenario
        .with("NAMES", locks.join(" "))
        .with("USER_CHANNELS", true)
        .run()
        .unwrap();
    let mut expected = three_locks::expected(locks);
    for name in locks {
        expected.extend(["has_an_adapter", "has_it_alone"].map(|what| format!("{name}_{what}")));
    }
    report.expect_in_house(&expected);
    three_locks::judge(&report, locks);
}

// Guards: a lock that runs on a simulated controller's socket only, and on no adapter of a real machine.
#[test]
fn three_locks_on_user_channels_of_the_kernel_are_paired_and_obey() {
    on_user_channels(Scenario::new("three_locks"), &LOCKS);
}

// Guards: a hub and a lock that get along with one make of controller only.
//
// btvirt: gives what comes over a link the sender's number of it, so that a controller's second link carries nothing.
// Seen: 5.82. So: one lock.
#[test]
fn lock_over_btvirt_is_paired_and_obeys() {
    on_user_channels(
        Scenario::new("three_locks").with("AIR", "btvirt"),
        &LOCKS[..1],
    );
}

// Guards: a fallback that nobody ever used, on the day on which a controller refuses L2CAP channels.
#[test]
fn three_locks_are_paired_and_obey_over_gatt_alone() {
    let report = Scenario::new("three_locks")
        .with("GATT_ONLY", true)
        .run()
        .unwrap();
    report.expect_in_house(&three_locks::expected(&LOCKS));
    three_locks::judge(&report, &LOCKS);
    assert_eq!(
        report.value("channels"),
        0,
        "a link was over an L2CAP channel"
    );
}
