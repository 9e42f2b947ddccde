//! What can go wrong with the socket itself.

use std::io;
use std::path::PathBuf;

/// The control socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Another process answers on it.
    #[error("listen on {}: another drawbridged answers there", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The folder or the socket cannot be made.
    #[error("{act} {}", path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The configured group does not exist.
    #[error(
        "find the group {group}: create it with `groupadd --system {group}`, or change [control] group"
    )]
    NoSuchGroup {
        /// Its name.
        group: String,
    },
}

impl ControlError {
    /// Nothing was carried out.
    #[must_use]
    pub fn may_have_succeeded(&self) -> bool {
        false
    }

    /// Whether opening may work later with nothing changed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}
