//! The lock's end of the virtual air: a listening socket with a random name, a task per connection.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::entropy::Entropy;
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::air_frame::{AirFrame, AirFrameError};
use crate::device::{ConnectionId, Refusal};
use crate::entropy::Randomness;
use crate::socket_file;

/// Connections at once, scanners included; more are closed unread.
const MAX_CONNECTIONS: usize = 64;

/// A scanner that neither connects nor closes is closed after this.
const IDLE_SCANNER: Duration = Duration::from_secs(10);

/// A peer that does not read for this long loses its link, as on the real air (supervision timeout).
const STALLED: Duration = Duration::from_secs(5);

/// Packets that wait for a peer that reads slowly; with more it loses its link.
const OUTBOUND: usize = 128;

/// Longest path of a Unix socket on Linux, in bytes (`unix(7)`: 108 with the final zero).
const MAX_SOCKET_PATH: usize = 107;

/// Why the lock is not on the air.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AirError {
    /// The folder's name is too long for a socket in it.
    #[error(
        "name a socket in {}: the path is over {MAX_SOCKET_PATH} bytes; give a shorter --air",
        dir.display()
    )]
    TooLong {
        /// The folder.
        dir: PathBuf,
    },
    /// The system refused.
    #[error("appear in the air folder {}", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// What the connections tell the lock.
#[derive(Debug)]
pub enum AirEvent {
    /// Somebody listens: send the beacon, or drop the sender if the lock is dead.
    Scanned(oneshot::Sender<Beacon>),
    /// Somebody wants a link.
    Wanted {
        /// From now on.
        connection: ConnectionId,
        /// The packet size wanted.
        packet: u16,
        /// Takes the packet size granted.
        answer: oneshot::Sender<Result<u16, Refusal>>,
        /// Takes the packets to the other side; when it is dropped the link goes down.
        outbound: mpsc::Sender<Vec<u8>>,
    },
    /// A packet arrived.
    Packet(ConnectionId, Vec<u8>),
    /// The other side is gone.
    Gone(ConnectionId),
}

/// The lock's place in an air folder; its file goes when this does.
#[derive(Debug)]
pub struct AirPort {
    dir: PathBuf,
    path: PathBuf,
    listener: UnixListener,
    connections: u64,
    free: Arc<Semaphore>,
    events: mpsc::Sender<AirEvent>,
}

impl AirPort {
    /// Appears in `dir`, which is made if it is not there, under a random address.
    ///
    /// # Errors
    /// [`AirError`].
    pub fn appear(dir: &Path, events: mpsc::Sender<AirEvent>) -> Result<Self, AirError> {
        let io = |source| AirError::Io {
            dir: dir.to_owned(),
            source,
        };
        std::fs::create_dir_all(dir).map_err(io)?;
        remove_dead_locks(dir).map_err(io)?;
        let (listener, path) = listen(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            path,
            listener,
            connections: 0,
            free: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            events,
        })
    }

    /// Leaves the address for a new one, as a lock does when it starts.
    ///
    /// # Errors
    /// [`AirError`]; the old address is kept then.
    pub fn move_on(&mut self) -> Result<(), AirError> {
        let (listener, path) = listen(&self.dir)?;
        let old = std::mem::replace(&mut self.path, path);
        self.listener = listener;
        remove(&old);
        Ok(())
    }

    /// The address: the file's name without its ending.
    #[must_use]
    pub fn address(&self) -> String {
        let stem = self.path.file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    }

    /// Waits for a connection and lets a task serve it. Safe to cancel.
    pub async fn accept(&mut self) {
        let Ok((stream, _)) = self.listener.accept().await else {
            // Out of descriptors: let some connection end first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return;
        };
        let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
            return;
        };
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let events = self.events.clone();
        tokio::spawn(async move {
            // However it ends, it ends with the socket closed; nobody is there to be told why.
            let _ended = serve(stream, connection, &events).await;
            drop(permit);
        });
    }
}

impl Drop for AirPort {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    // Gone already is what was wanted.
    let _gone = socket_file::remove(path);
}

/// Binds under a hidden name and renames: whoever lists the folder finds only sockets that listen.
fn listen(dir: &Path) -> Result<(UnixListener, PathBuf), AirError> {
    let io = |source| AirError::Io {
        dir: dir.to_owned(),
        source,
    };
    // An address is not a secret and must not repeat in a test with a seed, so always the kernel's.
    let address = u64::from_le_bytes(Randomness::Kernel.bytes());
    let path = dir.join(format!("{address:016x}.air"));
    let hidden = dir.join(format!(".{address:016x}.new"));
    if hidden.as_os_str().len() > MAX_SOCKET_PATH {
        return Err(AirError::TooLong {
            dir: dir.to_owned(),
        });
    }
    let listener = UnixListener::bind(&hidden).map_err(io)?;
    std::fs::rename(&hidden, &path).map_err(io)?;
    Ok((listener, path))
}

/// Removes what killed locks left: a socket that refuses has nobody behind it, and never will. An
/// ordinary file refuses too, and is not ours.
fn remove_dead_locks(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let is_lock = path.extension().is_some_and(|ending| ending == "air");
        if is_lock
            && socket_file::is_socket(&path).is_ok_and(|is_socket| is_socket)
            && std::os::unix::net::UnixStream::connect(&path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        {
            remove(&path);
        }
    }
    Ok(())
}

async fn serve(
    stream: UnixStream,
    connection: ConnectionId,
    events: &mpsc::Sender<AirEvent>,
) -> Result<(), AirFrameError> {
    let (mut reader, mut writer) = stream.into_split();
    let (sender, beacon) = oneshot::channel();
    send(events, AirEvent::Scanned(sender)).await?;
    let beacon = beacon.await.map_err(|_| gone())?;
    put(&AirFrame::Advert(beacon), &mut writer).await?;
    let packet = match timeout(IDLE_SCANNER, AirFrame::read(&mut reader)).await {
        Ok(Ok(AirFrame::Connect(packet))) => packet,
        Ok(Ok(_)) => return Err(AirFrameError::Malformed),
        Ok(Err(error)) => return Err(error),
        Err(_) => return Err(gone()),
    };
    let (outbound, packets) = mpsc::channel(OUTBOUND);
    let (sender, answer) = oneshot::channel();
    let wanted = AirEvent::Wanted {
        connection,
        packet,
        answer: sender,
        outbound,
    };
    send(events, wanted).await?;
    match answer.await {
        Ok(Ok(granted)) => put(&AirFrame::Connected(granted), &mut writer).await?,
        Ok(Err(Refusal::Busy)) => return put(&AirFrame::Busy, &mut writer).await,
        Ok(Err(Refusal::Closed)) | Err(_) => return Err(gone()),
    }
    let ended = tokio::select! {
        ended = from_hub(reader, connection, events) => ended,
        ended = to_hub(writer, packets) => ended,
    };
    send(events, AirEvent::Gone(connection)).await?;
    ended
}

async fn from_hub(
    mut reader: OwnedReadHalf,
    connection: ConnectionId,
    events: &mpsc::Sender<AirEvent>,
) -> Result<(), AirFrameError> {
    loop {
        match AirFrame::read(&mut reader).await? {
            AirFrame::Packet(packet) => send(events, AirEvent::Packet(connection, packet)).await?,
            _ => return Err(AirFrameError::Malformed),
        }
    }
}

async fn to_hub(
    mut writer: OwnedWriteHalf,
    mut packets: mpsc::Receiver<Vec<u8>>,
) -> Result<(), AirFrameError> {
    while let Some(packet) = packets.recv().await {
        put(&AirFrame::Packet(packet), &mut writer).await?;
    }
    writer.shutdown().await?;
    Ok(())
}

async fn put(frame: &AirFrame, writer: &mut OwnedWriteHalf) -> Result<(), AirFrameError> {
    timeout(STALLED, frame.write(writer))
        .await
        .map_err(|_| gone())?
}

async fn send(events: &mpsc::Sender<AirEvent>, event: AirEvent) -> Result<(), AirFrameError> {
    events.send(event).await.map_err(|_| gone())
}

fn gone() -> AirFrameError {
    io::Error::from(io::ErrorKind::ConnectionAborted).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards: a folder of the user's given as --air, that loses every file which looks like a lock.
    #[test]
    fn only_dead_sockets_leave_the_air() {
        let dir = tempfile::tempdir().unwrap();
        let [file, link, dead] =
            ["notes.air", "link.air", "0000000000000000.air"].map(|name| dir.path().join(name));
        std::fs::write(&file, "mine").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
        remove_dead_locks(dir.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        assert!(link.is_symlink() && !dead.exists());
    }
}
