//! S05, S15, S22, S26, F16, F18: every committed input once more, on stable Rust.
//!
//! Guards: a parser that was hardened by fuzzing once and softened by an edit later. TTLock's and
//! Nuki's (CVE-2022-32504) parsers fell to inputs that a replay of old findings would have caught.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use drawbridge_fuzz::{ALL, seeds};

/// Most inputs that a target keeps, and their most bytes: they are read by people, too.
const MOST_FILES: usize = 64;
const MOST_BYTES: usize = 2_560;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = corpus().join(target);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn f18_every_committed_input_holds() {
    let mut total = 0;
    for (target, run) in ALL {
        for (name, bytes) in inputs(target) {
            // Printed only when a target panics.
            println!("corpus/{target}/{name}");
            run(&bytes);
            total += 1;
        }
    }
    println!(
        "EVIDENCE fuzz replay: {total} inputs of {} targets",
        ALL.len()
    );
    assert!(total >= 190, "{total} inputs");
}

/// Every released byte string is where the fuzzer begins, and no corpus outgrows its readers.
#[test]
fn corpora_hold_the_golden_bytes_and_stay_small() {
    for (target, _) in ALL {
        let inputs = inputs(target);
        assert!(
            inputs.len() <= MOST_FILES,
            "{target}: {} inputs",
            inputs.len()
        );
        for (name, bytes) in &inputs {
            assert!(
                bytes.len() <= MOST_BYTES,
                "{target}/{name}: {} bytes",
                bytes.len()
            );
        }
        let seeds = seeds::of(target);
        assert!(!seeds.is_empty(), "{target} begins with nothing");
        for (name, bytes) in seeds {
            let there = inputs.iter().any(|(_, input)| *input == bytes);
            assert!(
                there,
                "{target}/{name} is missing: cargo run -p drawbridge-fuzz --bin write-seeds"
            );
        }
    }
}

/// Guards: a target that is in the list and never fuzzed, or the other way about.
#[test]
fn every_target_has_its_wrapper_and_its_corpus() {
    let listed: BTreeSet<String> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cargo-fuzz");
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let stem = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
        entries.map(|entry| stem(entry.unwrap().path())).collect()
    };
    assert_eq!(names(&folder.join("fuzz_targets")), listed);
    assert_eq!(names(&corpus()), listed);
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for name in listed {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
    }
}
