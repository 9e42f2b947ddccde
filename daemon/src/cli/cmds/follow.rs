//! `drawbridge events`, `drawbridge watch`: one line per update, until told to end.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::args::StreamArgs;
use crate::cli::carrier::Stream;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::fault::Fault;
use crate::cli::output::unwritten;
use crate::cli::plain_text::plain;
use crate::cli::render::simple;

/// How often the time limit is looked at.
const SLICE: Duration = Duration::from_secs(1);

pub(super) fn run(context: &Context, stream: Stream, args: &StreamArgs) -> Result<Exit, Fault> {
    let mut carrier = context.carrier()?;
    carrier.follow(stream).map_err(|error| error.fault(""))?;
    context
        .output
        .note(&format!("following {} (end with Ctrl-C)", carrier.place()));
    let start = Instant::now();
    let limit = args.seconds.map(Duration::from_secs);
    let mut count = 0;
    while args.count.is_none_or(|most| count < most) {
        let left = limit.map_or(SLICE, |limit| {
            limit.saturating_sub(start.elapsed()).min(SLICE)
        });
        if left.is_zero() {
            break;
        }
        if let Some(update) = carrier.update(left).map_err(|error| error.fault(""))? {
            count += 1;
            match context.output.show(&update, || line(&update)) {
                Ok(()) => {}
                // Whoever followed has seen enough.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
                Err(error) => return Err(unwritten(Exit::Refused, &error)),
            }
        }
    }
    Ok(Exit::Done)
}

/// `topic  key=value ...`, or what else the update is made of.
fn line(update: &Value) -> String {
    let subject = ["topic", "event", "kind"]
        .iter()
        .find_map(|key| update.get(*key))
        .map_or_else(String::new, simple);
    let body = match (update.get("data"), update) {
        (Some(data), _) => data,
        (None, whole) => whole,
    };
    let details = match body {
        Value::Object(fields) => fields
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "report" | "topic" | "event" | "kind"))
            .map(|(key, value)| format!("{}={}", plain(key), simple(value)))
            .collect::<Vec<_>>()
            .join(" "),
        other => simple(other),
    };
    format!("{subject:<36}  {details}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // Guards (S26): an event that forges a second one.
    #[test]
    fn s26_an_update_is_one_line_whatever_is_in_it() {
        let text = line(
            &json!({"topic": "event\nx", "data": {"na\nme": "a\r\nb\u{202e}", "report": "AAAA"}}),
        );
        assert_eq!(text.lines().count(), 1);
        assert!(
            !text.contains('\r') && !text.contains('\u{202e}') && !text.contains("AAAA"),
            "{text}"
        );
        assert_eq!(
            line(&json!({"topic": "state", "data": "online"}))
                .split_whitespace()
                .collect::<Vec<_>>(),
            ["state", "online"]
        );
    }
}
