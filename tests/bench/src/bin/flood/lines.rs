//! Garbage, a line each.

use std::io::{self, Write};

use crate::pace::Pace;

pub(crate) fn flood(per_second: u32) -> io::Result<()> {
    let mut pace = Pace::new(per_second);
    let mut out = io::stdout().lock();
    loop {
        let number = pace.next();
        writeln!(out, "garbage {number} {:0256}", number)?;
        out.flush()?;
    }
}
