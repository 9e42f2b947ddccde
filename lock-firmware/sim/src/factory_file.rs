//! What the factory puts into one lock, kept beside its flash image: secrets, so mode 0600.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use drawbridge_lock::Factory;
use drawbridge_protocol::ids::{Digest32, LockId, Nonce};
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret, SharedSecret};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// The only format so far.
const FORMAT: u8 = 1;

/// Longest file that is read: the real one has about 300 bytes.
const MAX_BYTES: u64 = 4_096;

/// Why a lock's factory data cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FactoryFileError {
    /// Reading or writing the file failed.
    #[error("use the factory data {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others may read it.
    #[error(
        "trust the factory data {} that others can read; run chmod 600 on it",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// Not what this program wrote.
    #[error(
        "read the factory data {}; restore it, or give --new to make a new lock",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// The file, in hexadecimal digits.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: u8,
    lock: String,
    model: u16,
    link: String,
    identity: String,
    setup: String,
}

impl Drop for Contents {
    fn drop(&mut self) {
        self.link.zeroize();
        self.identity.zeroize();
        self.setup.zeroize();
    }
}

/// Where the factory data of the lock with this flash image lies: the same name and `.factory`.
#[must_use]
pub fn path_beside(flash: &Path) -> PathBuf {
    let mut path = flash.as_os_str().to_owned();
    path.push(".factory");
    path.into()
}

/// Reads it.
///
/// # Errors
/// [`FactoryFileError`].
pub fn read(path: &Path) -> Result<Factory, FactoryFileError> {
    let io = |source| io_error(path, source);
    let file = fs::File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.mode();
    if mode & 0o077 != 0 {
        return Err(FactoryFileError::Exposed {
            path: path.to_owned(),
        });
    }
    let mut text = Zeroizing::new(Vec::new());
    file.take(MAX_BYTES).read_to_end(&mut text).map_err(io)?;
    serde_json::from_slice(&text)
        .ok()
        .and_then(|contents| decode(&contents))
        .ok_or_else(|| FactoryFileError::Malformed {
            path: path.to_owned(),
        })
}

/// Writes it with mode 0600, over whatever was there, and makes it durable.
///
/// # Errors
/// [`FactoryFileError::Io`].
pub fn write(path: &Path, factory: &Factory) -> Result<(), FactoryFileError> {
    let io = |source| io_error(path, source);
    let contents = encode(factory);
    let text = serde_json::to_vec_pretty(&contents)
        .map(Zeroizing::new)
        .map_err(|error| io(error.into()))?;
    // A file of its own with the right mode from its first byte, then one atomic step.
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(io)?;
    file.write_all(&text)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&fresh, path))
        .map_err(io)
}

fn encode(factory: &Factory) -> Contents {
    let mut identity = factory.identity.danger_to_bytes();
    let contents = Contents {
        format: FORMAT,
        lock: factory.lock.to_string(),
        model: factory.model,
        link: Digest32(*factory.link.danger_as_bytes()).to_string(),
        identity: Digest32(identity).to_string(),
        setup: Nonce(*factory.setup.danger_as_bytes()).to_string(),
    };
    identity.zeroize();
    contents
}

fn decode(contents: &Contents) -> Option<Factory> {
    if contents.format != FORMAT {
        return None;
    }
    let lock: LockId = contents.lock.parse().ok()?;
    let link: Digest32 = contents.link.parse().ok()?;
    let identity: Digest32 = contents.identity.parse().ok()?;
    let setup: Nonce = contents.setup.parse().ok()?;
    Some(Factory {
        lock,
        model: contents.model,
        link: LinkSecret::from_bytes(link.0),
        identity: IdentitySecret::from_bytes(&identity.0),
        setup: SharedSecret::new(setup.0),
    })
}

fn io_error(path: &Path, source: io::Error) -> FactoryFileError {
    FactoryFileError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::entropy::Randomness;

    #[test]
    fn factory_data_survives_the_file_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = path_beside(&dir.path().join("lock.flash"));
        assert!(path.ends_with("lock.flash.factory"));
        let factory = Factory::generate(7, &mut Randomness::new(Some(1)));
        write(&path, &factory).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().qr(), factory.qr());

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(&path), Err(FactoryFileError::Exposed { .. })));
    }

    #[test]
    fn damaged_factory_data_is_refused_and_never_replaced_silently() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        write(&path, &Factory::generate(7, &mut Randomness::new(Some(2)))).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(
                read(&path),
                Err(FactoryFileError::Malformed { .. })
            ));
        }
        let extra = String::from_utf8(whole)
            .unwrap()
            .replacen('{', "{\"owner\":1,", 1);
        fs::write(&path, extra).unwrap();
        assert!(read(&path).is_err());
    }
}
