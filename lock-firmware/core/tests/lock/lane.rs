//! How far the long loops go, and what they print about it.

/// Whether the long lane was asked for: `DRAWBRIDGE_LANE` is `full`.
pub(crate) fn is_full() -> bool {
    match std::env::var("DRAWBRIDGE_LANE").as_deref() {
        Ok("full") => true,
        Ok("quick") | Err(std::env::VarError::NotPresent) => false,
        other => panic!("DRAWBRIDGE_LANE is neither quick nor full: {other:?}"),
    }
}

/// How many of `full` rounds to run here: all, or one in `share`.
pub(crate) fn rounds(full: u64, share: u64) -> u64 {
    if is_full() {
        full
    } else {
        full.div_ceil(share)
    }
}

/// Prints what was run, in the form that the test run collects.
pub(crate) fn print_count(what: &str, ran: u64, of: u64, seed: u64) {
    let lane = if is_full() { "full" } else { "quick" };
    println!("COUNT {what} {lane} {ran} of {of} seed {seed}");
}

/// Prints how many flash states were booted and judged.
pub(crate) fn print_states(what: &str, states: u64) {
    println!("STATES {what} {states}");
}
