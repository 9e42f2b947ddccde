//! What gated figures were at earlier commits, so that none gets worse unnoticed.
//!
//! A figure that does not depend on the machine's speed (a ratio within one run, a size, a count)
//! carries `gate`, a number of which less is better. **A gate more than 5 % above the median of its
//! last records fails, and so does one that is measured no more.** Drift in small steps is what the
//! goals are for.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::failure::{During, Failure};
use crate::figure::Figure;
use crate::tree;

/// One record a line, oldest first.
const FILE: &str = "tests/figures/history.jsonl";
/// How many records a gate is compared with.
const LOOK_BACK: usize = 5;
/// By what factor it may be above their median.
const LIMIT: f64 = 1.05;

/// The gates of one commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    commit: String,
    gates: BTreeMap<String, f64>,
}

/// All records.
#[derive(Debug, Default)]
pub(crate) struct History(Vec<Record>);

impl History {
    /// Reads the history of the workspace at `root`.
    ///
    /// # Errors
    /// When the file cannot be read or a line is no record.
    pub(crate) fn load(root: &Path) -> Result<Self, Failure> {
        Self::parse(&tree::read(root, FILE)?)
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        let lines = text.lines().enumerate();
        let records = lines.map(|(index, line)| {
            serde_json::from_str(line).during(|| format!("read line {} of {FILE}", index + 1))
        });
        Ok(Self(records.collect::<Result<_, _>>()?))
    }

    /// The figures that are worse than they may be: what, from what to what.
    pub(crate) fn regressions(&self, figures: &[Figure]) -> Vec<String> {
        let worse = figures.iter().filter_map(|figure| {
            let (key, gate) = gate_of(figure)?;
            let usual = self.usual(&key)?;
            (gate > usual * LIMIT).then(|| {
                let percent = (gate / usual - 1.0) * 100.0;
                format!(
                    "{key}: {gate} is {percent:.1} % above {usual}, the median of its last records"
                )
            })
        });
        worse.collect()
    }

    /// What the newest record holds and `figures` of the same programs lack, or the other way round.
    pub(crate) fn differences(&self, figures: &[Figure]) -> Vec<String> {
        let now: BTreeMap<String, f64> = figures.iter().filter_map(gate_of).collect();
        let empty = BTreeMap::new();
        let newest = self.0.last().map_or(&empty, |record| &record.gates);
        let gone = newest.keys().filter(|key| !now.contains_key(*key));
        let gone = gone.map(|key| format!("{key} is in {FILE} and was not measured"));
        let new = now.keys().filter(|key| !newest.contains_key(*key));
        let new = new.map(|key| format!("{key} is not in {FILE}: run tests/run figures --write"));
        gone.chain(new).collect()
    }

    fn usual(&self, key: &str) -> Option<f64> {
        let records = self.0.iter().rev();
        let mut last: Vec<f64> = records
            .filter_map(|record| record.gates.get(key).copied())
            .take(LOOK_BACK)
            .collect();
        last.sort_by(f64::total_cmp);
        last.get(last.len() / 2).copied()
    }
}

/// Adds a record of `figures` to the history.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn append(context: &Context, figures: &[Figure]) -> Result<(), Failure> {
    let record = Record {
        commit: context.origin.commit.clone(),
        gates: figures.iter().filter_map(gate_of).collect(),
    };
    let mut text = tree::read(&context.root, FILE)?;
    text.push_str(&serde_json::to_string(&record).during(|| "write a record".to_owned())?);
    text.push('\n');
    std::fs::write(context.root.join(FILE), text).during(|| format!("write {FILE}"))
}

/// Of two measurements of the same things, the better one of each: what is slower in one of them
/// was disturbed, what is slower in both is slow.
pub(crate) fn better_of(first: Vec<Figure>, second: &[Figure]) -> Vec<Figure> {
    let better = |figure: Figure| {
        let Some((key, gate)) = gate_of(&figure) else {
            return figure;
        };
        let other = second
            .iter()
            .find(|other| gate_of(other).is_some_and(|(name, less)| name == key && less < gate));
        other.cloned().unwrap_or(figure)
    };
    first.into_iter().map(better).collect()
}

fn gate_of(figure: &Figure) -> Option<(String, f64)> {
    let gate = figure.more.get("gate")?.as_f64()?;
    let part = figure.more.get("part").and_then(|part| part.as_str());
    Some((format!("{} {}", figure.id, part.unwrap_or_default()), gate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(part: &str, gate: f64) -> Figure {
        let line = format!(
            r#"{{"id":"P08","value":{gate},"unit":"MB","baseline":null,"ratio":null,"goal":"<= 6 MB","met":true,"n":1,"part":"{part}","gate":{gate}}}"#
        );
        Figure::parse(&line).unwrap().unwrap()
    }

    fn history(gates: &[f64]) -> History {
        let lines = gates
            .iter()
            .map(|gate| format!("{{\"commit\":\"c\",\"gates\":{{\"P08 RSS\":{gate}}}}}\n"));
        History::parse(&lines.collect::<String>()).unwrap()
    }

    // Guards: a figure that gets worse by more than 5 % in one step and passes, because its goal is
    // far away; and a run that fails for nothing.
    #[test]
    fn gate_fails_above_five_percent_only() {
        let history = history(&[10.0]);
        assert!(history.regressions(&[figure("RSS", 10.49)]).is_empty());
        let found = history.regressions(&[figure("RSS", 10.51)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("P08 RSS: 10.51 is 5.1 % above 10"));
    }

    // Guards: one lucky or one disturbed record that moves the bar.
    #[test]
    fn bar_is_the_median_of_the_last_five_records() {
        let history = history(&[50.0, 10.0, 10.0, 1.0, 10.0, 90.0]);
        assert!(history.regressions(&[figure("RSS", 10.4)]).is_empty());
        assert_eq!(history.regressions(&[figure("RSS", 10.6)]).len(), 1);
    }

    // Guards: a gate that disappears with the code that printed it, and one that never gets a bar.
    #[test]
    fn gates_without_record_and_records_without_gate_are_told() {
        let history = history(&[10.0]);
        assert!(history.differences(&[figure("RSS", 10.0)]).is_empty());
        assert_eq!(history.differences(&[]).len(), 1);
        assert_eq!(
            history
                .differences(&[figure("RSS", 1.0), figure("Pss", 1.0)])
                .len(),
            1
        );
    }

    // Guards: a disturbed measurement called a regression, or a regression excused by an
    // undisturbed measurement of something else.
    #[test]
    fn better_measurement_of_each_counts() {
        let first = vec![figure("RSS", 12.0), figure("Pss", 7.0)];
        let best = better_of(first, &[figure("RSS", 10.0), figure("Pss", 8.0)]);
        let gates: Vec<f64> = best
            .iter()
            .filter_map(gate_of)
            .map(|(_, gate)| gate)
            .collect();
        assert_eq!(gates, [10.0, 7.0]);
    }

    // Guards: a damaged line that silently takes the bar away.
    #[test]
    fn damaged_history_is_an_error() {
        assert!(History::parse("{\"commit\":\"c\"}\n").is_err());
        assert!(History::parse("\n").is_err());
        assert!(History::parse("").is_ok());
    }
}
