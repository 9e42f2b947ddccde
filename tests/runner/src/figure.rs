//! Figures: numbers with a goal and a verdict, printed by the programs that measure them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::claims::split_id;

/// One figure, as its program prints it (one JSON object a line).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// P number.
    pub(crate) id: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    /// What it is compared with: a number or words; `null` if nothing.
    pub(crate) baseline: Value,
    /// Value over baseline, where there is a baseline in numbers.
    pub(crate) ratio: Option<f64>,
    /// What it should be, as a number or in words.
    pub(crate) goal: Value,
    /// Whether the goal was met in this run.
    pub(crate) met: bool,
    /// Samples behind the value.
    pub(crate) n: u64,
    /// Anything else the program says, such as the part of a split figure.
    #[serde(flatten)]
    pub(crate) more: Map<String, Value>,
}

impl Figure {
    /// Reads a line; `None` if it is not a JSON object with an `id`.
    ///
    /// # Errors
    /// Why an object with an `id` is no figure.
    pub(crate) fn parse(line: &str) -> Option<Result<Self, String>> {
        let line = line.trim();
        let value: Value = serde_json::from_str(line).ok()?;
        value.get("id")?;
        Some(Self::judge(value).map_err(|error| format!("not a figure ({error}): {line}")))
    }

    fn judge(value: Value) -> Result<Self, String> {
        for key in ["baseline", "ratio", "goal"] {
            if value.get(key).is_none() {
                return Err(format!("no `{key}`"));
            }
        }
        let figure: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        if split_id(&figure.id).is_none_or(|(letter, _)| letter != 'P') {
            Err(format!("{} is not a P number", figure.id))
        } else if figure.n == 0 {
            Err("no samples".to_owned())
        } else {
            Ok(figure)
        }
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let mut text = format!("{} {} {}", self.id, self.value, self.unit);
        if let Some(part) = self.more.get("part").and_then(Value::as_str) {
            text.push_str(&format!(" ({part})"));
        }
        if let Some(ratio) = self.ratio {
            text.push_str(&format!(", {ratio:.2}x of {}", words(&self.baseline)));
        }
        let verdict = if self.met { "met" } else { "MISSED" };
        text.push_str(&format!(
            ", goal {}: {verdict}, n={}",
            words(&self.goal),
            self.n
        ));
        text
    }

    /// Whether `docs/known-issues.md` names this number in a heading, with where the time goes.
    pub(crate) fn is_known(&self, known_issues: &str) -> bool {
        is_headed(known_issues, split_id(&self.id))
    }
}

/// Whether a heading of `known_issues` begins with the number `id`.
pub(crate) fn is_headed(known_issues: &str, id: Option<(char, u32)>) -> bool {
    id.is_some()
        && known_issues.lines().any(|line| {
            line.strip_prefix("## ").is_some_and(|title| {
                let first = title.split(|c: char| !c.is_ascii_alphanumeric()).next();
                first.and_then(split_id) == id
            })
        })
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"id":"P14","value":21.5,"unit":"ms","baseline":null,"ratio":null,"goal":"<= 30 ms","met":true,"n":20}"#;

    // Guards: a figure without its goal or samples, printed as if it were one.
    #[test]
    fn incomplete_figures_are_refused() {
        assert!(Figure::parse(LINE).unwrap().is_ok());
        for (from, to) in [
            ("\"goal\":\"<= 30 ms\",", ""),
            ("\"n\":20", "\"n\":0"),
            ("P14", "S14"),
            (",\"met\":true", ""),
        ] {
            let line = LINE.replace(from, to);
            assert!(Figure::parse(&line).unwrap().is_err(), "{line}");
        }
        assert!(Figure::parse("progress 3 of 4").is_none());
    }

    // Guards: a missed goal excused by any mention of its number in passing.
    #[test]
    fn missed_goal_is_known_only_by_its_own_heading() {
        let figure = Figure::parse(LINE).unwrap().unwrap();
        assert!(figure.is_known("# Known\n\n## P14: start takes longer\n"));
        assert!(!figure.is_known("See P14.\n## P1: other\n## P140 other\n"));
    }
}
