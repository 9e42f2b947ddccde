//! `docs/advisories.md`: the dated list that stands in where the advisory database is out of reach.
//!
//! **A locked version in an affected range passes only if its row's answer begins with
//! `accepted`, and `deny.toml` ignores exactly the accepted rows.**

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::failure::{During, Failure};
use crate::version::{Range, Version};

/// Where the list is.
pub(crate) const FILE: &str = "docs/advisories.md";

/// One row of the list.
#[derive(Debug)]
struct Row {
    id: String,
    package: String,
    range: Range,
    accepted: bool,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct Deny {
    advisories: DenyAdvisories,
}

#[derive(Deserialize)]
struct DenyAdvisories {
    ignore: Vec<Ignored>,
}

#[derive(Deserialize)]
struct Ignored {
    id: String,
}

/// What the list says about the lock file.
#[derive(Debug)]
pub(crate) struct Judgement {
    /// Date in the list's own words.
    pub(crate) date: String,
    /// Rows read.
    pub(crate) rows: usize,
    /// Everything that does not hold.
    pub(crate) problems: Vec<String>,
}

/// Compares list, lock file and `deny.toml`.
///
/// # Errors
/// When one of the three cannot be read as what it is.
pub(crate) fn judge(list: &str, lock: &str, deny: &str) -> Result<Judgement, Failure> {
    let lock: Lock = toml::from_str(lock).during(|| "parse Cargo.lock".to_owned())?;
    let deny: Deny = toml::from_str(deny).during(|| "parse deny.toml".to_owned())?;
    let date = list
        .lines()
        .find_map(|line| line.strip_prefix("Date: "))
        .ok_or_else(|| Failure::new(format!("{FILE} has no line `Date: YYYY-MM-DD`")))?
        .trim()
        .to_owned();
    let rows = rows(list)?;
    let mut problems = Vec::new();
    for row in &rows {
        let mut found = false;
        for locked in lock
            .package
            .iter()
            .filter(|locked| locked.name == row.package)
        {
            let hit = match Version::parse(&locked.version) {
                Some(version) => row.range.contains(&version),
                None => true,
            };
            found |= hit;
            if hit && !row.accepted {
                let Locked { name, version } = locked;
                problems.push(format!(
                    "{}: {name} {version} is affected and not accepted",
                    row.id
                ));
            }
        }
        if row.accepted && !found {
            problems.push(format!("{}: accepted, but no longer in Cargo.lock", row.id));
        }
    }
    let accepted: BTreeSet<&str> = rows
        .iter()
        .filter(|row| row.accepted)
        .map(|row| row.id.as_str())
        .collect();
    let ignored: BTreeSet<&str> = deny
        .advisories
        .ignore
        .iter()
        .map(|ignored| ignored.id.as_str())
        .collect();
    for id in accepted.symmetric_difference(&ignored) {
        problems.push(format!(
            "{id}: {FILE} and deny.toml disagree on whether it is accepted"
        ));
    }
    Ok(Judgement {
        date,
        rows: rows.len(),
        problems,
    })
}

/// Rows look like `| RUSTSEC-2026-0049 | rustls-webpki | < 0.103.10 | kept out: ... |`.
fn rows(list: &str) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for line in list.lines().filter(|line| line.starts_with("| RUSTSEC-")) {
        let unreadable = || Failure::new(format!("read the advisory row {line}"));
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, package, range, answer] = cells.as_slice() else {
            return Err(unreadable());
        };
        let accepted = answer.starts_with("accepted");
        if !accepted && !answer.starts_with("kept out") {
            return Err(Failure::new(format!(
                "{id}: the answer begins with accepted or kept out"
            )));
        }
        rows.push(Row {
            id: (*id).to_owned(),
            package: (*package).to_owned(),
            range: Range::parse(range).ok_or_else(unreadable)?,
            accepted,
        });
    }
    if rows.is_empty() {
        Err(Failure::new(format!("{FILE} has no rows")))
    } else {
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "Date: 2026-11-22\n\n\
        | RUSTSEC-2026-0104 | rustls-webpki | < 0.103.13 | kept out: banned |\n\
        | RUSTSEC-2025-0057 | fxhash | every | accepted: unmaintained, under sled |\n";
    const DENY: &str =
        "[advisories]\nignore = [{ id = \"RUSTSEC-2025-0057\", reason = \"sled\" }]\n";

    fn lock(webpki: &str) -> String {
        format!(
            "[[package]]\nname = \"rustls-webpki\"\nversion = \"{webpki}\"\n\
             [[package]]\nname = \"fxhash\"\nversion = \"0.2.1\"\n"
        )
    }

    // Guards: without the network, a vulnerable webpki coming back unseen.
    #[test]
    fn affected_version_is_found_without_the_database() {
        assert!(
            judge(LIST, &lock("0.103.17"), DENY)
                .unwrap()
                .problems
                .is_empty()
        );
        let problems = judge(LIST, &lock("0.102.8"), DENY).unwrap().problems;
        assert_eq!(
            problems,
            ["RUSTSEC-2026-0104: rustls-webpki 0.102.8 is affected and not accepted"]
        );
    }

    // Guards: an ignore without a reason in the list, and one that outlives its crate.
    #[test]
    fn accepted_rows_and_ignores_must_agree() {
        let none = "[advisories]\nignore = []\n";
        assert_eq!(
            judge(LIST, &lock("0.103.17"), none).unwrap().problems.len(),
            1
        );
        let gone = "[[package]]\nname = \"rustls-webpki\"\nversion = \"0.103.17\"\n";
        assert_eq!(judge(LIST, gone, DENY).unwrap().problems.len(), 1);
    }

    // Guards: a row with a typing error that silently covers nothing.
    #[test]
    fn unreadable_rows_are_errors() {
        for row in [
            "| RUSTSEC-1 | a | < 1 |",
            "| RUSTSEC-1 | a | x | kept out |",
            "| RUSTSEC-1 | a | every | ? |",
        ] {
            assert!(
                judge(&format!("Date: x\n{row}\n"), &lock("1.0.0"), DENY).is_err(),
                "{row}"
            );
        }
    }
}
