//! A strict reader of one JSON object: every field known, typed, in range, and there once.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use thiserror::Error;

/// Why a line is no request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Not one JSON object.
    #[error("read the line as one JSON object")]
    NotAnObject,
    /// A field that is there twice.
    #[error("accept the field \"{0}\" twice")]
    Twice(String),
    /// A field that this request does not have.
    #[error("accept the field \"{field}\"")]
    UnknownField {
        /// Its name.
        field: String,
        /// The nearest name that would be accepted.
        nearest: Option<&'static str>,
    },
    /// A value that is not one of a field's words.
    #[error("accept \"{given}\" for \"{field}\"")]
    UnknownWord {
        /// The field.
        field: &'static str,
        /// What it was given.
        given: String,
        /// The nearest word that would be accepted.
        nearest: Option<&'static str>,
        /// All words.
        words: Vec<&'static str>,
    },
    /// A field that must be there.
    #[error("find the field \"{0}\"")]
    Missing(&'static str),
    /// A value of another type or out of range.
    #[error("use the value of \"{field}\"")]
    Value {
        /// The field.
        field: &'static str,
        /// What it must be.
        wanted: String,
    },
}

impl RequestError {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::NotAnObject => "send for example {\"do\":\"status\"}".to_owned(),
            Self::Twice(_) => "give each field once".to_owned(),
            Self::UnknownField {
                nearest: Some(name),
                ..
            } => format!("did you mean \"{name}\"?"),
            Self::UnknownField { nearest: None, .. } => "leave it out; see --help".to_owned(),
            Self::UnknownWord {
                nearest: Some(word),
                ..
            } => format!("did you mean \"{word}\"?"),
            Self::UnknownWord { words, .. } => format!("one of: {}", words.join(", ")),
            Self::Missing(field) => format!("add \"{field}\"; see --help"),
            Self::Value { wanted, .. } => format!("it must be {wanted}"),
        }
    }
}

/// The fields of one object, taken one by one; [`Self::finish`] refuses what nobody took.
#[derive(Debug)]
pub(super) struct Fields {
    left: Vec<(String, Value)>,
    known: Vec<&'static str>,
}

impl Fields {
    pub(super) fn parse(line: &str) -> Result<Self, RequestError> {
        let Pairs(left) = serde_json::from_str(line).map_err(|_| RequestError::NotAnObject)?;
        for (index, (name, _)) in left.iter().enumerate() {
            if left[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(RequestError::Twice(name.clone()));
            }
        }
        Ok(Self {
            left,
            known: Vec::new(),
        })
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        let index = self.left.iter().position(|(left, _)| left == name)?;
        Some(self.left.swap_remove(index).1)
    }

    /// A number in `range`, or `None` when the field is not there.
    pub(super) fn number(
        &mut self,
        field: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, RequestError> {
        let Some(value) = self.take(field) else {
            return Ok(None);
        };
        match value.as_u64() {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(RequestError::Value {
                field,
                wanted: format!("a number from {} to {}", range.start(), range.end()),
            }),
        }
    }

    /// `true` or `false`, or `None` when the field is not there.
    pub(super) fn flag(&mut self, field: &'static str) -> Result<Option<bool>, RequestError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(RequestError::Value {
                field,
                wanted: "true or false".to_owned(),
            }),
        }
    }

    /// The meaning of one of `words`, or `None` when the field is not there.
    pub(super) fn word<T: Copy>(
        &mut self,
        field: &'static str,
        words: &[(&'static str, T)],
    ) -> Result<Option<T>, RequestError> {
        let Some(value) = self.take(field) else {
            return Ok(None);
        };
        let names = || words.iter().map(|(name, _)| *name);
        let Value::String(given) = value else {
            return Err(RequestError::Value {
                field,
                wanted: format!("one of: {}", names().collect::<Vec<_>>().join(", ")),
            });
        };
        match words.iter().find(|(name, _)| *name == given) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => Err(RequestError::UnknownWord {
                field,
                nearest: nearest(&given, names()),
                words: names().collect(),
                given,
            }),
        }
    }

    pub(super) fn finish(self) -> Result<(), RequestError> {
        match self.left.into_iter().next() {
            None => Ok(()),
            Some((field, _)) => Err(RequestError::UnknownField {
                nearest: nearest(&field, self.known.into_iter()),
                field,
            }),
        }
    }
}

/// An object's members in their order, repeated names included, which `serde_json::Map` would hide.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        from.deserialize_map(Members)
    }
}

/// The name that is at most two edits away (three for long ones), if one is.
fn nearest(given: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    // Longer than any name: no need to compare, and a hostile line must not cost much.
    if given.len() > 32 {
        return None;
    }
    names
        .map(|name| (edits(given, name), name))
        .filter(|(edits, name)| *edits <= if name.len() > 6 { 3 } else { 2 })
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance, in bytes.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}
