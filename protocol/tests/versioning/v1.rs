//! Version 1, byte for byte.
//!
//! **If a test in this module fails, do not change the test**: locks and hubs in the field speak
//! these bytes. A new field gets a new key, a new message a new number, a new meaning a new
//! version with a module of its own beside this one.

use std::collections::BTreeMap;

use crate::examples::{self, Example};
use crate::fixture::Shape;
use crate::spec_examples::{hex, unhex};

/// Name, blank, hexadecimal digits; one structure a line.
const PLAIN: &str = include_str!("v1-plain.txt");

/// The same with every optional field present and every number at its bound.
const FULL: &str = include_str!("v1-full.txt");

fn golden(text: &str) -> BTreeMap<&str, Vec<u8>> {
    text.lines()
        .map(|line| {
            let (name, digits) = line.split_once(' ').expect("a name and digits");
            (name, unhex(digits).expect("digits"))
        })
        .collect()
}

fn compare(golden: &BTreeMap<&str, Vec<u8>>, written: &[Example]) {
    let mut wrong = Vec::new();
    for (name, bytes) in golden {
        let Some(example) = written.iter().find(|example| example.name == *name) else {
            panic!("{name} was released and is gone");
        };
        if example.bytes != *bytes {
            wrong.push(format!("{name} {}", hex(&example.bytes)));
        }
        assert!(example.is_read_from(bytes), "{name} is no longer read");
    }
    for example in written {
        if !golden.contains_key(example.name) {
            wrong.push(format!("{} {}", example.name, hex(&example.bytes)));
        }
    }
    assert!(
        wrong.is_empty(),
        "other bytes than version 1:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn v1_is_written_and_read_as_it_was_released() {
    let golden = golden(PLAIN);
    assert!(golden.len() >= 54, "{} structures", golden.len());
    compare(&golden, &examples::all(Shape::Plain));
}

#[test]
fn v1_is_written_and_read_at_its_bounds_as_it_was_released() {
    let golden = golden(FULL);
    assert!(golden.len() >= 53, "{} structures", golden.len());
    compare(&golden, &examples::all(Shape::Full));
}
