//! Keys, trust anchors and lock bindings: sealed files in a folder of their own, never in the database.
//!
//! **New hub keys are made only when the folder is empty**: a damaged or missing key file next to lock bindings is an error
//! that a person must see, because silently new keys would orphan every lock.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::sealed_file::{self, SealedFileError};

/// Longest name of a file, bytes.
pub const MAX_NAME: usize = 64;
/// Name of the hub's own key file.
const HUB: &str = "hub-identity";

/// An identity file could not be read, written or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The name is not `[a-zA-Z0-9_-]{1,64}`.
    #[error("use a name for an identity file: only letters, digits, _ and -, 1 to 64 of them")]
    BadName,
    /// The folder cannot be made or is not ours.
    #[error("prepare the identity folder {}", path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file failed.
    #[error("handle identity file {name}")]
    File {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: SealedFileError,
    },
    /// Lock bindings are there but the hub's keys are not.
    #[error(
        "load the hub's keys: they are gone while {bindings} lock bindings are there; restore {HUB} from a backup, or remove the bindings and pair again"
    )]
    HubKeysMissing {
        /// Number of bindings.
        bindings: usize,
    },
    /// The hub's key file holds something else.
    #[error("load the hub's keys: the file holds {length} bytes instead of 64")]
    HubKeysMalformed {
        /// Bytes found.
        length: usize,
    },
    /// The kernel gave no random bytes.
    #[error("make the hub's keys")]
    Random(#[source] io::Error),
}

impl IdentityError {
    /// Whether a failed save may be found done after a restart.
    #[must_use]
    pub fn may_have_succeeded(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.may_have_succeeded())
    }

    /// Whether the same call may work later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::File { source, .. } => source.is_temporary(),
            Self::Folder { .. } | Self::Random(_) => true,
            Self::BadName | Self::HubKeysMissing { .. } | Self::HubKeysMalformed { .. } => false,
        }
    }
}

/// 32 secret bytes: redacted when printed, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret32([u8; 32]);

impl Secret32 {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a key type to take; do not print or store them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret32(redacted)")
    }
}

/// What makes this hub itself.
#[derive(Debug, Clone)]
pub struct HubIdentity {
    /// Ed25519 seed (RFC 8032): signs commands under the hub's own grant.
    pub signing_seed: Secret32,
    /// X25519 secret (RFC 7748): the static key of every session.
    pub exchange_secret: Secret32,
}

/// A payload and whether it is the newest.
#[derive(Debug)]
pub struct Binding {
    /// What was saved; wiped when dropped.
    pub payload: Zeroizing<Vec<u8>>,
    /// The newest file was damaged and this is the one before it: tell someone.
    pub from_previous: bool,
}

/// The folder of identity files, mode 0700.
#[derive(Debug, Clone)]
pub struct IdentityDir {
    folder: PathBuf,
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

impl IdentityDir {
    /// Opens or makes the folder; access for others is taken away with a warning.
    ///
    /// # Errors
    /// [`IdentityError::Folder`] when it cannot be made, is no folder, or belongs to somebody else.
    pub fn open(folder: &Path) -> Result<Self, IdentityError> {
        let wrap = |source| IdentityError::Folder {
            path: folder.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(wrap)?;
        let about = fs::symlink_metadata(folder).map_err(wrap)?;
        if !about.is_dir() {
            return Err(wrap(io::Error::new(
                io::ErrorKind::NotADirectory,
                "it is a link or a file",
            )));
        }
        if about.uid() != nix::unistd::geteuid().as_raw() {
            return Err(wrap(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it belongs to another user",
            )));
        }
        if about.mode() & 0o077 != 0 {
            log::warn!(event = "identity_folder_open_to_others", folder = folder.display().to_string().as_str(); "taking access away; keys may have been read");
            fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(wrap)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn path(&self, name: &str) -> Result<PathBuf, IdentityError> {
        if is_name(name) {
            Ok(self.folder.join(name))
        } else {
            Err(IdentityError::BadName)
        }
    }

    /// Loads a file; `None` when it was never saved.
    ///
    /// # Errors
    /// A damaged file with no sound previous one is an error, not `None`.
    pub fn load(&self, name: &str) -> Result<Option<Binding>, IdentityError> {
        let path = self.path(name)?;
        let loaded = sealed_file::load(&path).map_err(|source| IdentityError::File {
            name: name.into(),
            source,
        })?;
        if loaded.as_ref().is_some_and(|loaded| loaded.from_previous) {
            log::warn!(event = "identity_file_fallback", name; "the newest file is damaged or missing; using the previous one");
        }
        Ok(loaded.map(|loaded| Binding {
            payload: loaded.payload,
            from_previous: loaded.from_previous,
        }))
    }

    /// Saves a file; durable on return.
    ///
    /// # Errors
    /// See [`IdentityError::may_have_succeeded`].
    pub fn save(&self, name: &str, payload: &[u8]) -> Result<(), IdentityError> {
        let path = self.path(name)?;
        sealed_file::save(&path, payload).map_err(|source| IdentityError::File {
            name: name.into(),
            source,
        })
    }

    /// Removes a file and its previous one.
    ///
    /// # Errors
    /// The disk refused.
    pub fn remove(&self, name: &str) -> Result<(), IdentityError> {
        let path = self.path(name)?;
        sealed_file::remove(&path).map_err(|source| IdentityError::File {
            name: name.into(),
            source,
        })
    }

    /// Names of the files saved, the hub's own keys excepted, in order. A name whose newest file is
    /// gone but whose previous one is there is listed.
    ///
    /// # Errors
    /// [`IdentityError::Folder`].
    pub fn list(&self) -> Result<Vec<String>, IdentityError> {
        let wrap = |source| IdentityError::Folder {
            path: self.folder.clone(),
            source,
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(wrap)? {
            let file = entry.map_err(wrap)?.file_name();
            let Some(file) = file.to_str() else { continue };
            let name = file.strip_suffix(".prev").unwrap_or(file);
            if is_name(name) && name != HUB {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Loads the hub's keys, or makes them on the very first start.
    ///
    /// # Errors
    /// [`IdentityError::HubKeysMissing`] when bindings are there without keys.
    pub fn hub_identity(&self) -> Result<HubIdentity, IdentityError> {
        if let Some(found) = self.load(HUB)? {
            let malformed = || IdentityError::HubKeysMalformed {
                length: found.payload.len(),
            };
            let (seed, secret) = found.payload.split_at_checked(32).ok_or_else(malformed)?;
            return Ok(HubIdentity {
                signing_seed: Secret32(seed.try_into().map_err(|_| malformed())?),
                exchange_secret: Secret32(secret.try_into().map_err(|_| malformed())?),
            });
        }
        let bindings = self.list()?.len();
        if bindings > 0 {
            return Err(IdentityError::HubKeysMissing { bindings });
        }
        let mut bytes = Zeroizing::new([0u8; 64]);
        getrandom::fill(bytes.as_mut_slice())
            .map_err(|error| IdentityError::Random(io::Error::other(error.to_string())))?;
        self.save(HUB, bytes.as_slice())?;
        self.hub_identity()
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
