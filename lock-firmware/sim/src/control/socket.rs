//! The control socket: who may connect, how long a line may be.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::{Request, refusal};
use crate::socket_file;

/// The longest line, in bytes.
const MAX_LINE: u64 = 4_096;

/// A request and where its answer goes.
#[derive(Debug)]
pub struct Order {
    /// What is asked.
    pub request: Request,
    /// Takes the answer.
    pub answer: oneshot::Sender<Value>,
}

/// Why there is no control socket.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Something answers there already.
    #[error(
        "listen on the control socket {}: another program answers there; give another --control",
        path.display()
    )]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something is there that is no socket: it is not ours to remove.
    #[error(
        "listen on the control socket {}: a file that is no socket is there; give another --control",
        path.display()
    )]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("listen on the control socket {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// The listening socket; its file goes when this does.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl ControlSocket {
    /// Listens at `path`, mode 0600. A socket that a killed process left behind is replaced.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn bind(path: &Path) -> Result<Self, ControlError> {
        let io = |source| ControlError::Io {
            path: path.to_owned(),
            source,
        };
        // Connecting is refused by a socket without a listener, and by every ordinary file.
        if matches!(socket_file::is_socket(path), Ok(false)) {
            return Err(ControlError::NotASocket {
                path: path.to_owned(),
            });
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => {
                return Err(ControlError::InUse {
                    path: path.to_owned(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                socket_file::remove(path).map_err(io)?;
            }
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(io)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(io)?;
        let owner = std::fs::metadata(path).map_err(io)?.uid();
        Ok(Self {
            listener,
            path: path.to_owned(),
            owner,
        })
    }

    /// Serves connections until this is dropped; every request goes to `orders`.
    pub async fn serve(self, orders: mpsc::Sender<Order>) {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of descriptors: let some connection end first.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            // The file's mode says the same; this also holds in the moment before it was set.
            let allowed = stream
                .peer_cred()
                .is_ok_and(|peer| peer.uid() == self.owner || peer.uid() == 0);
            if allowed {
                tokio::spawn(converse(stream, orders.clone()));
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Gone already is what was wanted.
        let _gone = socket_file::remove(&self.path);
    }
}

async fn converse(mut stream: UnixStream, orders: mpsc::Sender<Order>) {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let read = (&mut reader)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        let too_long = line.len() as u64 == MAX_LINE && line.last() != Some(&b'\n');
        let answer = if too_long {
            refusal(
                "read a line of over 4096 bytes",
                "send one short object a line",
            )
        } else {
            answer(&line, &orders).await
        };
        let mut bytes = answer.to_string().into_bytes();
        bytes.push(b'\n');
        if writer.write_all(&bytes).await.is_err() || too_long {
            return;
        }
    }
}

async fn answer(line: &[u8], orders: &mpsc::Sender<Order>) -> Value {
    let Ok(line) = str::from_utf8(line) else {
        return refusal("read the line as UTF-8", "send JSON in UTF-8");
    };
    let request = match Request::parse(line) {
        Ok(request) => request,
        Err(error) => return refusal(&error.to_string(), &error.advice()),
    };
    let (sender, receiver) = oneshot::channel();
    let order = Order {
        request,
        answer: sender,
    };
    if orders.send(order).await.is_err() {
        return refusal("reach the lock", "it is stopping; start it again");
    }
    receiver
        .await
        .unwrap_or_else(|_| refusal("reach the lock", "it is stopping; start it again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards: a mistyped --control that costs the user a file.
    #[tokio::test]
    async fn only_a_dead_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("notes");
        std::fs::write(&file, "mine").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [&file, &link, &dir.path().to_owned()] {
            let refused = ControlSocket::bind(path);
            assert!(
                matches!(refused, Err(ControlError::NotASocket { .. })),
                "{refused:?}"
            );
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        assert!(link.is_symlink());

        let socket = dir.path().join("control");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let listening = ControlSocket::bind(&socket).unwrap();
        let second = ControlSocket::bind(&socket);
        assert!(matches!(second, Err(ControlError::InUse { .. })));
        drop(listening);
        assert!(!socket.exists());
    }
}
