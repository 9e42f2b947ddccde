//! What somebody learns who hears the hub's Bluetooth, from captures of its controller in the guest.

mod links_nothing;
mod needles;
mod secrets;
mod shows_nothing;

/// The locks of both scenarios. A name of fewer than eight letters would be too short to be looked for.
const LOCKS: [&str; 2] = ["Frontdoor", "Gardengate"];

/// Checked once, besides the house.
const ONCE: [&str; 4] = [
    "capture_runs",
    "hub_is_up",
    "owner_has_keys",
    "capture_is_written",
];

/// These, and for each lock what is said of it.
fn expected(once: &[&str], of_each: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = ONCE
        .iter()
        .chain(once)
        .map(|&name| name.to_owned())
        .collect();
    for lock in LOCKS {
        all.extend(of_each.iter().map(|what| format!("{lock}_{what}")));
    }
    all
}
