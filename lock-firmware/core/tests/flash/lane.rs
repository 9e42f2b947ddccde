//! How far the power-cut tests go, and what they print about it.

/// `quick` is for every build; `full` is for the lane that may take minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Quick,
    Full,
}

impl Lane {
    /// From `DRAWBRIDGE_LANE`; anything but `full` or `quick` is a mistake worth stopping for.
    pub(crate) fn chosen() -> Self {
        match std::env::var("DRAWBRIDGE_LANE").as_deref() {
            Ok("full") => Self::Full,
            Ok("quick") | Err(std::env::VarError::NotPresent) => Self::Quick,
            other => panic!("DRAWBRIDGE_LANE is neither quick nor full: {other:?}"),
        }
    }

    /// Seeds per cut point and tear model.
    pub(crate) fn seeds(self) -> u64 {
        match self {
            Self::Quick => 1,
            Self::Full => 12,
        }
    }

    /// How many cut points apart the points that get nested cuts lie.
    pub(crate) fn nested_stride(self) -> u64 {
        match self {
            Self::Quick => 29,
            Self::Full => 5,
        }
    }
}

/// Prints how many flash states were mounted and judged, in the form that the test run collects.
pub(crate) fn print_states(what: &str, states: u64) {
    let digits = states.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    println!("STATES {what} {grouped}");
}
