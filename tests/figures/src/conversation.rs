//! A tap on the virtual air that tells which messages hub and lock exchange on each link, by what is in clear: who
//! sent it, of which kind it is, and how long. It can also keep the two apart for a while.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use drawbridge_protocol::frame::Reassembler;

use crate::Failure;

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Hub,
    Lock,
}

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The lock granted a link.
    LinkUp,
    /// One whole message of a link: its type byte and its length in bytes.
    Message { by: By, kind: u8, length: usize },
}

/// The type byte of a session record.
pub(crate) const RECORD: u8 = 5;

/// The tap: what it heard, and whether it lets new links through.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conversation {
    heard: Arc<Mutex<Vec<Heard>>>,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Conversation {
    /// Stands in `folder` for the lock in the folder `real`, which must be the only one there. It is open.
    pub(crate) fn before_lock(folder: &Path, real: &Path) -> Result<Self, Failure> {
        let tap = Self::default();
        tap.set_open(true);
        let lock = lock_in(real)?;
        let name = lock.file_name().ok_or("the lock has no address")?;
        let listener = UnixListener::bind(folder.join(name))?;
        let (real, serving) = (real.to_owned(), tap.clone());
        std::thread::spawn(move || {
            for hub in listener.incoming().flatten() {
                let (tap, real) = (serving.clone(), real.clone());
                std::thread::spawn(move || {
                    tap.wait_until_open();
                    // A hub that finds no lock is told by the end of its connection.
                    let _ended = tap.carry(hub, &real);
                });
            }
        });
        Ok(tap)
    }

    /// Lets new links through, or keeps them waiting.
    pub(crate) fn set_open(&self, is_open: bool) {
        *locked(&self.open.0) = is_open;
        self.open.1.notify_all();
    }

    /// Everything since the last call.
    pub(crate) fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut *locked(&self.heard))
    }

    fn wait_until_open(&self) {
        let waited = self.open.1.wait_while(locked(&self.open.0), |open| !*open);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn carry(&self, hub: UnixStream, real: &Path) -> Result<(), Failure> {
        let lock = UnixStream::connect(lock_in(real)?)?;
        let (from_lock, to_hub, back) = (lock.try_clone()?, hub.try_clone()?, self.clone());
        std::thread::spawn(move || back.pass(By::Lock, from_lock, to_hub));
        self.pass(By::Hub, hub, lock);
        Ok(())
    }

    /// Passes frames on, one at a time, and notes what they are. Either end's close ends the other.
    fn pass(&self, by: By, mut from: UnixStream, mut to: UnixStream) {
        let mut whole = Reassembler::new();
        while let Some(frame) = frame(&mut from) {
            // A frame is its length in 2 bytes, its type, and what belongs to it.
            let noted = match frame.get(2) {
                Some(b'O') if by == By::Lock => Some(Heard::LinkUp),
                Some(b'D') => {
                    let packet = frame.get(3..).unwrap_or_default();
                    let message = whole.push(packet).ok().flatten();
                    message.and_then(|message| {
                        let (kind, length) = (*message.first()?, message.len());
                        Some(Heard::Message { by, kind, length })
                    })
                }
                _ => None,
            };
            // Noted before it is passed on: the answer to it comes later.
            if let Some(noted) = noted {
                locked(&self.heard).push(noted);
            }
            if to.write_all(&frame).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            let _closed = stream.shutdown(Shutdown::Both);
        }
    }
}

fn frame(from: &mut UnixStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; 2];
    from.read_exact(&mut frame).ok()?;
    let length = u16::from_le_bytes(frame.as_slice().try_into().ok()?);
    frame.resize(2 + usize::from(length), 0);
    from.read_exact(frame.get_mut(2..)?).ok()?;
    Some(frame)
}

/// A lock that started anew has another address, and so another socket.
fn lock_in(folder: &Path) -> Result<std::path::PathBuf, Failure> {
    let found = std::fs::read_dir(folder)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|end| end == "air"));
    Ok(found.ok_or("the lock is not in the air")?)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
