//! The file of a Unix socket: what a killed process left of one goes, and nothing else ever does.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Whether `path` itself, and not what a link there leads to, is a socket.
pub(crate) fn is_socket(path: &Path) -> io::Result<bool> {
    Ok(std::fs::symlink_metadata(path)?.file_type().is_socket())
}

/// Removes the socket at `path`, and leaves anything else that is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    if is_socket(path)? {
        std::fs::remove_file(path)
    } else {
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is no socket is there",
        ))
    }
}
