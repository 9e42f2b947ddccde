//! The socket: made, guarded, and removed again.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{Group, geteuid};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinSet, spawn_blocking};

use super::access::{Access, Peer};
use super::connection::{serve, turn_away};
use super::error::ControlError;
use super::frame::Fault;
use super::reply::ControlRequest;

/// Pause after `accept` failed, so that running out of descriptors (F20) does not spin a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where the socket is and who may use it.
#[derive(Debug, Clone)]
pub struct ControlConfig {
    /// The socket; its folder is made with mode 0750 when it is missing.
    pub socket: PathBuf,
    /// Members may connect; `None` means root and the daemon's own user only.
    pub group: Option<String>,
    /// Connections served at once; a further one is told `busy`.
    pub connections: usize,
}

impl ControlConfig {
    /// 32 connections.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>, group: Option<String>) -> Self {
        Self {
            socket: socket.into(),
            group,
            connections: 32,
        }
    }
}

/// The listening socket; the file goes when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    config: ControlConfig,
    /// Device and inode of our socket, so that a successor's is not removed.
    identity: (u64, u64),
}

impl ControlSocket {
    /// Makes the folder and the socket. Call within a tokio runtime.
    ///
    /// # Errors
    /// See [`ControlError`]. A socket file that nobody answers on is replaced; any other file is not.
    pub fn bind(config: ControlConfig) -> Result<Self, ControlError> {
        let path = &config.socket;
        let io = |act: &'static str| {
            move |source| ControlError::Io {
                act,
                path: path.clone(),
                source,
            }
        };
        let group = match &config.group {
            None => None,
            Some(name) => match Group::from_name(name) {
                Ok(Some(group)) => Some(group.gid.as_raw()),
                Ok(None) => {
                    return Err(ControlError::NoSuchGroup {
                        group: name.clone(),
                    });
                }
                Err(error) => return Err(io("look up the group for")(error.into())),
            },
        };
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            prepare_folder(folder, group)?;
        }
        clear_the_way(path)?;
        // Nobody but us can reach it before its mode is set: the folder is 0750 and made first.
        let listener = UnixListener::bind(path).map_err(io("bind the socket"))?;
        fs::set_permissions(path, Permissions::from_mode(0o660)).map_err(io("set the mode of"))?;
        let about = fs::symlink_metadata(path).map_err(io("look at"))?;
        // As a service the daemon may change no owner, and what it makes has the right group already.
        if group.is_some_and(|group| group != about.gid()) {
            chown(path, None, group).map_err(io("set the group of"))?;
        }
        let identity = (about.dev(), about.ino());
        Ok(Self {
            listener,
            config,
            identity,
        })
    }

    /// Serves until the core's end of `requests` is gone. Dropping the future ends all connections.
    pub async fn serve(self, requests: mpsc::Sender<ControlRequest>) {
        let access = Arc::new(Access::new(self.config.group.clone()));
        let places = Arc::new(Semaphore::new(self.config.connections));
        let mut connections = JoinSet::new();
        let mut is_deaf = false;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = requests.closed() => break,
                Some(ended) = connections.join_next() => {
                    if ended.is_err() {
                        log::warn!(event = "control_connection_failed"; "a control connection ended badly");
                    }
                    continue;
                }
            };
            let stream = match accepted {
                Ok((stream, _)) => {
                    is_deaf = false;
                    stream
                }
                // Without descriptors every attempt fails: said once, tried at a walking pace.
                Err(_) if is_deaf => {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
                Err(error) => {
                    is_deaf = true;
                    log::warn!(event = "control_accept_failed", error = error.to_string().as_str(); "a local client was not let in");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                // Dropped at once when even the refusals pile up: they have no place of their own to wait in.
                if connections.len() < 2 * self.config.connections {
                    let fault = Fault::new("busy", "too many connections")
                        .advise("close another drawbridge command");
                    connections.spawn(turn_away(stream, fault));
                }
                continue;
            };
            let (access, requests) = (Arc::clone(&access), requests.clone());
            connections.spawn(async move {
                receive(stream, access, requests).await;
                drop(place);
            });
        }
        while connections.join_next().await.is_some() {}
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.config.socket)
            .is_ok_and(|about| (about.dev(), about.ino()) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.config.socket) {
            log::debug!(event = "control_socket_left", error = error.to_string().as_str(); "the socket file stays; the next start replaces it");
        }
    }
}

async fn receive(stream: UnixStream, access: Arc<Access>, requests: mpsc::Sender<ControlRequest>) {
    let Ok(credentials) = stream.peer_cred() else {
        return;
    };
    let peer = Peer {
        uid: credentials.uid(),
        gid: credentials.gid(),
        pid: credentials.pid(),
    };
    let admitted = spawn_blocking(move || access.admits(peer))
        .await
        .unwrap_or(false);
    if admitted {
        serve(stream, peer, requests).await;
    } else {
        log::warn!(event = "control_peer_refused", uid = peer.uid, gid = peer.gid; "a local user may not use the control socket");
        let fault = Fault::new("forbidden", "this user may not use the control socket")
            .advise("run it as root, or add the user to the group in [control] group");
        turn_away(stream, fault).await;
    }
}

fn prepare_folder(folder: &Path, group: Option<u32>) -> Result<(), ControlError> {
    let io = |act: &'static str| {
        move |source| ControlError::Io {
            act,
            path: folder.to_owned(),
            source,
        }
    };
    match DirBuilder::new().mode(0o750).create(folder) {
        Ok(()) => {
            if group.is_some() {
                chown(folder, None, group).map_err(io("set the group of"))?;
            }
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io("create the folder")(error)),
    }
    let about = fs::symlink_metadata(folder).map_err(io("look at"))?;
    // Whoever owns the folder can put another socket in our place.
    if !about.is_dir() || (about.uid() != geteuid().as_raw() && about.uid() != 0) {
        let why = io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is not a folder of root or of this user",
        );
        return Err(io("use the folder")(why));
    }
    if about.mode() & 0o022 != 0 && about.mode() & 0o1000 == 0 {
        let why = io::Error::new(
            io::ErrorKind::PermissionDenied,
            "others may write to it; chmod 0750 it",
        );
        return Err(io("use the folder")(why));
    }
    Ok(())
}

fn clear_the_way(path: &Path) -> Result<(), ControlError> {
    let io = |act: &'static str| {
        move |source| ControlError::Io {
            act,
            path: path.to_owned(),
            source,
        }
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io("look at")(error)),
        Ok(about) if !about.file_type().is_socket() => {
            return Err(io("bind the socket")(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file is there already",
            )));
        }
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(ControlError::InUse {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(io("remove the stale socket"))
        }
        Err(error) => Err(io("try the socket already at")(error)),
    }
}
