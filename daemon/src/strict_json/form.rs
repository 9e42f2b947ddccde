//! The first pass: looks at a document's form and keeps nothing but the keys of the objects that are open.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{JsonError, MAX_DEPTH, MAX_VALUES, QUOTED, quotable, without_place};

/// Why our visitor stopped; serde's own error carries the place.
enum Stop {
    TooDeep,
    TooMany,
    Duplicate(String),
}

#[derive(Default)]
struct Findings {
    values: Cell<usize>,
    stop: RefCell<Option<Stop>>,
}

impl Findings {
    fn stop<E: Error>(&self, stop: Stop) -> E {
        *self.stop.borrow_mut() = Some(stop);
        E::custom("stopped")
    }
}

#[derive(Clone, Copy)]
struct Look<'f> {
    depth: usize,
    findings: &'f Findings,
}

impl<'f> Look<'f> {
    fn deeper<E: Error>(self) -> Result<Look<'f>, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.findings.stop(Stop::TooDeep));
        }
        Ok(Look {
            depth: self.depth + 1,
            findings: self.findings,
        })
    }

    fn count<E: Error>(self) -> Result<(), E> {
        let values = self.findings.values.get() + 1;
        self.findings.values.set(values);
        if values > MAX_VALUES {
            Err(self.findings.stop(Stop::TooMany))
        } else {
            Ok(())
        }
    }
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let within = self.deeper()?;
        while items.next_element_seed(within)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let within = self.deeper()?;
        let mut keys = HashSet::new();
        while let Some(key) = members.next_key::<String>()? {
            self.count()?;
            if keys.contains(&key) {
                return Err(self.findings.stop(Stop::Duplicate(key)));
            }
            keys.insert(key);
            members.next_value_seed(within)?;
        }
        Ok(())
    }
}

/// Refuses what is not JSON or is JSON in a form that no honest sender uses.
pub(super) fn check(text: &str) -> Result<(), JsonError> {
    let findings = Findings::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    let looked = Look {
        depth: 0,
        findings: &findings,
    }
    .deserialize(&mut reader)
    .and_then(|()| reader.end());
    let Err(error) = looked else { return Ok(()) };
    let (line, column) = (error.line(), error.column());
    Err(match findings.stop.into_inner() {
        Some(Stop::TooDeep) => JsonError::TooDeep { line, column },
        Some(Stop::TooMany) => JsonError::TooMany { line, column },
        Some(Stop::Duplicate(key)) => JsonError::DuplicateKey {
            key: quotable(&key, QUOTED),
            line,
            column,
        },
        None => JsonError::Malformed {
            what: quotable(&without_place(&error), 3 * QUOTED),
            line,
            column,
        },
    })
}
