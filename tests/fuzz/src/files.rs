//! Files that others may have damaged: sealed files, hub keys, owner key file, factory data, flash image.
//!
//! The first byte chooses the reader; the rest is the file.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use drawbridge_daemon::owner::KeyFile;
use drawbridge_daemon::store::identity::IdentityDir;
use drawbridge_daemon::store::sealed_file;
use drawbridge_lock_sim::factory_file;
use drawbridge_lock_sim::image::Image;
use tempfile::TempDir;

/// A file is read or refused; what is read is written and read again as the same; a refused file is
/// left as it is.
///
/// # Panics
/// When one of that does not hold.
pub fn files(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let folder = folder();
    let folder = folder.path();
    match choice % 5 {
        0 => sealed(&put(folder, "sealed", bytes), bytes),
        1 => hub_keys(&folder.join("identity"), bytes),
        2 => owner(&put(folder, "owner.json", bytes), bytes),
        3 => factory(&put(folder, "lock.factory", bytes), bytes),
        _ => image(&put(folder, "lock.flash", bytes), bytes),
    }
}

/// A folder for one input, in memory where there is such a place; gone with the input.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.expect("a place for files")
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .expect("our own folder");
    file.write_all(bytes).expect("room for a small file");
    path
}

fn untouched(path: &Path, bytes: &[u8]) {
    assert_eq!(fs::read(path).expect("still there"), bytes);
}

fn sealed(path: &Path, bytes: &[u8]) {
    match sealed_file::load(path) {
        Ok(loaded) => {
            let loaded = loaded.expect("it is there");
            assert!(!loaded.from_previous);
            // What it holds is sealed the same way.
            assert_eq!(loaded.payload.len() + 16, bytes.len());
        }
        Err(error) => assert!(!error.may_have_succeeded()),
    }
    untouched(path, bytes);
}

/// A damaged key file is never replaced by new keys.
fn hub_keys(folder: &Path, bytes: &[u8]) {
    let dir = IdentityDir::open(folder).expect("our own folder");
    let path = put(folder, "hub-identity", bytes);
    if let Ok(keys) = dir.hub_identity() {
        let again = dir.hub_identity().expect("as before");
        assert_eq!(keys.signing_seed.expose(), again.signing_seed.expose());
    }
    untouched(&path, bytes);
}

fn owner(path: &Path, bytes: &[u8]) {
    let file = KeyFile::at(path);
    if let Ok(book) = file.load() {
        let (serial, locks) = (book.next_serial, book.locks.len());
        drop(fs::remove_file(path));
        file.create(&book, false).expect("room for a small file");
        let again = file.load().expect("our own file");
        assert_eq!((again.next_serial, again.locks.len()), (serial, locks));
        assert_eq!(again.keys.public(), book.keys.public());
    } else {
        untouched(path, bytes);
    }
}

fn factory(path: &Path, bytes: &[u8]) {
    if let Ok(factory) = factory_file::read(path) {
        factory_file::write(path, &factory).expect("room for a small file");
        let again = factory_file::read(path).expect("our own file");
        assert_eq!(again.qr(), factory.qr());
    } else {
        untouched(path, bytes);
    }
}

fn image(path: &Path, bytes: &[u8]) {
    if let Ok(image) = Image::open(path) {
        drop(image);
        assert!(Image::open(path).is_ok());
    }
    untouched(path, bytes);
}
