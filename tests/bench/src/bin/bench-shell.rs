//! Boots a guest with a shell on this terminal: `tests/bench/run --shell [SCRIPT]`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let script = std::env::args().nth(1);
    drawbridge_bench::shell(script.as_deref().unwrap_or("three_locks"))?;
    Ok(())
}
