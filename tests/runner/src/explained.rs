//! A list of what no test notices, and why that is well: `docs/coverage.md`, `docs/mutants.md`.
//!
//! A section is headed by a file's path; an entry is
//! ``- `function` `text of the line` `what`: reason``, and may go on in indented lines.
//! Line numbers would be wrong after the next edit; a function and the text of a line are not.
//!
//! **The list is exact: what was found and is not in it is a problem, and what is in it and was
//! not found is one too.**

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use crate::failure::Failure;
use crate::tree;

/// Something that no test notices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Gap {
    /// Path below the root.
    pub(crate) file: String,
    pub(crate) function: String,
    /// The line, without the space around it.
    pub(crate) line: String,
    /// What about that line.
    pub(crate) what: String,
}

impl fmt::Display for Gap {
    /// As an entry of the list, but for its reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            function,
            line,
            what,
            ..
        } = self;
        write!(f, "- `{function}` `{line}` `{what}`: ")
    }
}

/// A list, read.
#[derive(Debug)]
pub(crate) struct Explained {
    name: String,
    gaps: BTreeSet<Gap>,
}

impl Explained {
    /// Reads the list in the file `name`.
    ///
    /// # Errors
    /// When the file is missing, or an entry has not the form of one, has no reason or is there twice.
    pub(crate) fn load(root: &Path, name: &str) -> Result<Self, Failure> {
        Self::parse(name, &tree::read(root, name)?)
    }

    fn parse(name: &str, text: &str) -> Result<Self, Failure> {
        let mut gaps = BTreeSet::new();
        let mut file: Option<String> = None;
        for block in blocks(text) {
            if let Some(heading) = block.strip_prefix("## ") {
                file = heading.ends_with(".rs").then(|| heading.to_owned());
                continue;
            }
            let Some(file) = &file else {
                continue;
            };
            let gap = entry(file, &block)
                .ok_or_else(|| Failure::new(format!("read this entry of {name}: {block}")))?;
            if !gaps.insert(gap) {
                return Err(Failure::new(format!("{name} has this twice: {block}")));
            }
        }
        Ok(Self {
            name: name.to_owned(),
            gaps,
        })
    }

    /// How many entries are about these files.
    pub(crate) fn count(&self, of: impl Fn(&str) -> bool) -> usize {
        self.gaps.iter().filter(|gap| of(&gap.file)).count()
    }

    /// Holds the list against what was found in the files for which `seen` is true.
    pub(crate) fn judge(&self, found: &BTreeSet<Gap>, seen: impl Fn(&str) -> bool) -> Vec<String> {
        let name = &self.name;
        let missing = found
            .difference(&self.gaps)
            .map(|gap| format!("not in {name}, {}: {gap}", gap.file));
        let stale = self
            .gaps
            .difference(found)
            .filter(|gap| seen(&gap.file))
            .map(|gap| format!("in {name}, and true no more, {}: {gap}", gap.file));
        missing.chain(stale).collect()
    }
}

/// Headings and entries, each on one line.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        let text = line.trim();
        if goes_on && line.starts_with("  ") && !text.is_empty() {
            if let Some(block) = blocks.last_mut() {
                block.push(' ');
                block.push_str(text);
            }
            continue;
        }
        goes_on = line.starts_with("- ");
        if goes_on || line.starts_with("## ") {
            blocks.push(text.to_owned());
        }
    }
    blocks
}

fn entry(file: &str, block: &str) -> Option<Gap> {
    let rest = block.strip_prefix("- ")?;
    let (function, rest) = quoted(rest)?;
    let (line, rest) = quoted(rest)?;
    let (what, rest) = quoted(rest)?;
    let reason = rest.strip_prefix(':')?.trim();
    (!reason.is_empty()).then(|| Gap {
        file: file.to_owned(),
        function: function.to_owned(),
        line: line.to_owned(),
        what: what.to_owned(),
    })
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    text.trim_start().strip_prefix('`')?.split_once('`')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# Title\n\n- words before any file\n\n## core/a.rs\n\n\
        - `Lock::open` `if a || b {` `replace || with &&`: both are\n  the same here.\n\
        - `shut` `x?;` `never run`: cannot fail.\n\n## Notes\n\n- free words\n";

    fn gap(function: &str, line: &str, what: &str) -> Gap {
        Gap {
            file: "core/a.rs".to_owned(),
            function: function.to_owned(),
            line: line.to_owned(),
            what: what.to_owned(),
        }
    }

    // Guards: a survivor that nobody explained, or an explanation that outlived its survivor, passing in silence.
    #[test]
    fn list_must_be_exact() {
        let list = Explained::parse("list.md", LIST).unwrap();
        let open = gap("Lock::open", "if a || b {", "replace || with &&");
        let shut = gap("shut", "x?;", "never run");
        let all = BTreeSet::from([open.clone(), shut.clone()]);
        assert_eq!(list.judge(&all, |_| true), Vec::<String>::new());
        assert_eq!(list.count(|file| file == "core/a.rs"), 2);

        let new = gap("shut", "y?;", "never run");
        let problems = list.judge(&BTreeSet::from([open.clone(), shut, new]), |_| true);
        assert_eq!(
            problems,
            ["not in list.md, core/a.rs: - `shut` `y?;` `never run`: "]
        );
        let fewer = BTreeSet::from([open]);
        assert_eq!(list.judge(&fewer, |_| true).len(), 1);
        assert!(list.judge(&fewer, |file| file == "core/b.rs").is_empty());
    }

    // Guards: an entry without a reason, or one misspelt and thereby read as no entry at all.
    #[test]
    fn entry_without_a_reason_is_refused() {
        for bad in [
            "## a.rs\n- `f` `x` `never run`:\n",
            "## a.rs\n- `f` `x`: because.\n",
            "## a.rs\n- `f` `x` `never run` because.\n",
            "## a.rs\n- `f` `x` `w`: one.\n- `f` `x` `w`: two.\n",
        ] {
            assert!(Explained::parse("list.md", bad).is_err(), "{bad}");
        }
    }
}
