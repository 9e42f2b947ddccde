//! How much of a scenario is run here.

/// How often to repeat a fault: `quick` times, or `full` when `DRAWBRIDGE_LANE` is `full`. Prints the count with its seed.
///
/// # Panics
/// When `DRAWBRIDGE_LANE` is neither `quick` nor `full`: a misspelt lane must not shrink the count.
#[must_use]
pub fn rounds(name: &str, quick: u64, full: u64) -> u64 {
    let count = of_lane(quick, full);
    told(name, count, full);
    count
}

/// Tells how many of all that there is to repeat were repeated, where only the guest knows how many that is.
///
/// # Panics
/// As [`rounds`].
pub fn told(name: &str, count: u64, all: u64) {
    let lane = of_lane("quick", "full");
    println!("COUNT {name} {lane} {count} of {all} seed {}", seed());
}

/// What is for this lane, `quick` or `full`.
///
/// # Panics
/// As [`rounds`].
#[must_use]
pub fn of_lane<T>(quick: T, full: T) -> T {
    match std::env::var("DRAWBRIDGE_LANE").as_deref() {
        Err(_) | Ok("quick") => quick,
        Ok("full") => full,
        Ok(other) => panic!("DRAWBRIDGE_LANE is '{other}', wanted full or quick"),
    }
}

/// The seed of this run (`DRAWBRIDGE_SEED`), 1 when none is given.
#[must_use]
pub fn seed() -> u64 {
    let seed = std::env::var("DRAWBRIDGE_SEED").ok();
    seed.and_then(|seed| seed.parse().ok()).unwrap_or(1)
}
