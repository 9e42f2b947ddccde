//! The command line.

use std::ops::Range;

use clap::Parser;

/// What `drawbridge-sim` is told.
#[derive(Debug, Parser)]
#[command(
    name = "drawbridge-sim",
    about = "Runs hub, locks, air, broker, disk, clock and users in one process on virtual time",
    long_about = "Runs the hub's core, three locks' cores, air, broker, disk, clock and users in one process on \
virtual time, and looks at the invariants I1 to I7 after each step.\n\n\
A run follows from its seed alone: commands (valid, expired, forged, spoilt, repeated, retained) and faults \
(crashes of the hub between any two actions, power cuts of locks at any flash write, a full, broken or slow disk, \
a broker that breaks, forgets and spoils, air that loses, repeats and spoils packets, a wall clock set to 1970 or \
ten years off) are drawn before it begins. Every six virtual hours the faults end, and within 120 s everything \
has to be well.",
    after_long_help = "Examples:\n  \
drawbridge-sim --seeds 1..100                        a hundred days\n  \
drawbridge-sim --seeds 17..18 --trace                one day, told step by step\n  \
drawbridge-sim --seeds 1..21 --plant lock_obeys_expired_command\n  \
                                                     a bug of tests/planted put into a copy; it must be found\n\n\
A violation prints its seed, the invariant, and the shortest schedule that still shows it.\n\
The last line is `N passed, N failed`; the exit code is 1 when a run failed, 2 when the request was wrong."
)]
pub(crate) struct Args {
    /// Seeds from A up to and without B; one number is one seed
    #[arg(long, value_name = "A..B", default_value = "1..21", value_parser = seeds)]
    pub(crate) seeds: Range<u64>,
    /// Length of each run in virtual hours
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=8_760))]
    pub(crate) virtual_hours: u64,
    /// Put this bug of tests/planted into a copy of the project and expect a violation
    #[arg(long, value_name = "NAME")]
    pub(crate) plant: Option<String>,
    /// One JSON object a run and one for all, instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// Tell what happens, step by step
    #[arg(long, conflicts_with = "json")]
    pub(crate) trace: bool,
    /// Do not make failing runs short
    #[arg(long)]
    pub(crate) no_shrink: bool,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| {
        text.parse::<u64>()
            .map_err(|_| format!("{text:?} is no decimal number"))
    };
    let range = match text.split_once("..") {
        Some((from, to)) => number(from)?..number(to)?,
        None => {
            let seed = number(text)?;
            seed..seed.saturating_add(1)
        }
    };
    if range.is_empty() {
        return Err("there is no seed between them".into());
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards: a range read as empty, which passes because nothing ran.
    #[test]
    fn seeds_are_a_range_that_is_not_empty() {
        assert_eq!(seeds("3..7"), Ok(3..7));
        assert_eq!(seeds("9"), Ok(9..10));
        for bad in ["7..3", "7..7", "a..b", "", "-1..4"] {
            assert!(seeds(bad).is_err(), "{bad}");
        }
    }
}
