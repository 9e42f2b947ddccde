//! `drawbridge status`.

use std::time::Duration;

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::fault::Fault;
use crate::cli::render::document;

pub(super) fn run(context: &Context) -> Result<Exit, Fault> {
    let mut carrier = context.carrier()?;
    let status = carrier
        .ask("status", json!({}), Duration::from_secs(10))
        .map_err(|error| error.fault(""))?;
    context.output.answer(&status, || {
        format!("{}\n{}", carrier.place(), document(&status))
    });
    Ok(Exit::Done)
}
