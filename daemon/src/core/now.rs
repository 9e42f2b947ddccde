//! Time, as the machines are told it.

/// What the caller's clocks say when it hands over an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that only rises; its zero means nothing.
    pub mono_ms: u64,
    /// Unix seconds, if the wall clock can be trusted; only ever shown, never compared with a
    /// deadline (F10).
    pub unix_s: Option<u64>,
}

impl Now {
    /// The wall clock as RFC 3339 in UTC, if there is one.
    #[must_use]
    pub fn rfc3339(&self) -> Option<String> {
        self.unix_s.map(rfc3339)
    }
}

/// Days to civil date after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn rfc3339(unix_s: u64) -> String {
    // Year 9999 bounds the four digits that RFC 3339 gives a year.
    let unix_s = unix_s.min(253_402_300_799);
    let (days, second) = (unix_s / 86_400 + 719_468, unix_s % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    /// Guards: leap days and century years in a hand-made calendar.
    #[test]
    fn wall_clock_is_written_as_rfc3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(rfc3339(1_709_164_800), "2024-02-29T00:00:00Z");
        assert_eq!(rfc3339(4_107_542_400), "2100-03-01T00:00:00Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
