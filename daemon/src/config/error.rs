//! What is wrong with a configuration.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// One value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, from 1, when the key is in the file.
    pub line: Option<usize>,
    /// Which, as `[section] key`.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{} {}; {}", self.key, self.what, self.advice)
    }
}

struct Lines<'p>(&'p [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read the configuration {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The text is no TOML, or has a key or a value that is not known.
    #[error("understand {}, line {line} column {column}: {what}{}", path.display(), suggestion.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong.
        what: String,
        /// The nearest valid word.
        suggestion: Option<String>,
    },
    /// Values that cannot be used.
    #[error("use {}:{}", path.display(), Lines(problems))]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// All of them, in the order of the sections.
        problems: Vec<Problem>,
    },
}

impl ConfigError {
    /// Reading changes nothing.
    #[must_use]
    pub fn may_have_succeeded(&self) -> bool {
        false
    }

    /// Whether the same file may be readable later. One that is not there is the wrong one.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        use io::ErrorKind::{InvalidData, NotFound};
        matches!(self, Self::Read { source, .. } if !matches!(source.kind(), InvalidData | NotFound))
    }
}
