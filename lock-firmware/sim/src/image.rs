//! The lock's flash in a file, written through: what a call to flash finished, a killed process keeps.
//!
//! The file holds the cells, then a trailer: `DBIMAGE1`, page size and page count (4 bytes each,
//! little-endian), where the bolt stands (4), and the erases of each page (4 each).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use drawbridge_lock::flash::model::Nor;
use drawbridge_protocol::ids::Digest32;
use thiserror::Error;

/// Bytes in a page, as on the nRF52840.
pub const PAGE_BYTES: usize = 4_096;

/// Pages of a new image: the critical store and a log of some hundreds of records.
pub const NEW_IMAGE_PAGES: u32 = 32;

/// The flash of a simulated lock.
pub type SimFlash = Nor<PAGE_BYTES>;

const MAGIC: &[u8; 8] = b"DBIMAGE1";
const TRAILER_HEAD: usize = 20;
/// Larger images are refused before they are read: 16 MiB is more than any lock has.
const MAX_PAGES: u32 = 4_096;

/// Why a flash image cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file cannot be opened, read or written.
    #[error("use the flash image {}", path.display())]
    Io {
        /// The image.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "use the flash image {}: another simulator runs on it; stop that one or give another --flash",
        path.display()
    )]
    InUse {
        /// The image.
        path: PathBuf,
    },
    /// Not an image of this program.
    #[error(
        "recognise the flash image {}; give another --flash, or --new to make a new lock there",
        path.display()
    )]
    NotAnImage {
        /// The image.
        path: PathBuf,
    },
}

/// The image of one lock, open and locked against other processes while this lives.
///
/// Contract: [`open`](Self::open) or [`create`](Self::create), then [`flash`](Self::flash) once.
/// **Every change of a cell is in the file before the flash operation returns to the core.**
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    inner: Arc<Mutex<Inner>>,
    cells: Vec<u8>,
    bolt_at: u32,
}

#[derive(Debug)]
struct Inner {
    file: File,
    erases: Vec<u32>,
    failure: Option<io::Error>,
}

impl Image {
    /// Opens the image of an existing lock.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|source| io_error(path, source))?;
        take_lock(&file, path)?;
        let not_an_image = || ImageError::NotAnImage {
            path: path.to_owned(),
        };
        let longest = image_len(MAX_PAGES) as u64;
        let length = file
            .metadata()
            .map_err(|source| io_error(path, source))?
            .len();
        if length > longest {
            return Err(not_an_image());
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|source| io_error(path, source))?;
        let (cells, bolt_at, erases) = parse(&bytes).ok_or_else(not_an_image)?;
        Ok(Self::with(path, file, cells, bolt_at, erases))
    }

    /// Makes a blank image, over whatever was there.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn create(path: &Path, pages: u32) -> Result<Self, ImageError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|source| io_error(path, source))?;
        take_lock(&file, path)?;
        let cells = vec![0xFF; pages as usize * PAGE_BYTES];
        let mut bytes = cells.clone();
        bytes.extend(MAGIC);
        bytes.extend((PAGE_BYTES as u32).to_le_bytes());
        bytes.extend(pages.to_le_bytes());
        bytes.resize(image_len(pages), 0);
        file.set_len(0)
            .and_then(|()| file.write_all_at(&bytes, 0))
            .map_err(|source| io_error(path, source))?;
        Ok(Self::with(path, file, cells, 0, vec![0; pages as usize]))
    }

    fn with(path: &Path, file: File, cells: Vec<u8>, bolt_at: u32, erases: Vec<u32>) -> Self {
        Self {
            path: path.to_owned(),
            inner: Arc::new(Mutex::new(Inner {
                file,
                erases,
                failure: None,
            })),
            cells,
            bolt_at,
        }
    }

    /// The flash with the image's content, written through to it from now on.
    #[must_use]
    pub fn flash(&self) -> SimFlash {
        let mut flash = SimFlash::from_bytes(&self.cells);
        let inner = Arc::clone(&self.inner);
        flash.on_change(move |at, bytes| lock(&inner).changed(at, bytes));
        flash
    }

    /// SHA-256 of the cells as they were when the image was opened.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        Digest32::of(&self.cells)
    }

    /// Where the bolt stood when the image was last used; 0 in a new image.
    #[must_use]
    pub const fn bolt_at(&self) -> u32 {
        self.bolt_at
    }

    /// Keeps where the bolt stands, so that a killed process does not move it.
    pub fn keep_bolt(&self, at: u32) {
        let mut inner = lock(&self.inner);
        let offset = self.cells.len() + 16;
        inner.write(&at.to_le_bytes(), offset);
    }

    /// The erases of the most worn page since the image was made.
    #[must_use]
    pub fn worst_wear(&self) -> u32 {
        let inner = lock(&self.inner);
        inner.erases.iter().copied().max().unwrap_or(0)
    }

    /// The first write to the file that failed, if one did: the lock must stop then, because its
    /// flash no longer keeps what it promised.
    ///
    /// # Errors
    /// [`ImageError::Io`], once.
    pub fn check(&self) -> Result<(), ImageError> {
        match lock(&self.inner).failure.take() {
            None => Ok(()),
            Some(source) => Err(io_error(&self.path, source)),
        }
    }
}

impl Inner {
    fn changed(&mut self, at: u32, bytes: &[u8]) {
        self.write(bytes, at as usize);
        let erased = bytes.len() == PAGE_BYTES && bytes.iter().all(|byte| *byte == 0xFF);
        let page = at as usize / PAGE_BYTES;
        let after_cells = self.erases.len() * PAGE_BYTES;
        if let Some(erases) = self.erases.get_mut(page).filter(|_| erased) {
            *erases = erases.saturating_add(1);
            let count = erases.to_le_bytes();
            self.write(&count, after_cells + TRAILER_HEAD + page * 4);
        }
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        if let Err(error) = self.file.write_all_at(bytes, offset as u64) {
            self.failure.get_or_insert(error);
        }
    }
}

fn lock(inner: &Mutex<Inner>) -> std::sync::MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

fn image_len(pages: u32) -> usize {
    pages as usize * (PAGE_BYTES + 4) + TRAILER_HEAD
}

fn parse(bytes: &[u8]) -> Option<(Vec<u8>, u32, Vec<u32>)> {
    let pages = u32::try_from(bytes.len().checked_sub(TRAILER_HEAD)? / (PAGE_BYTES + 4)).ok()?;
    let (cells, trailer) = bytes.split_at_checked(pages as usize * PAGE_BYTES)?;
    let (magic, trailer) = trailer.split_first_chunk::<8>()?;
    let numbers: Vec<u32> = trailer
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    let [page_bytes, page_count, bolt_at, erases @ ..] = numbers.as_slice() else {
        return None;
    };
    let sane = magic == MAGIC
        && pages > 0
        && bytes.len() == image_len(pages)
        && *page_bytes as usize == PAGE_BYTES
        && *page_count == pages;
    sane.then(|| (cells.to_vec(), *bolt_at, erases.to_vec()))
}

fn take_lock(file: &File, path: &Path) -> Result<(), ImageError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(ImageError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(io_error(path, source)),
    }
}

fn io_error(path: &Path, source: io::Error) -> ImageError {
    ImageError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use drawbridge_lock::flash::model::Tear;
    use drawbridge_lock::flash::{Flash, FlashError};

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flash");
        (dir, path)
    }

    /// Guards: buffered writes that a SIGKILL loses, so that a test of restarts tests nothing.
    #[test]
    fn what_flash_finished_is_in_the_file_with_wear_and_bolt() {
        let (_dir, path) = place();
        {
            let image = Image::create(&path, 3).unwrap();
            let mut flash = image.flash();
            flash.write(8, &[1, 2, 3, 4]).unwrap();
            flash.erase(2).unwrap();
            flash.erase(2).unwrap();
            image.keep_bolt(7_000);
            // No clean end: as if killed.
            std::mem::forget(flash);
            image.check().unwrap();
        }
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes[8..12], [1, 2, 3, 4]);
        let (_, bolt_at, erases) = parse(&bytes).unwrap();
        assert_eq!((bolt_at, erases), (7_000, vec![0, 0, 2]));
    }

    #[test]
    fn a_reopened_image_still_refuses_what_nor_flash_cannot_do() {
        let (_dir, path) = place();
        let image = Image::create(&path, 1).unwrap();
        image.flash().write(0, &[0; 4]).unwrap();
        drop(image);
        let mut flash = Image::open(&path).unwrap().flash();
        assert_eq!(flash.write(0, &[1, 0, 0, 0]), Err(FlashError::NotErased));
    }

    #[test]
    fn a_torn_write_is_torn_in_the_file_too() {
        let (_dir, path) = place();
        let image = Image::create(&path, 1).unwrap();
        let mut flash = image.flash();
        flash.cut_after(0, Tear::PartialErase, 3);
        assert_eq!(flash.write(0, &[0; 64]), Err(FlashError::PowerLost));
        assert_eq!(std::fs::read(&path).unwrap()[..64], flash.as_bytes()[..64]);
    }

    #[test]
    fn a_second_process_is_refused_and_so_is_another_file() {
        let (_dir, path) = place();
        let image = Image::create(&path, 1).unwrap();
        assert!(matches!(Image::open(&path), Err(ImageError::InUse { .. })));
        assert!(matches!(
            Image::create(&path, 1),
            Err(ImageError::InUse { .. })
        ));
        drop(image);
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 10, PAGE_BYTES, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(
                Image::open(&path),
                Err(ImageError::NotAnImage { .. })
            ));
        }
    }
}
