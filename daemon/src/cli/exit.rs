//! Exit codes, a promise to scripts.

use std::process::ExitCode;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done, and where a lock is concerned, proven by it.
    Done,
    /// Refused or failed; known not to have been done: where a lock is concerned, by its signature.
    Refused,
    /// The command line or a configuration file is wrong; nothing was tried.
    Usage,
    /// Sent, and what came of it is not proven either way, whatever hub or broker say.
    Unknown,
    /// Neither the daemon nor the broker could be reached; nothing was sent.
    Unreachable,
}

impl Exit {
    /// The number that the shell sees.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Unknown => 3,
            Self::Unreachable => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
