//! Copies standard input to standard output and puts the time before each line: milliseconds since 1970.

use std::io::{self, BufRead, Write};
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let stamped = format!("{} ", now.unwrap_or_default().as_millis());
        // One write a line: whoever looks meanwhile sees whole lines.
        let line = [stamped.as_bytes(), &std::mem::take(&mut line)].concat();
        output.write_all(&line)?;
        output.flush()?;
    }
    Ok(())
}
