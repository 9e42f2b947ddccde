//! How far the long loops go, from which seed, and what they print about it.

/// `quick` rounds, or `full` with `DRAWBRIDGE_LANE=full`.
#[must_use]
pub fn rounds(quick: u64, full: u64) -> u64 {
    if is_full() { full } else { quick }
}

fn is_full() -> bool {
    match std::env::var("DRAWBRIDGE_LANE").as_deref() {
        Ok("full") => true,
        Ok("quick") | Err(std::env::VarError::NotPresent) => false,
        other => panic!("DRAWBRIDGE_LANE is neither quick nor full: {other:?}"),
    }
}

/// `DRAWBRIDGE_SEED`, or one that is the same every time: a run that fails can be repeated.
///
/// # Panics
/// When it is no decimal number.
#[must_use]
pub fn seed() -> u64 {
    match std::env::var("DRAWBRIDGE_SEED") {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("DRAWBRIDGE_SEED={text} is no decimal number")),
        Err(_) => 20_261_122,
    }
}

/// Prints what was run, in the form that the test run collects.
pub fn print_count(what: &str, ran: u64, of: u64, seed: u64) {
    let lane = if is_full() { "full" } else { "quick" };
    println!("COUNT {what} {lane} {ran} of {of} seed {seed}");
}
