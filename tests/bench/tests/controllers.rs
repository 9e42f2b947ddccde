//! BlueZ and its controllers, without the hub.

use drawbridge_bench::Scenario;

// Guards: a bench whose air carries nothing, in which every later test would fail or, worse, pass for nothing.
#[test]
fn bluez_manages_two_controllers_over_rootcanal() {
    let report = Scenario::new("two_controllers").run().unwrap();
    report.expect(&[
        "bus_is_up",
        "air_is_up",
        "bluez_is_on_the_bus",
        "hci0_is_known",
        "hci0_is_switched_on",
        "hci0_says_that_it_is_on",
        "hci1_is_known",
        "hci1_is_switched_on",
        "hci1_says_that_it_is_on",
        "addresses_differ",
        "one_hears_the_other",
    ]);
}
