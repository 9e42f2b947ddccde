//! Identity and bonds in a file beside the flash image.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use drawbridge_lock_ble::{Bond, Identity, MAX_BONDS};
use drawbridge_protocol::entropy::Entropy;
use heapless::Vec as Bonds;
use thiserror::Error;

use crate::entropy::Randomness;

/// What is wrong with the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeptError {
    /// The system refused.
    #[error("read or write it")]
    Io(#[from] io::Error),
    /// It is not what this program writes; removed, the lock is a new one to its hubs' Bluetooth.
    #[error("understand it; remove it and pair the hubs' Bluetooth again")]
    Malformed,
}

/// Identity, then bonds, the oldest first.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    path: PathBuf,
    pub(super) identity: Identity,
    pub(super) bonds: Bonds<Bond, MAX_BONDS>,
}

/// The file that belongs to a flash image.
pub(super) fn path_beside(flash: &Path) -> PathBuf {
    let mut name = flash.as_os_str().to_owned();
    name.push(".bonds");
    PathBuf::from(name)
}

impl Kept {
    /// Reads the file, or begins it with a new identity.
    pub(super) fn open(path: &Path, is_new: bool) -> Result<Self, KeptError> {
        match std::fs::read(path) {
            Ok(bytes) if !is_new => Self::from_bytes(path, &bytes).ok_or(KeptError::Malformed),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => {
                let kept = Self::begin(path);
                kept.write()?;
                Ok(kept)
            }
        }
    }

    fn begin(path: &Path) -> Self {
        // Always the kernel's: an address that repeats is another lock's to every hub in the air.
        let identity = Identity::generate(|into| Randomness::Kernel.fill(into));
        Self {
            path: path.to_owned(),
            identity,
            bonds: Bonds::new(),
        }
    }

    fn from_bytes(path: &Path, bytes: &[u8]) -> Option<Self> {
        let (identity, bonds) = bytes.split_first_chunk::<{ Identity::LEN }>()?;
        let bonds = bonds.chunks(Bond::LEN);
        let bonds: Option<Vec<Bond>> = bonds
            .map(|bond| Bond::from_bytes(bond.try_into().ok()?))
            .collect();
        Some(Self {
            path: path.to_owned(),
            identity: Identity::from_bytes(*identity)?,
            bonds: Bonds::from_slice(&bonds?).ok()?,
        })
    }

    /// Becomes somebody else, with no bond.
    pub(super) fn forget(&mut self) -> Result<(), KeptError> {
        *self = Self::begin(&self.path);
        self.write()
    }

    /// Keeps these bonds instead.
    pub(super) fn keep(&mut self, bonds: &[Bond]) -> Result<(), KeptError> {
        self.bonds = Bonds::from_slice(bonds).map_err(|_| KeptError::Malformed)?;
        self.write()
    }

    /// Whole or not at all, and for nobody else to read: it holds keys.
    fn write(&self) -> Result<(), KeptError> {
        let mut aside = self.path.as_os_str().to_owned();
        aside.push(".new");
        let aside = PathBuf::from(aside);
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(&self.identity.to_bytes())?;
        for bond in &self.bonds {
            file.write_all(bond.as_bytes())?;
        }
        file.sync_all()?;
        std::fs::rename(&aside, &self.path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Guards: a lock that is started again and is a stranger to its hubs, or whose keys others read.
    #[test]
    fn identity_and_bonds_survive_a_restart_and_die_with_a_reset() {
        let dir = tempfile::tempdir().unwrap();
        let path = path_beside(&dir.path().join("flash"));
        let mut kept = Kept::open(&path, false).unwrap();
        let bond = Bond::from_bytes([1; Bond::LEN]).unwrap();
        kept.keep(&[bond; 2]).unwrap();
        let again = Kept::open(&path, false).unwrap();
        assert_eq!(again.identity, kept.identity);
        assert_eq!(again.bonds, [bond; 2]);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        kept.forget().unwrap();
        let reset = Kept::open(&path, false).unwrap();
        assert_ne!(reset.identity, again.identity);
        assert!(reset.bonds.is_empty());
    }

    /// Guards: bonds of a lock that was thrown away, believed by the new one over its flash image.
    #[test]
    fn new_lock_takes_over_neither_identity_nor_bonds_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = path_beside(&dir.path().join("flash"));
        let mut kept = Kept::open(&path, false).unwrap();
        kept.keep(&[Bond::from_bytes([0; Bond::LEN]).unwrap()])
            .unwrap();
        let new = Kept::open(&path, true).unwrap();
        assert_ne!(new.identity, kept.identity);
        assert!(new.bonds.is_empty());
        std::fs::write(&path, [0xff; Identity::LEN + 3]).unwrap();
        assert!(matches!(
            Kept::open(&path, false),
            Err(KeptError::Malformed)
        ));
    }
}
