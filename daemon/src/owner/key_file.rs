//! The file an owner's secrets live in: mode 0600, replaced whole or not at all.
//!
//! Read with [`KeyFile::load`]; change with [`KeyFile::update`], which holds a lock beside the file
//! from reading to writing, so that two commands at once lose nothing of each other. **After any
//! error or power cut the file is what it was before or what it was to become**: the new one is
//! written beside it, synced, read back, renamed over it, and the folder synced. Where the file is a
//! link, all of that happens where it leads to. Not one secret byte is written to a file system that
//! would show it to other users.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::file_form::{BookV1, FORMAT, Header, VERSION};
pub use super::key_file_error::KeyFileError;
use super::key_file_error::SYNC_FOLDER;
use super::keys::OwnerBook;

/// Largest file that is read, in bytes: a thousand locks fit.
const MAX_FILE: u64 = 4 << 20;

/// What a file system says of a file.
#[derive(Debug, Clone, Copy)]
struct About {
    is_file: bool,
    len: u64,
    mode: u32,
    uid: u32,
}

fn look(file: &File) -> io::Result<About> {
    file.metadata().map(|about| About {
        is_file: about.is_file(),
        len: about.len(),
        mode: about.mode() & 0o7777,
        uid: about.uid(),
    })
}

/// Where the owner's secrets are.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
    /// How to look at a file; a test plays a file system without permissions with it.
    look: fn(&File) -> io::Result<About>,
}

impl KeyFile {
    /// The file at `path`, whether it is there or not.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { path, look }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file. With `replace`, one that is there is kept as `<name>.<n>.old`; without, it is an error.
    /// Returns where an old one was put.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn create(&self, book: &OwnerBook, replace: bool) -> Result<Option<PathBuf>, KeyFileError> {
        if let Some(folder) = self.path.parent().filter(|f| !f.as_os_str().is_empty()) {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(self.io("make the folder of"))?;
        }
        self.resolved()?.create_here(book, replace)
    }

    fn create_here(
        &self,
        book: &OwnerBook,
        replace: bool,
    ) -> Result<Option<PathBuf>, KeyFileError> {
        let _held = self.hold()?;
        let there = fs::symlink_metadata(&self.path).is_ok();
        if there && !replace {
            return Err(KeyFileError::Exists(self.path.clone()));
        }
        let new = self.write_beside(book)?;
        let aside = there.then(|| self.put_aside()).transpose();
        let old = aside.inspect_err(|_| discard(&new))?;
        self.put_in_place(&new)?;
        Ok(old)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`KeyFileError`]; a file that others can read is refused, not repaired.
    pub fn load(&self) -> Result<OwnerBook, KeyFileError> {
        let file = File::open(&self.path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => KeyFileError::Missing(self.path.clone()),
            _ => self.io("open the owner key file")(source),
        })?;
        let about = (self.look)(&file).map_err(self.io("look at"))?;
        if about.mode & 0o077 != 0 {
            return Err(KeyFileError::Exposed {
                path: self.path.clone(),
                mode: about.mode,
            });
        }
        self.check_owner(about)?;
        if !about.is_file || about.len > MAX_FILE {
            return Err(self.damaged("it is no file, or too large"));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(about.len as usize + 1));
        file.take(MAX_FILE)
            .read_to_end(&mut bytes)
            .map_err(self.io("read"))?;
        self.parse(&bytes)
    }

    /// Reads the file, lets `change` work on it, and writes it back if `change` succeeds.
    ///
    /// # Errors
    /// [`KeyFileError`] as `E`, or what `change` says; the file is then what it was.
    pub fn update<T, E: From<KeyFileError>>(
        &self,
        change: impl FnOnce(&mut OwnerBook) -> Result<T, E>,
    ) -> Result<T, E> {
        let file = self.resolved()?;
        let _held = file.hold()?;
        let mut book = file.load()?;
        let result = change(&mut book)?;
        let new = file.write_beside(&book)?;
        file.put_in_place(&new)?;
        Ok(result)
    }

    /// The file that a link at this path leads to: it is the one that is read, so it is the one to
    /// replace.
    fn resolved(&self) -> Result<Self, KeyFileError> {
        if !fs::symlink_metadata(&self.path).is_ok_and(|about| about.is_symlink()) {
            return Ok(self.clone());
        }
        let path = fs::canonicalize(&self.path).map_err(self.io("follow the link"))?;
        let look = self.look;
        Ok(Self { path, look })
    }

    fn check_owner(&self, about: About) -> Result<(), KeyFileError> {
        if about.uid == nix::unistd::geteuid().as_raw() {
            return Ok(());
        }
        Err(KeyFileError::Foreign {
            path: self.path.clone(),
            uid: about.uid,
        })
    }

    fn parse(&self, bytes: &[u8]) -> Result<OwnerBook, KeyFileError> {
        let header: Header =
            serde_json::from_slice(bytes).map_err(|error| self.malformed(&error))?;
        if header.format != FORMAT {
            return Err(self.damaged("it is no owner key file"));
        }
        if header.version != VERSION {
            return Err(KeyFileError::Newer {
                path: self.path.clone(),
                found: header.version,
            });
        }
        let form: BookV1 = serde_json::from_slice(bytes).map_err(|error| self.malformed(&error))?;
        form.read().map_err(|detail| self.damaged(detail))
    }

    /// Writes the file that is to take this one's place, and reads it back.
    fn write_beside(&self, book: &OwnerBook) -> Result<PathBuf, KeyFileError> {
        let new = self.beside(".new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(self.io("clear the way for")(error));
            }
            _ => {}
        }
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .map_err(self.io("write beside"))?;
        self.fill(file, book)
            .and_then(|()| {
                let look = self.look;
                let written = Self {
                    path: new.clone(),
                    look,
                };
                written.load().map(drop)
            })
            .inspect_err(|_| discard(&new))?;
        Ok(new)
    }

    fn fill(&self, mut file: File, book: &OwnerBook) -> Result<(), KeyFileError> {
        let about = (self.look)(&file).map_err(self.io("look at"))?;
        if about.mode & 0o077 != 0 {
            return Err(KeyFileError::Unprotected {
                path: self.path.clone(),
                mode: about.mode,
            });
        }
        self.check_owner(about)?;
        // Large enough not to grow: growing would leave a copy of the secrets behind, not wiped.
        let room = 4_096 + 512 * book.hubs.len() + 16_384 * book.locks.len();
        let mut text = Zeroizing::new(Vec::with_capacity(room));
        serde_json::to_writer_pretty(&mut *text, &BookV1::from(book))
            .map_err(|error| self.io("encode")(error.into()))?;
        text.push(b'\n');
        file.write_all(&text).map_err(self.io("write"))?;
        file.sync_all().map_err(self.io("sync"))
    }

    fn put_in_place(&self, new: &Path) -> Result<(), KeyFileError> {
        fs::rename(new, &self.path).map_err(self.io("put in place"))?;
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(self.io(SYNC_FOLDER))
    }

    /// Holds the lock beside the file until dropped.
    fn hold(&self) -> Result<File, KeyFileError> {
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.beside(".lock"))
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => KeyFileError::Missing(self.path.clone()),
                _ => self.io("lock")(source),
            })?;
        lock.lock().map_err(self.io("lock"))?;
        Ok(lock)
    }

    fn put_aside(&self) -> Result<PathBuf, KeyFileError> {
        for number in 1..u32::MAX {
            let old = self.beside(&format!(".{number}.old"));
            // A hard link fails when the name is taken: no old file is ever written over.
            match fs::hard_link(&self.path, &old) {
                Ok(()) => return Ok(old),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(self.io("keep the old")(error)),
            }
        }
        Err(self.damaged("too many old ones are beside it"))
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    }

    fn io(&self, act: &'static str) -> impl FnOnce(io::Error) -> KeyFileError + use<> {
        let path = self.path.clone();
        move |source| KeyFileError::Io { act, path, source }
    }

    fn damaged(&self, detail: impl Into<String>) -> KeyFileError {
        KeyFileError::Damaged {
            path: self.path.clone(),
            detail: detail.into(),
        }
    }

    /// serde_json's own text may quote values of the file; only the place is told.
    fn malformed(&self, error: &serde_json::Error) -> KeyFileError {
        self.damaged(format!(
            "line {}, column {} is not what belongs there",
            error.line(),
            error.column()
        ))
    }
}

/// What is left when this fails is closed to others, and the next attempt clears it away.
fn discard(new: &Path) {
    let _ = fs::remove_file(new);
}

#[cfg(test)]
#[path = "key_file_tests.rs"]
mod tests;
