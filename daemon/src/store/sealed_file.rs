//! Small files that must never be half there: written beside, synced, renamed, folder synced.
//!
//! Layout: `magic 4 | version 1 | zero 3 | length u32 BE | payload | crc32c u32 BE`, mode 0600. The file replaced last
//! stays as `<name>.prev`, so a damaged newest file falls back to it and says so. **A name that
//! was ever saved loads as what was saved, as what was saved before it, or as an error; never as absent.**

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::fence::sync_folder;
use super::record::crc32c;

const MAGIC: &[u8; 4] = b"DBSF";
const VERSION: u8 = 1;
const HEADER: usize = 12;
const TRAILER: usize = 4;

/// Largest payload, bytes.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// A sealed file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedFileError {
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
    /// Neither the newest nor the previous file is sound.
    #[error("read {}: it is damaged, and so is or there is no previous one; restore it from a backup", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// The file was written by a newer release.
    #[error("read {}: it was written by a newer release (format {found})", path.display())]
    NewerFormat {
        /// Which file.
        path: PathBuf,
        /// The version byte found.
        found: u8,
    },
    /// The payload is over [`MAX_PAYLOAD`].
    #[error("write {}: {length} bytes are too many", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Bytes offered.
        length: usize,
    },
}

impl SealedFileError {
    /// Whether a failed save may be found done after a restart.
    #[must_use]
    pub fn may_have_succeeded(&self) -> bool {
        matches!(
            self,
            Self::Io {
                act: "sync the folder of",
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

/// What was read.
#[derive(Debug)]
pub struct Loaded {
    /// The payload; wiped when dropped.
    pub payload: Zeroizing<Vec<u8>>,
    /// The newest file was damaged or missing and this is the one before it.
    pub from_previous: bool,
}

enum Read1 {
    Absent,
    Damaged,
    Newer(u8),
    Sound(Zeroizing<Vec<u8>>),
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn read_one(path: &Path) -> Result<Read1, SealedFileError> {
    let io = |source| SealedFileError::Io {
        act: "read",
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Read1::Absent),
        Err(error) => return Err(io(error)),
    };
    let most = HEADER + MAX_PAYLOAD + TRAILER + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER + TRAILER + 1_024));
    match file.take(most as u64).read_to_end(&mut bytes) {
        Ok(_) => {}
        // A sector that cannot be read is damage; the previous file may be elsewhere on the disk.
        Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => return Ok(Read1::Damaged),
        Err(error) => return Err(io(error)),
    }
    Ok(parse(&bytes))
}

fn parse(bytes: &[u8]) -> Read1 {
    let Some((body, crc)) = bytes.split_last_chunk::<TRAILER>() else {
        return Read1::Damaged;
    };
    if !body.starts_with(MAGIC) || crc32c(&[body]).to_be_bytes() != *crc {
        return Read1::Damaged;
    }
    let Some((head, payload)) = body.split_first_chunk::<HEADER>() else {
        return Read1::Damaged;
    };
    if head[4] != VERSION {
        return Read1::Newer(head[4]);
    }
    let length = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
    if usize::try_from(length) != Ok(payload.len()) {
        return Read1::Damaged;
    }
    Read1::Sound(Zeroizing::new(payload.to_vec()))
}

/// Loads a file; `None` when it was never saved.
///
/// # Errors
/// [`SealedFileError::Damaged`] when something is there and nothing of it is sound.
pub fn load(path: &Path) -> Result<Option<Loaded>, SealedFileError> {
    let newest = read_one(path)?;
    match newest {
        Read1::Sound(payload) => {
            return Ok(Some(Loaded {
                payload,
                from_previous: false,
            }));
        }
        Read1::Newer(found) => {
            return Err(SealedFileError::NewerFormat {
                path: path.to_owned(),
                found,
            });
        }
        Read1::Absent | Read1::Damaged => {}
    }
    match (newest, read_one(&beside(path, ".prev"))?) {
        (_, Read1::Sound(payload)) => Ok(Some(Loaded {
            payload,
            from_previous: true,
        })),
        (_, Read1::Newer(found)) => Err(SealedFileError::NewerFormat {
            path: path.to_owned(),
            found,
        }),
        (Read1::Absent, Read1::Absent) => Ok(None),
        _ => Err(SealedFileError::Damaged {
            path: path.to_owned(),
        }),
    }
}

/// Saves a payload; on return it survives a power cut, and the one before it stays as `.prev`.
///
/// # Errors
/// The old payload is still what loads, unless [`SealedFileError::may_have_succeeded`].
pub fn save(path: &Path, payload: &[u8]) -> Result<(), SealedFileError> {
    let io = |act: &'static str| {
        move |source| SealedFileError::Io {
            act,
            path: path.to_owned(),
            source,
        }
    };
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= MAX_PAYLOAD);
    let Some(length) = length else {
        return Err(SealedFileError::TooLarge {
            path: path.to_owned(),
            length: payload.len(),
        });
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER + payload.len() + TRAILER));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[VERSION, 0, 0, 0]);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(payload);
    let crc = crc32c(&[bytes.as_slice()]);
    bytes.extend_from_slice(&crc.to_be_bytes());

    let new = beside(path, ".new");
    remove_if_there(&new).map_err(io("clear the way for"))?;
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(io("create"))?;
    file.write_all(&bytes).map_err(io("write"))?;
    file.sync_all().map_err(io("sync"))?;
    drop(file);
    // Only a sound file may become the previous one: a damaged newest must not push out the last good copy.
    if matches!(read_one(path)?, Read1::Sound(_)) {
        fs::rename(path, beside(path, ".prev")).map_err(io("keep the previous"))?;
    }
    fs::rename(&new, path).map_err(io("put in place"))?;
    path.parent()
        .map_or(Ok(()), sync_folder)
        .map_err(io("sync the folder of"))
}

/// Removes a file and its previous one, oldest first, so that a cut between cannot bring old content back.
///
/// # Errors
/// The disk refused.
pub fn remove(path: &Path) -> Result<(), SealedFileError> {
    let io = |act: &'static str| {
        move |source| SealedFileError::Io {
            act,
            path: path.to_owned(),
            source,
        }
    };
    for ending in [".new", ".prev", ""] {
        remove_if_there(&beside(path, ending)).map_err(io("remove"))?;
    }
    path.parent()
        .map_or(Ok(()), sync_folder)
        .map_err(io("sync the folder of"))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flipped bit or a cut in the newest file must lead to the one before, never to wrong or no content (F16).
    #[test]
    fn f16_any_flipped_or_cut_byte_falls_back_to_the_previous_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("front-door");
        save(&path, b"first").unwrap();
        save(&path, b"second").unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            for bytes in [bad.as_slice(), &whole[..at]] {
                fs::write(&path, bytes).unwrap();
                let loaded = load(&path).unwrap().unwrap();
                assert_eq!(
                    (loaded.payload.as_slice(), loaded.from_previous),
                    (&b"first"[..], true),
                    "at {at}"
                );
            }
        }
        // Saving over a damaged newest keeps the good previous one until the new one is in place.
        save(&path, b"third").unwrap();
        assert_eq!(load(&path).unwrap().unwrap().payload.as_slice(), b"third");
        fs::write(&path, b"").unwrap();
        assert_eq!(load(&path).unwrap().unwrap().payload.as_slice(), b"first");
        fs::write(beside(&path, ".prev"), b"junk").unwrap();
        assert!(matches!(load(&path), Err(SealedFileError::Damaged { .. })));
    }

    /// Power fails between the steps of a save (F12): what loads is the old or the new payload.
    #[test]
    fn f12_every_cut_point_of_a_save_loads_old_or_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("binding");
        save(&path, b"old").unwrap();
        let old = fs::read(&path).unwrap();
        save(&path, b"new").unwrap();
        let new = fs::read(&path).unwrap();
        let lay = |newest: Option<&[u8]>, previous: Option<&[u8]>, beside_it: Option<&[u8]>| {
            for (ending, bytes) in [("", newest), (".prev", previous), (".new", beside_it)] {
                let file = beside(&path, ending);
                remove_if_there(&file).unwrap();
                if let Some(bytes) = bytes {
                    fs::write(file, bytes).unwrap();
                }
            }
            load(&path).unwrap().unwrap().payload.to_vec()
        };
        for cut in 0..=new.len() {
            assert_eq!(
                lay(Some(&old), None, Some(&new[..cut])),
                b"old",
                "written {cut} bytes beside"
            );
        }
        assert_eq!(
            lay(None, Some(&old), Some(&new)),
            b"old",
            "previous kept, new one not in place"
        );
        assert_eq!(lay(Some(&new), Some(&old), None), b"new");
    }

    #[test]
    fn removed_stays_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        save(&path, b"1").unwrap();
        save(&path, b"2").unwrap();
        remove(&path).unwrap();
        assert!(load(&path).unwrap().is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
