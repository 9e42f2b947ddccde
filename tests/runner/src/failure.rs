//! Why the runner itself could not do something (a failing test is a result, not a [`Failure`]).

use std::error::Error;
use std::fmt;

type Cause = Box<dyn Error + Send + Sync>;

/// The act that failed, in lower case, and its cause.
#[derive(Debug)]
pub struct Failure {
    act: String,
    cause: Option<Cause>,
    usage: bool,
}

impl Failure {
    /// A failure with nothing beneath it.
    pub fn new(act: impl Into<String>) -> Self {
        Self {
            act: act.into(),
            cause: None,
            usage: false,
        }
    }

    /// A request that can never succeed as asked (exit code 2).
    pub fn usage(act: impl Into<String>) -> Self {
        Self {
            usage: true,
            ..Self::new(act)
        }
    }

    /// Whether the request was wrong rather than the project.
    pub fn is_usage(&self) -> bool {
        self.usage
    }

    /// `act: cause: cause`, on one line.
    pub fn chain(&self) -> String {
        let mut text = self.act.clone();
        let mut next = self.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.act)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause
            .as_ref()
            .map(|cause| &**cause as &(dyn Error + 'static))
    }
}

/// Puts the act in front of a dependency's error.
pub trait During<T> {
    /// `act` completes the sentence "could not ...".
    fn during(self, act: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<Cause>> During<T> for Result<T, E> {
    fn during(self, act: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            act: act(),
            cause: Some(error.into()),
            usage: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards: a chain that drops its cause leaves "could not read claims.toml" with no reason.
    #[test]
    fn failure_prints_its_whole_chain() {
        let inner: Result<(), Failure> = Err(Failure::new("parse line 3"));
        let outer = inner.during(|| "read the claims".to_owned());
        assert_eq!(outer.unwrap_err().chain(), "read the claims: parse line 3");
    }
}
