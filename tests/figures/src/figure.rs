//! One line of output.

use serde_json::{Map, Value, json};

/// A figure on its way out.
#[derive(Debug)]
pub(crate) struct Figure {
    id: &'static str,
    part: Option<String>,
    value: f64,
    unit: &'static str,
    baseline: Value,
    ratio: Option<f64>,
    goal: Value,
    met: bool,
    n: usize,
    more: Map<String, Value>,
}

impl Figure {
    /// A value that nothing is asked of: it says where another one comes from.
    pub(crate) fn information(
        id: &'static str,
        part: &str,
        value: f64,
        unit: &'static str,
        n: usize,
    ) -> Self {
        Self {
            id,
            part: Some(part.to_owned()),
            value,
            unit,
            baseline: Value::Null,
            ratio: None,
            goal: json!("information"),
            met: true,
            n,
            more: Map::new(),
        }
    }

    /// A value that should not be above `limit`.
    pub(crate) fn at_most(
        id: &'static str,
        part: &str,
        value: f64,
        unit: &'static str,
        limit: f64,
        n: usize,
    ) -> Self {
        Self {
            goal: json!(format!("<= {limit} {unit}")),
            met: value <= limit,
            ..Self::information(id, part, value, unit, n)
        }
    }

    /// Says in other words what is asked of it.
    pub(crate) fn goal_in_words(mut self, goal: &str) -> Self {
        self.goal = json!(goal);
        self
    }

    /// What it is compared with, in words.
    pub(crate) fn beside(mut self, baseline: &str) -> Self {
        self.baseline = json!(baseline);
        self
    }

    /// What it is compared with, in the same unit, as information.
    pub(crate) fn against(mut self, baseline: f64) -> Self {
        self.baseline = json!(rounded(baseline));
        self.ratio = (baseline > 0.0).then(|| rounded(self.value / baseline));
        self
    }

    /// Says more about it.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.to_owned(), value.into());
        self
    }

    /// Marks it as one that must not get worse from commit to commit: its ratio if it has one, else its value.
    /// Only for what does not depend on how fast the machine is.
    pub(crate) fn gated(self) -> Self {
        self.gated_above(0.0)
    }

    /// [`gated`](Self::gated), where whatever is below `level` is as good as `level`: for a ratio that the machine moves,
    /// and that must not leave its side of a line.
    pub(crate) fn gated_above(self, level: f64) -> Self {
        let gate = self.ratio.unwrap_or_else(|| rounded(self.value));
        self.with("gate", gate.max(level))
    }

    /// Prints it.
    pub(crate) fn print(self) {
        let mut line = json!({
            "id": self.id,
            "value": rounded(self.value),
            "unit": self.unit,
            "baseline": self.baseline,
            "ratio": self.ratio,
            "goal": self.goal,
            "met": self.met,
            "n": self.n,
        });
        if let Some(object) = line.as_object_mut() {
            object.extend(self.part.map(|part| ("part".to_owned(), json!(part))));
            object.extend(self.more);
        }
        println!("{line}");
    }
}

/// Four digits after the point are more than any of these measurements holds.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ratio that the machine moves would fail runs for nothing; one without a bar would hide a hub that became
    /// slower than what it is compared with.
    #[test]
    fn gate_above_a_level_hears_only_what_is_above_it() {
        let gate = |value: f64| {
            let figure = Figure::information("P01", "p50", value, "us", 1).against(100.0);
            figure.gated_above(1.0).more["gate"].as_f64()
        };
        assert_eq!(gate(62.4), Some(1.0));
        assert_eq!(gate(100.0), Some(1.0));
        assert_eq!(gate(150.0), Some(1.5));
    }
}
