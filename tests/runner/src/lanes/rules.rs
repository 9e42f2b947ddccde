//! The repository's own rules: what reviewers would otherwise have to look for every time.

use std::path::Path;

use toml::Value;

use super::Report;
use crate::claims;
use crate::commands::assurance;
use crate::context::Context;
use crate::failure::{During, Failure};
use crate::lane_log::LaneLog;
use crate::tree;

/// No Rust file is longer (CONTRIBUTING.md).
const MOST_LINES: usize = 700;

/// What must not be in any Rust file. Split, so that this file does not name them either.
const NOT_IN_CODE: &[(&str, &str)] = &[
    (concat!("#[ig", "nore"), "an ignored test shows nothing"),
    (concat!("to", "do!("), "unfinished"),
    (concat!("unimple", "mented!("), "unfinished"),
];

/// What must not be in any file or commit: the repository speaks of the product, not of the
/// machines, mirrors or tools with which it was made. Split for the same reason.
const NOT_ANYWHERE: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/home/", "runner"),
    concat!("arti", "factory"),
    concat!("co-auth", "ored-by"),
    concat!("generated", " with ["),
    concat!("language", " model"),
    concat!("ai", "-generated"),
    concat!("ai", " assistant"),
];

/// Crates in which `unsafe` is forbidden without exception.
const SAFE: &[&str] = &[
    "protocol",
    "lock-firmware/ble",
    "lock-firmware/core",
    "lock-firmware/sim",
    "daemon",
];

pub(super) fn run(context: &Context, _: &mut LaneLog<'_>) -> Result<Report, Failure> {
    let mut report = Report {
        problems: context.claims.problems(&super::ids()),
        ..Report::default()
    };
    let mut lines_of_code: Vec<usize> = Vec::new();
    for file in tree::files(&context.root)? {
        let bytes = std::fs::read(context.root.join(&file))
            .during(|| format!("read {}", file.display()))?;
        let text = String::from_utf8_lossy(&bytes);
        let name = file.to_string_lossy();
        report.problems.extend(words_in(&name, &text));
        if name.ends_with(".rs") {
            lines_of_code.push(text.lines().count());
            report.problems.extend(code_problems(&name, &text));
        }
    }
    report.expect(!lines_of_code.is_empty(), || {
        "no Rust file was found".to_owned()
    });
    lines_of_code.sort_unstable();
    report.notes.push(format!(
        "{} Rust files, median {} lines, longest {}",
        lines_of_code.len(),
        lines_of_code
            .get(lines_of_code.len() / 2)
            .copied()
            .unwrap_or_default(),
        lines_of_code.last().copied().unwrap_or_default(),
    ));
    report.problems.extend(commit_problems(context));
    report.problems.extend(unsafe_problems(&context.root)?);
    report.expect(assurance::is_current(context)?, || {
        format!(
            "{} does not agree with {}: run `tests/run assurance --write`",
            assurance::FILE,
            claims::FILE
        )
    });
    Ok(report)
}

fn code_problems(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if lines > MOST_LINES {
        problems.push(format!("{name}: {lines} lines, more than {MOST_LINES}"));
    }
    for (place, line) in text.lines().enumerate() {
        for (word, why) in NOT_IN_CODE.iter().filter(|(word, _)| line.contains(word)) {
            problems.push(format!("{name}:{}: {word}: {why}", place + 1));
        }
    }
    problems
}

fn words_in(name: &str, text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let found = NOT_ANYWHERE.iter().filter(|word| text.contains(**word));
    found.map(|word| format!("{name}: says {word:?}")).collect()
}

/// Commit messages keep the same silence. Outside a git checkout there are none.
fn commit_problems(context: &Context) -> Vec<String> {
    let output = context
        .command("git")
        .args(["log", "--format=%h %B"])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            words_in("a commit message", &String::from_utf8_lossy(&output.stdout))
        }
        _ => Vec::new(),
    }
}

/// **`unsafe_code = "forbid"` must be set where it counts**: in the workspace's lints, and every
/// member must take those lints.
fn unsafe_problems(root: &Path) -> Result<Vec<String>, Failure> {
    let manifest = |path: &str| -> Result<Value, Failure> {
        toml::from_str(&tree::read(root, path)?).during(|| format!("parse {path}"))
    };
    let workspace = manifest("Cargo.toml")?;
    let mut problems = Vec::new();
    if !forbids_unsafe(&workspace) {
        problems.push("Cargo.toml: workspace.lints.rust.unsafe_code is not \"forbid\"".to_owned());
    }
    let members = members(&workspace);
    for safe in SAFE
        .iter()
        .filter(|safe| !members.contains(&(**safe).to_owned()))
    {
        problems.push(format!(
            "Cargo.toml: {safe} is not a member of the workspace"
        ));
    }
    for member in members {
        let path = format!("{member}/Cargo.toml");
        let takes = manifest(&path)?
            .get("lints")
            .and_then(|lints| lints.get("workspace")?.as_bool());
        if takes != Some(true) {
            problems.push(format!("{path}: does not take the workspace's lints"));
        }
    }
    Ok(problems)
}

fn members(workspace: &Value) -> Vec<String> {
    let members = workspace
        .get("workspace")
        .and_then(|table| table.get("members")?.as_array());
    let names = members.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

fn forbids_unsafe(workspace: &Value) -> bool {
    let lint = workspace
        .get("workspace")
        .and_then(|table| table.get("lints")?.get("rust")?.get("unsafe_code"));
    let level = lint.and_then(|lint| lint.as_str().or_else(|| lint.get("level")?.as_str()));
    level == Some("forbid")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards: each rule silently matching nothing.
    #[test]
    fn each_rule_catches_its_breach() {
        let long = "x\n".repeat(MOST_LINES + 1);
        assert_eq!(code_problems("a.rs", &long).len(), 1);
        assert!(code_problems("a.rs", &"x\n".repeat(MOST_LINES)).is_empty());
        for (word, _) in NOT_IN_CODE {
            assert_eq!(
                code_problems("a.rs", &format!("    {word}")).len(),
                1,
                "{word}"
            );
        }
        for word in NOT_ANYWHERE {
            assert_eq!(words_in("a.md", &word.to_uppercase()).len(), 1, "{word}");
        }
    }

    // Guards: `deny`, which a crate can override, taken for `forbid`, which it cannot.
    #[test]
    fn only_forbid_forbids() {
        let parse = |text: &str| -> Value { toml::from_str(text).unwrap() };
        assert!(forbids_unsafe(&parse(
            "[workspace.lints.rust]\nunsafe_code = \"forbid\""
        )));
        assert!(forbids_unsafe(&parse(
            "[workspace.lints.rust]\nunsafe_code = { level = \"forbid\" }"
        )));
        assert!(!forbids_unsafe(&parse(
            "[workspace.lints.rust]\nunsafe_code = \"deny\""
        )));
        assert!(!forbids_unsafe(&parse("[workspace]\nmembers = []")));
    }
}
