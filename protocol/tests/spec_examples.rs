//! `PROTOCOL.md` says what the code does.
//!
//! Guards: a specification that drifts from the bytes, so that a second implementation written
//! from it cannot talk to the first.

use std::collections::{BTreeMap, BTreeSet};

use drawbridge_protocol::cose::Kind;

use crate::examples::{self, Example};
use crate::fixture::Shape;

const SPEC: &str = include_str!("../PROTOCOL.md");

/// A fenced block: its language and its contents.
type Block = (String, Vec<u8>);

/// The fenced blocks with an info string of two words, by the second word. `hex` blocks hold
/// digits with blanks and `#` comments, `text` blocks a text that may be wrapped.
fn blocks() -> BTreeMap<String, Block> {
    let mut found = BTreeMap::new();
    let mut lines = SPEC.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else {
            continue;
        };
        let content: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        let Some((language, name)) = info.split_once(' ') else {
            continue;
        };
        let plain: String = content
            .iter()
            .map(|line| line.split('#').next().unwrap_or_default())
            .flat_map(str::split_whitespace)
            .collect();
        let bytes = match language {
            "hex" => unhex(&plain).unwrap_or_else(|| panic!("{name} is not hexadecimal")),
            "text" => plain.into_bytes(),
            _ => continue,
        };
        let before = found.insert(name.to_owned(), (language.to_owned(), bytes));
        assert!(before.is_none(), "{name} stands twice in PROTOCOL.md");
    }
    found
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_example_in_the_spec_is_what_the_code_writes_and_reads() {
    let spec = blocks();
    let code = examples::all(Shape::Plain);
    let mut wrong = Vec::new();
    for example in &code {
        match spec.get(example.name) {
            Some((_, bytes)) if *bytes == example.bytes => {
                assert!(example.is_read_from(bytes), "{} is not read", example.name);
            }
            _ => wrong.push(format!("{} {}", example.name, hex(&example.bytes))),
        }
    }
    assert!(
        wrong.is_empty(),
        "PROTOCOL.md has other bytes, or none, for:\n{}",
        wrong.join("\n")
    );
    let known: BTreeSet<_> = code.iter().map(|example| example.name).collect();
    let unknown: Vec<_> = spec
        .keys()
        .filter(|name| !known.contains(name.as_str()))
        .collect();
    assert!(
        unknown.is_empty(),
        "examples that no test knows: {unknown:?}"
    );
}

/// The names of the variants of `pub enum name` in `source`, in snake case.
fn variants(source: &str, name: &str) -> Vec<String> {
    let start = source
        .find(&format!("pub enum {name}"))
        .unwrap_or_else(|| panic!("no enum {name}"));
    let body = source[start..].split("\n}").next().unwrap_or_default();
    body.lines()
        .skip(1)
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
        .map(|line| {
            let name: String = line
                .chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect();
            snake(&name)
        })
        .collect()
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.chars().enumerate() {
        if at > 0 && (letter.is_ascii_uppercase() || letter.is_ascii_digit()) {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[test]
fn no_message_and_no_statement_lacks_an_example() {
    let spec = blocks();
    let layers = [
        (
            "hub_to_lock",
            include_str!("../src/tunnel.rs"),
            "HubToLock",
            10,
        ),
        (
            "lock_to_hub",
            include_str!("../src/tunnel.rs"),
            "LockToHub",
            11,
        ),
        (
            "link",
            include_str!("../src/link_message.rs"),
            "LinkMessage",
            6,
        ),
        ("statement", include_str!("../src/cose.rs"), "Kind", 8),
    ];
    for (prefix, source, name, at_least) in layers {
        let variants = variants(source, name);
        assert!(
            variants.len() >= at_least,
            "{name}: only found {variants:?}"
        );
        for variant in variants {
            let example = format!("{prefix}.{variant}");
            assert!(spec.contains_key(&example), "PROTOCOL.md lacks {example}");
        }
    }
    for kind in Kind::ALL {
        assert!(spec.contains_key(examples::kind_name(kind)));
    }
}

#[test]
fn every_number_of_a_reason_and_a_verdict_stands_in_the_spec() {
    use drawbridge_protocol::log_record::LogEvent;
    use drawbridge_protocol::outcome::Verdict;
    use drawbridge_protocol::reason::Reason;
    let mut rows = 0;
    for number in 0..=u8::MAX {
        let names = [
            Reason::from_number(number).map(Reason::name),
            Verdict::from_number(number).map(Verdict::name),
            LogEvent::from_number(number).map(LogEvent::name),
        ];
        for name in names.into_iter().flatten() {
            let row = format!("| {number} | `{name}` |");
            assert!(SPEC.contains(&row), "PROTOCOL.md lacks the row {row}");
            rows += 1;
        }
    }
    assert!(rows >= 29 + 7 + 14);
}

#[test]
fn an_example_of_other_bytes_is_noticed() {
    let example = |bytes: &[u8]| {
        examples::all(Shape::Plain)
            .iter()
            .filter(|example: &&Example| example.is_read_from(bytes))
            .count()
    };
    for known in examples::all(Shape::Plain) {
        let mut changed = known.bytes.clone();
        *changed.last_mut().unwrap() ^= 1;
        if known.name == "fragment.first" {
            continue; // its payload is only bytes: the message that it begins shows the change
        }
        assert!(!known.is_read_from(&changed), "{} changed", known.name);
    }
    assert_eq!(example(b"nothing of ours"), 0);
}
