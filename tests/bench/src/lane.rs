//! How much of a scenario is run here.

/// How often to repeat a fault: `quick` times, or `full` when `DRAWBRIDGE_LANE` is `full`. Prints the count with its seed.
///
/// # Panics
/// When `DRAWBRIDGE_LANE` is neither `quick` nor `full`: a misspelt lane must not shrink the count.
#[must_use]
pub fn rounds(name: &str, quick: u64, full: u64) -> u64 {
    let lane = std::env::var("DRAWBRIDGE_LANE").unwrap_or_else(|_| "quick".to_owned());
    let count = match lane.as_str() {
        "quick" => quick,
        "full" => full,
        other => panic!("DRAWBRIDGE_LANE is '{other}', wanted full or quick"),
    };
    println!("COUNT {name} {lane} {count} of {full} seed {}", seed());
    count
}

/// The seed of this run (`DRAWBRIDGE_SEED`), 1 when none is given.
#[must_use]
pub fn seed() -> u64 {
    let seed = std::env::var("DRAWBRIDGE_SEED").ok();
    seed.and_then(|seed| seed.parse().ok()).unwrap_or(1)
}
