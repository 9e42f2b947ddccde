//! Why the owner key file could not be read or written, and what to do about it.

use std::io;
use std::path::PathBuf;

use super::file_form::VERSION;

/// The owner key file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// There is none.
    #[error("open the owner key file {}: there is none", .0.display())]
    Missing(PathBuf),
    /// There is one already.
    #[error("make the owner key file {}: there is one already", .0.display())]
    Exists(PathBuf),
    /// Others can read or write it.
    #[error("trust the owner key file {}: its mode {mode:04o} lets other users in", path.display())]
    Exposed {
        /// Where.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// Its file system has no permissions, or was mounted so as to let others in.
    #[error("keep the owner key file {}: its file system lets other users in (mode {mode:04o} where 0600 was asked for)", path.display())]
    Unprotected {
        /// Where.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("trust the owner key file {}: it belongs to another user (uid {uid})", path.display())]
    Foreign {
        /// Where.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// It is no owner key file, or a damaged one.
    #[error("read the owner key file {}: {detail}", path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong; never any of its text.
        detail: String,
    },
    /// A newer release wrote it.
    #[error("read the owner key file {}: it has version {found}, this program knows {VERSION}", path.display())]
    Newer {
        /// Where.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The disk refused.
    #[error("{act} {}", path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl KeyFileError {
    /// What to do next.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Missing(_) => "drawbridge owner init".to_owned(),
            Self::Exists(_) => {
                "drawbridge owner show (to keep it), or owner init --force (its locks then need a factory reset; the old file is kept beside it)".to_owned()
            }
            Self::Exposed { path, .. } => format!(
                "chmod 600 {} (where that changes nothing, as on a vfat stick: {MOUNT_FOR_ONE})",
                path.display()
            ),
            Self::Unprotected { .. } => format!(
                "give --owner-key a place on a disk with permissions, or {MOUNT_FOR_ONE}; nothing was written"
            ),
            Self::Foreign { .. } => "run this as the owner of the file, or give --owner-key".to_owned(),
            Self::Damaged { .. } => "restore the file from your backup; do not make a new one over it".to_owned(),
            Self::Newer { .. } => "update drawbridge on this machine".to_owned(),
            Self::Io { .. } => "check the disk and the folder's permissions".to_owned(),
        }
    }

    /// Whether a failed save may be found done.
    #[must_use]
    pub fn may_have_succeeded(&self) -> bool {
        matches!(
            self,
            Self::Io {
                act: SYNC_FOLDER,
                ..
            }
        )
    }

    /// Whether the same call may work later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

/// The one act whose failure leaves a save that may be found done.
pub(super) const SYNC_FOLDER: &str = "sync the folder of";
const MOUNT_FOR_ONE: &str = "mount it for yourself alone: -o uid=YOU,umask=077";
