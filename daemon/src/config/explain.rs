//! From a parser's error to a line and the word that was probably meant.

use std::path::Path;

use super::error::ConfigError;
use crate::strict_json::quotable;

/// How alike two words must be (Jaro-Winkler, 0 to 1) to be offered.
const ALIKE: f64 = 0.75;

pub(super) fn explain(error: &toml::de::Error, text: &str, path: &Path) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.as_bytes().get(..at).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default())
        .chars()
        .count()
        + 1;
    ConfigError::Parse {
        path: path.to_owned(),
        line,
        column,
        what: quotable(error.message(), 400),
        suggestion: nearest(error.message()),
    }
}

/// serde's text is `unknown field `x`, expected one of `a`, `b``; the words between backticks are all we need.
fn nearest(message: &str) -> Option<String> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let (given, expected) = message.split_once(", expected ")?;
    let given = given.split('`').nth(1)?;
    expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|word| (strsim::jaro_winkler(given, word), word))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word.to_owned())
}
