//! The command line of `tests/run`.

use crate::failure::Failure;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
usage: tests/run [LANE]               the quick lane, or one lane of it at quick counts
       tests/run --full [LANE]        every count that an issue names; writes target/full/results.json
       tests/run --list --json        one JSON array: id, lane, count, seconds of each claim
       tests/run --id S32 [--full]    what shows one S, F, P, R or I number, as a JSON object
       tests/run figures --json       the figures, one JSON object a line; fails when a ratio is 5 % worse than it was
       tests/run figures --write      the same, and adds what was measured to tests/figures/history.jsonl
       tests/run planted [NAME]       plants each known bug in a copy and expects a test to fail
       tests/run coverage             branches of the code that decides; docs/coverage.md explains those not taken
       tests/run mutants [PART]       changes the code that decides; docs/mutants.md explains what no test notices
       tests/run assurance [--write]  checks (or writes) docs/assurance.md against tests/claims.toml

Every command ends with a line `N passed, N failed` and exits 0 only when nothing failed.
DRAWBRIDGE_SEED=<number> repeats a run; without it the seed follows the commit.
Full output of each lane: target/lanes/<lane>.log";

/// One request to the runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Print the usage.
    Help,
    /// Lanes at quick or full counts; `None` is all of them.
    Lanes { full: bool, lane: Option<String> },
    /// The claims as JSON or as a table.
    List { json: bool },
    /// One claim by number.
    Id { id: String, full: bool },
    /// The figures.
    Figures { json: bool, full: bool, write: bool },
    /// Planted bugs, all or one by name.
    Planted { name: Option<String> },
    /// Changes to the code that decides, in all files or one.
    Mutants { file: Option<String> },
    /// The page that maps numbers to tests.
    Assurance { write: bool },
}

/// Reads the words after the program's name.
///
/// # Errors
/// A usage failure naming the word that does not fit.
pub(crate) fn parse(words: &[String]) -> Result<Request, Failure> {
    let mut full = false;
    let mut json = false;
    let mut list = false;
    let mut write = false;
    let mut id = None;
    let mut names: Vec<String> = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(Request::Help),
            "--full" => full = true,
            "--json" => json = true,
            "--list" => list = true,
            "--write" => write = true,
            "--id" => {
                let value = rest
                    .next()
                    .ok_or_else(|| Failure::usage("--id needs a number such as S32"))?;
                id = Some(value.to_ascii_uppercase());
            }
            flag if flag.starts_with('-') => {
                return Err(Failure::usage(format!("unknown option {flag}")));
            }
            name => names.push(name.to_owned()),
        }
    }
    if let Some(id) = id {
        return exactly(
            Request::Id { id, full },
            names.is_empty() && !list && !write,
        );
    }
    if list {
        return exactly(Request::List { json }, names.is_empty() && !full && !write);
    }
    let second = names.get(1).cloned();
    let few = names.len() <= 1;
    match names.first().map(String::as_str) {
        Some("figures") => exactly(Request::Figures { json, full, write }, few),
        Some("planted") => exactly(
            Request::Planted { name: second },
            names.len() <= 2 && !write && !json,
        ),
        // In full it is a lane like any other; by itself it may be for one file.
        Some("mutants") if !full => exactly(
            Request::Mutants { file: second },
            names.len() <= 2 && !write && !json,
        ),
        Some("assurance") => exactly(Request::Assurance { write }, few && !full && !json),
        lane => {
            let lane = lane.map(str::to_owned);
            exactly(Request::Lanes { full, lane }, few && !json && !write)
        }
    }
}

fn exactly(request: Request, fits: bool) -> Result<Request, Failure> {
    if fits {
        Ok(request)
    } else {
        Err(Failure::usage("these words do not go together"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    // Guards: the interfaces that other tools call by name must not drift.
    #[test]
    fn every_documented_request_is_understood() {
        let cases = [
            (
                "",
                Request::Lanes {
                    full: false,
                    lane: None,
                },
            ),
            (
                "--full",
                Request::Lanes {
                    full: true,
                    lane: None,
                },
            ),
            (
                "--full tests",
                Request::Lanes {
                    full: true,
                    lane: Some("tests".into()),
                },
            ),
            ("--list --json", Request::List { json: true }),
            (
                "--id s32",
                Request::Id {
                    id: "S32".into(),
                    full: false,
                },
            ),
            (
                "--full --id S32",
                Request::Id {
                    id: "S32".into(),
                    full: true,
                },
            ),
            (
                "figures --json",
                Request::Figures {
                    json: true,
                    full: false,
                    write: false,
                },
            ),
            ("planted", Request::Planted { name: None }),
            (
                "planted blind",
                Request::Planted {
                    name: Some("blind".into()),
                },
            ),
            (
                "mutants admission.rs",
                Request::Mutants {
                    file: Some("admission.rs".into()),
                },
            ),
            (
                "--full mutants",
                Request::Lanes {
                    full: true,
                    lane: Some("mutants".into()),
                },
            ),
            ("assurance --write", Request::Assurance { write: true }),
            ("--help", Request::Help),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(&words(line)).unwrap(), expected, "{line}");
        }
    }

    // Guards: a typing error that silently becomes the 20-minute quick lane.
    #[test]
    fn wrong_words_are_refused_as_usage() {
        for line in [
            "--fast",
            "--id",
            "--list tests",
            "assurance --full",
            "a b",
            "clippy --json",
        ] {
            assert!(parse(&words(line)).unwrap_err().is_usage(), "{line}");
        }
    }
}
