//! Branches and lines that ran, read from what `llvm-cov export` writes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::explained::Gap;
use crate::failure::{During, Failure};

#[derive(Debug, Deserialize)]
struct Export {
    data: Vec<Data>,
}

#[derive(Debug, Deserialize)]
struct Data {
    files: Vec<File>,
    functions: Vec<Function>,
}

#[derive(Debug, Deserialize)]
struct File {
    filename: String,
    summary: Summary,
}

#[derive(Debug, Deserialize)]
struct Summary {
    lines: Lines,
}

#[derive(Debug, Deserialize)]
struct Lines {
    count: u64,
    covered: u64,
}

#[derive(Debug, Deserialize)]
struct Function {
    filenames: Vec<String>,
    /// First line and column, last line and column, how often true, how often false, index into
    /// `filenames`, index of the file of a macro, kind.
    branches: Vec<[u64; 9]>,
}

/// Where a condition is: line and column of its first byte and behind its last, from 1.
type Span = (u64, u64, u64, u64);

/// One source file.
#[derive(Debug, Default)]
pub(crate) struct Covered {
    pub(crate) lines: u64,
    pub(crate) lines_run: u64,
    /// How often each condition was true and was false, over all instances of a generic function.
    branches: BTreeMap<Span, (u64, u64)>,
}

impl Covered {
    /// Two for each condition.
    pub(crate) fn sides(&self) -> usize {
        self.branches.len() * 2
    }

    pub(crate) fn sides_run(&self) -> usize {
        let runs = |(yes, no): &(u64, u64)| usize::from(*yes > 0) + usize::from(*no > 0);
        self.branches.values().map(runs).sum()
    }

    /// The conditions in `source` that had one outcome only, or none.
    pub(crate) fn gaps(&self, file: &str, source: &str) -> BTreeSet<Gap> {
        let lines: Vec<&str> = source.lines().collect();
        let mut gaps = BTreeSet::new();
        for (span, (yes, no)) in &self.branches {
            for (count, what) in [(yes, "never true"), (no, "never false")] {
                if *count == 0 {
                    gaps.insert(Gap {
                        file: file.to_owned(),
                        function: function_at(&lines, span.0),
                        line: text_of(&lines, *span),
                        what: what.to_owned(),
                    });
                }
            }
        }
        gaps
    }
}

/// Reads an export; the keys are paths as the compiler was given them.
///
/// # Errors
/// When it is in another form.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, Covered>, Failure> {
    let export: Export =
        serde_json::from_str(text).during(|| "read the exported coverage".to_owned())?;
    let mut all: BTreeMap<String, Covered> = BTreeMap::new();
    for data in export.data {
        for file in data.files {
            let covered = all.entry(file.filename).or_default();
            covered.lines += file.summary.lines.count;
            covered.lines_run += file.summary.lines.covered;
        }
        for function in data.functions {
            for [line, column, last, end, yes, no, file, ..] in function.branches {
                let Some(file) = function.filenames.get(file as usize) else {
                    return Err(Failure::new("find the file of a branch"));
                };
                let covered = all.entry(file.clone()).or_default();
                let counts = covered
                    .branches
                    .entry((line, column, last, end))
                    .or_default();
                counts.0 += yes;
                counts.1 += no;
            }
        }
    }
    Ok(all)
}

/// The function around a line of code that rustfmt has put in order: the nearest one above that
/// is indented less.
fn function_at(lines: &[&str], line: u64) -> String {
    let indent = |text: &str| text.len() - text.trim_start().len();
    let above = lines.get(..line as usize).unwrap_or(lines);
    let depth = above.last().map_or(0, |text| indent(text));
    let mut names = above.iter().rev().filter_map(|text| {
        let (before, after) = text.split_once("fn ")?;
        let heads = before
            .split_whitespace()
            .all(|word| matches!(word, "const" | "async" | "pub") || word.starts_with("pub("));
        let name = after.split(['(', '<']).next()?;
        (heads && (indent(text) < depth || depth == 0)).then(|| name.to_owned())
    });
    names.next().unwrap_or_default()
}

/// The words of a condition, on one line.
fn text_of(lines: &[&str], (line, column, last, end): Span) -> String {
    let cut = |number: u64| {
        let text = lines
            .get(number.saturating_sub(1) as usize)
            .copied()
            .unwrap_or_default();
        let stop = if number == last {
            end as usize - 1
        } else {
            text.len()
        };
        let start = if number == line {
            column as usize - 1
        } else {
            0
        };
        text.get(start..stop).unwrap_or(text).trim()
    };
    let words: Vec<&str> = (line..=last).map(cut).collect();
    words.join(" ").replace('`', "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "impl Lock {\n    pub(crate) fn open(&self) {\n        let x = |a| a;\n        \
        if self.a && self.b {\n            x;\n        }\n        if self\n            .c()\n        {\n        }\n    }\n}\n";

    fn export(branches: &str) -> String {
        format!(
            r#"{{"data": [{{"files": [{{"filename": "a.rs", "summary": {{"lines": {{"count": 9, "covered": 7, "percent": 1.0}}}}}}],
                "functions": [{{"name": "f", "filenames": ["a.rs"], "regions": [], "branches": [{branches}]}}]}}]}}"#
        )
    }

    // Guards: a branch that one instance of a generic function takes and another does not, called
    // uncovered; and a gap whose name changes when a line above it moves.
    #[test]
    fn gap_is_a_side_that_no_instance_took() {
        let text = export(
            "[4,12,4,18,5,0,0,0,4],[4,12,4,18,0,1,0,0,4],[4,22,4,28,0,5,0,0,4],[7,12,8,17,0,0,0,0,4]",
        );
        let all = parse(&text).unwrap();
        let covered = &all["a.rs"];
        assert_eq!((covered.lines, covered.lines_run), (9, 7));
        assert_eq!((covered.sides(), covered.sides_run()), (6, 3));
        let gaps: Vec<String> = covered
            .gaps("a.rs", SOURCE)
            .iter()
            .map(Gap::to_string)
            .collect();
        assert_eq!(
            gaps,
            [
                "- `open` `self .c()` `never false`: ",
                "- `open` `self .c()` `never true`: ",
                "- `open` `self.b` `never true`: ",
            ]
        );
    }
}
