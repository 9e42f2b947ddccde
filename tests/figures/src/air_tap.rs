//! A tap on the virtual air: stands where a lock's socket would be and tells when packets come.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Failure;

/// Wall clock, ns since 1970: the daemon's TRACE lines use the same clock.
pub(crate) fn unix_ns() -> u64 {
    let past = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(past.as_nanos()).unwrap_or(u64::MAX)
}

/// A socket in a hub's folder of the air.
#[derive(Debug, Clone)]
pub(crate) struct AirTap {
    pub(crate) socket: PathBuf,
    packets: Arc<Mutex<Vec<u64>>>,
}

impl AirTap {
    /// Stands in `folder` for the lock in the folder `real`, which must be the only one there.
    pub(crate) fn before_lock(folder: &Path, real: &Path) -> Result<Self, Failure> {
        let lock = std::fs::read_dir(real)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .find(|path| path.extension().is_some_and(|end| end == "air"))
            .ok_or("the lock is not in the air")?;
        let socket = folder.join(lock.file_name().ok_or("the lock has no address")?);
        Self::listen(socket, move |hub, packets| {
            let Ok(lock) = UnixStream::connect(&lock) else {
                return;
            };
            if let (Ok(mut back_from), Ok(mut back_to)) = (lock.try_clone(), hub.try_clone()) {
                std::thread::spawn(move || {
                    // Either end's close ends the other.
                    let _ended = std::io::copy(&mut back_from, &mut back_to);
                    let _closed = back_to.shutdown(Shutdown::Both);
                });
            }
            note_packets(hub, Some(lock), &packets);
        })
    }

    /// A socket that takes packets and answers nothing but the connection, for a bridge that has no
    /// session with any lock.
    pub(crate) fn sink(folder: &Path) -> Result<Self, Failure> {
        let socket = folder.join("00000000000000aa.air");
        Self::listen(socket, |mut bridge, packets| {
            // An advert of zeros; then the wish for a connection is granted as it is.
            let mut advert = vec![13, 0, b'A'];
            advert.resize(15, 0);
            let mut wish = [0; 5];
            let agreed = bridge.write_all(&advert).is_ok()
                && bridge.read_exact(&mut wish).is_ok()
                && wish[2] == b'C'
                && bridge.write_all(&[3, 0, b'O', wish[3], wish[4]]).is_ok();
            if agreed {
                note_packets(bridge, None, &packets);
            }
        })
    }

    fn listen(
        socket: PathBuf,
        serve: impl Fn(UnixStream, Arc<Mutex<Vec<u64>>>) + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        let listener = UnixListener::bind(&socket)?;
        let packets = Arc::<Mutex<Vec<u64>>>::default();
        let tap = Self {
            socket,
            packets: Arc::clone(&packets),
        };
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serve, packets) = (Arc::clone(&serve), Arc::clone(&packets));
                std::thread::spawn(move || serve(stream, packets));
            }
        });
        Ok(tap)
    }

    /// When packets came since the last call, ns since 1970.
    pub(crate) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.packets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Passes frames on, if there is whom to, and notes when each packet's first bytes were read.
fn note_packets(mut from: UnixStream, mut to: Option<UnixStream>, packets: &Mutex<Vec<u64>>) {
    let mut bytes = [0; 4_096];
    while let Ok(size @ 1..) = from.read(&mut bytes) {
        let at_ns = unix_ns();
        let read = bytes.get(..size).unwrap_or_default();
        // A frame is its length in 2 bytes and its type; all but packets are for the connection only.
        if read.get(2) == Some(&b'D') {
            packets
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(at_ns);
        }
        if let Some(to) = &mut to
            && to.write_all(read).is_err()
        {
            break;
        }
    }
    if let Some(to) = to {
        let _closed = to.shutdown(Shutdown::Both);
    }
}
