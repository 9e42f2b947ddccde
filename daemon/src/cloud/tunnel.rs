//! TCP and TLS to the broker, and the private Unix socket by which the MQTT library uses them.
//!
//! rumqttc: its own TLS features bring a webpki with known holes, and it has no time limit on a
//! write. So: it connects to a Unix socket that only we can reach, and this file pumps between
//! that socket and our own TLS stream, with a limit on each write.
//!
//! Order of calls: [`dial`], then [`Tunnel::open`], then let the library connect to
//! [`Tunnel::path`]. The first connection from our own process is the only one; the socket's file
//! is gone as soon as it is accepted.
//!
//! **Bytes reach the broker only from our own process and only inside the TLS session that `dial`
//! vouched for.**

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::{Endpoint, Timing};
use super::refusal::Refusal;
use super::trust::{CertDates, Trust, TrustError};

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;
/// Longest socket path that Linux takes (`sun_path`), in bytes.
const MAX_SOCKET_PATH: usize = 107;
const PUMP_BUFFER: usize = 16 * 1024;

/// Why there is no tunnel, or why it ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TunnelError {
    /// The name has no address.
    #[error("looking up '{host}'")]
    Lookup {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address accepted the connection.
    #[error("connecting to {address}")]
    Connect {
        /// The last address tried.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS handshake did not end in time.
    #[error("starting TLS: no answer in time")]
    HandshakeTimeout,
    /// TLS was refused, by us or by the broker.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Our own files.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The private socket could not be made.
    #[error("preparing the private socket in {path}", path = path.display())]
    Socket {
        /// The runtime folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A write made no progress in time: the link is dead or far too slow.
    #[error("sending to the broker: no progress in time")]
    WriteTimeout,
    /// The broker closed the connection.
    #[error("reading from the broker: it closed the connection")]
    Closed,
    /// The connection broke.
    #[error("using the connection to the broker")]
    Broken(#[source] io::Error),
}

impl TunnelError {
    /// What to do next, where somebody must act.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Lookup { .. } => Some("check the broker's name and this machine's DNS"),
            Self::Connect { .. } => {
                Some("check that the broker runs and that no firewall is between")
            }
            Self::Refused(refusal) => Some(refusal.advice()),
            Self::Trust(error) => Some(error.advice()),
            Self::Socket { .. } => Some("check that the runtime folder exists and is ours"),
            Self::HandshakeTimeout | Self::WriteTimeout | Self::Closed | Self::Broken(_) => None,
        }
    }

    /// Whether waiting may help without anybody acting.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.is_temporary(),
            Self::Trust(error) => error.is_temporary(),
            Self::Socket { .. } => false,
            _ => true,
        }
    }
}

/// What TLS agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secured {
    /// The address in use.
    pub peer: SocketAddr,
    /// Such as `TLSv1_3`.
    pub version: String,
    /// Such as `X25519MLKEM768`.
    pub group: String,
    /// Such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The broker's certificate.
    pub broker: Option<CertDates>,
}

/// A TLS stream that has passed every check.
pub(super) type Stream = TlsStream<TcpStream>;

/// Resolves, each address under the time limit.
pub(super) async fn resolve(
    endpoint: &Endpoint,
    timing: &Timing,
) -> Result<Vec<SocketAddr>, TunnelError> {
    let fail = |source| TunnelError::Lookup {
        host: endpoint.host.clone(),
        source,
    };
    let looked = timeout(
        timing.connect,
        lookup_host((endpoint.host.as_str(), endpoint.port)),
    );
    let found: Vec<_> = looked
        .await
        .map_err(|_| fail(io::ErrorKind::TimedOut.into()))?
        .map_err(fail)?
        .take(MAX_ADDRESSES)
        .collect();
    if found.is_empty() {
        return Err(fail(io::ErrorKind::NotFound.into()));
    }
    Ok(found)
}

/// Connects to the first address that accepts.
pub(super) async fn connect(
    addresses: &[SocketAddr],
    timing: &Timing,
) -> Result<(TcpStream, SocketAddr), TunnelError> {
    let mut last = None;
    for &address in addresses {
        let attempt = timeout(timing.connect, TcpStream::connect(address)).await;
        let result = attempt.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match result.and_then(|tcp| tune(&tcp, timing).map(|()| tcp)) {
            Ok(tcp) => return Ok((tcp, address)),
            Err(source) => last = Some(TunnelError::Connect { address, source }),
        }
    }
    Err(last.unwrap_or(TunnelError::Closed))
}

fn tune(tcp: &TcpStream, timing: &Timing) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    // The kernel gives up on unacknowledged bytes after this time (RFC 5482), where its own
    // default is about a quarter of an hour.
    SockRef::from(tcp).set_tcp_user_timeout(Some(timing.write))
}

/// Does the handshake and refuses a broker that did not ask for our certificate.
pub(super) async fn secure(
    tcp: TcpStream,
    peer: SocketAddr,
    trust: &Trust,
    timing: &Timing,
) -> Result<(Stream, Secured), TunnelError> {
    let (config, witness, asked) = trust.one_connection()?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(trust.name(), tcp);
    let stream = match timeout(timing.handshake, handshake).await {
        Err(_) => return Err(TunnelError::HandshakeTimeout),
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let refusal = Refusal::from_io(&error, Some(&witness))
                .unwrap_or_else(|| Refusal::Broken(super::printable(&error.to_string())));
            return Err(refusal.into());
        }
    };
    if !asked.given() {
        return Err(Refusal::NoCertificateRequest.into());
    }
    let (_, session) = stream.get_ref();
    let secured = Secured {
        peer,
        version: session
            .protocol_version()
            .map_or_else(String::new, |v| format!("{v:?}")),
        group: session
            .negotiated_key_exchange_group()
            .map_or_else(String::new, |group| format!("{:?}", group.name())),
        cipher: session
            .negotiated_cipher_suite()
            .map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
        broker: witness.shown().and_then(|shown| shown.dates),
    };
    Ok((stream, secured))
}

/// All steps to a TLS stream.
pub(super) async fn dial(
    endpoint: &Endpoint,
    trust: &Trust,
    timing: &Timing,
) -> Result<(Stream, Secured), TunnelError> {
    let addresses = resolve(endpoint, timing).await?;
    let (tcp, peer) = connect(&addresses, timing).await?;
    secure(tcp, peer, trust, timing).await
}

/// A running pump. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Tunnel {
    path: PathBuf,
    pump: JoinHandle<TunnelError>,
}

impl Tunnel {
    /// Makes the private socket below `runtime_dir` and starts the pump.
    pub(super) fn open(
        stream: Stream,
        runtime_dir: &Path,
        timing: &Timing,
    ) -> Result<Self, TunnelError> {
        let socket = PrivateSocket::make(runtime_dir).map_err(|source| TunnelError::Socket {
            path: runtime_dir.to_path_buf(),
            source,
        })?;
        let path = socket.path.clone();
        let timing = timing.clone();
        let pump = tokio::spawn(async move {
            match socket.accept_ours(&timing).await {
                Ok(local) => pump(local, stream, &timing).await.unwrap_or_else(broken),
                Err(source) => TunnelError::Broken(source),
            }
        });
        Ok(Self { path, pump })
    }

    /// Where the library connects to.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits a moment for the pump's own account of the end.
    pub(super) async fn last_words(&mut self, limit: std::time::Duration) -> Option<TunnelError> {
        timeout(limit, &mut self.pump).await.ok()?.ok()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// A listening Unix socket, mode 0600, alone in a folder of mode 0700 with a random name.
struct PrivateSocket {
    dir: PathBuf,
    path: PathBuf,
    owner: u32,
    listener: UnixListener,
}

impl PrivateSocket {
    fn make(runtime_dir: &Path) -> io::Result<Self> {
        let name = getrandom::u64().map_err(|_| io::Error::other("no randomness"))?;
        let dir = runtime_dir.join(format!("mqtt-{name:016x}"));
        let path = dir.join("s");
        if path.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(io::Error::other("the path is too long for a socket"));
        }
        DirBuilder::new().mode(0o700).create(&dir)?;
        let made = fs::metadata(&dir).and_then(|meta| {
            let listener = UnixListener::bind(&path)?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            Ok((meta.uid(), listener))
        });
        match made {
            Ok((owner, listener)) => Ok(Self {
                dir,
                path,
                owner,
                listener,
            }),
            Err(error) => {
                remove(&dir, &path);
                Err(error)
            }
        }
    }

    /// The first connection from our own process. Anybody else is dropped and waited past.
    async fn accept_ours(self, timing: &Timing) -> io::Result<UnixStream> {
        let deadline = Instant::now() + timing.handshake;
        loop {
            let accepted = timeout_at(deadline, self.listener.accept()).await;
            let (stream, _) = accepted.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            let peer = stream.peer_cred()?;
            let own_process = i32::try_from(std::process::id()).ok();
            if peer.pid().is_some() && peer.pid() == own_process && peer.uid() == self.owner {
                return Ok(stream);
            }
            log::warn!(event = "tunnel_stranger", uid = peer.uid(); "a stranger at our private socket was turned away");
        }
    }
}

impl Drop for PrivateSocket {
    fn drop(&mut self) {
        remove(&self.dir, &self.path);
    }
}

fn remove(dir: &Path, path: &Path) {
    // systemd empties the runtime folder with us; what we cannot remove is empty and unguessable.
    let _ = fs::remove_file(path);
    let _ = fs::remove_dir(dir);
}

/// Tells the other end at once that its bytes are here.
///
/// Linux: an acknowledgement waits up to 40 ms for an answer that it can travel with, and a broker that has not switched
/// Nagle's algorithm off (mosquitto, by default) sends its next message only then. Seen: in front of each command, while the
/// broker had other messages for the hub (F19). So: tcp(7), `TCP_QUICKACK`, after each read, since the kernel takes it back.
fn acknowledge_at_once(tcp: &OwnedFd) {
    // Where it cannot be had it is only slower.
    let _ = SockRef::from(tcp).set_tcp_quickack(true);
}

/// Pumps until one side ends; says why.
///
/// # Errors
/// When the system has no descriptor to spare.
async fn pump(local: UnixStream, remote: Stream, timing: &Timing) -> io::Result<TunnelError> {
    let tcp = remote.get_ref().0.as_fd().try_clone_to_owned()?;
    let (mut local_read, mut local_write) = local.into_split();
    let (mut remote_read, mut remote_write) = tokio::io::split(remote);
    Ok(tokio::select! {
        ended = copy(&mut local_read, &mut remote_write, timing, || ()) => match ended {
            Ended::Eof => {
                // The library is done: say goodbye to TLS, then to TCP.
                let _ = timeout(timing.write, remote_write.shutdown()).await;
                TunnelError::Closed
            }
            Ended::WriteTimeout => TunnelError::WriteTimeout,
            Ended::Read(error) | Ended::Write(error) => broken(error),
        },
        ended = copy(&mut remote_read, &mut local_write, timing, || acknowledge_at_once(&tcp)) => match ended {
            Ended::Eof => TunnelError::Closed,
            Ended::WriteTimeout => TunnelError::WriteTimeout,
            Ended::Read(error) | Ended::Write(error) => broken(error),
        },
    })
}

/// TLS 1.3 tells that our certificate was refused only after our side of the handshake is done.
fn broken(error: io::Error) -> TunnelError {
    match Refusal::from_io(&error, None) {
        Some(refusal) => refusal.into(),
        // Without TLS's own goodbye; MQTT knows by itself which packets are whole.
        None if error.kind() == io::ErrorKind::UnexpectedEof => TunnelError::Closed,
        None => TunnelError::Broken(error),
    }
}

enum Ended {
    Eof,
    WriteTimeout,
    Read(io::Error),
    Write(io::Error),
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    timing: &Timing,
    after_read: impl Fn(),
) -> Ended {
    let mut buffer = vec![0; PUMP_BUFFER];
    loop {
        let filled = match from.read(&mut buffer).await {
            Ok(0) => return Ended::Eof,
            Ok(count) => buffer.get(..count).unwrap_or_default(),
            Err(error) => return Ended::Read(error),
        };
        after_read();
        let written = timeout(timing.write, async {
            to.write_all(filled).await?;
            to.flush().await
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Ended::Write(error),
            Err(_) => return Ended::WriteTimeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    // Guards (F19): a broker's message that waits for the acknowledgement of the one before, which waits for an answer.
    #[test]
    fn f19_what_the_broker_sends_is_acknowledged_at_once() {
        runtime().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (tcp, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
            let (mut tcp, mut broker) = (tcp.unwrap(), accepted.unwrap().0);
            // After some talk the kernel expects an answer to everything.
            for _ in 0..20 {
                broker.write_all(b"?").await.unwrap();
                assert_eq!(tcp.read_u8().await.unwrap(), b'?');
                tcp.write_all(b"!").await.unwrap();
                assert_eq!(broker.read_u8().await.unwrap(), b'!');
            }
            assert!(!tcp.quickack().unwrap());
            broker.write_all(b"more").await.unwrap();
            drop(broker);
            let descriptor = tcp.as_fd().try_clone_to_owned().unwrap();
            let mut heard = Vec::new();
            let timing = Timing::default();
            let is_prompt = std::cell::Cell::new(false);
            let ended = copy(&mut tcp, &mut heard, &timing, || {
                acknowledge_at_once(&descriptor);
                is_prompt.set(SockRef::from(&descriptor).tcp_quickack().unwrap());
            });
            assert!(matches!(ended.await, Ended::Eof));
            assert_eq!(heard, b"more");
            assert!(is_prompt.get());
        });
    }

    // Guards (S24): another local user who reaches the socket could speak to the broker as us.
    #[test]
    fn s24_private_socket_is_ours_alone_and_vanishes_once_used() {
        runtime().block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let socket = PrivateSocket::make(dir.path()).unwrap();
            let (folder, path) = (socket.dir.clone(), socket.path.clone());
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&folder), 0o700);
            assert_eq!(mode(&path), 0o600);
            let timing = Timing::default();
            let (accepted, connected) =
                tokio::join!(socket.accept_ours(&timing), UnixStream::connect(&path));
            accepted.unwrap();
            connected.unwrap();
            assert!(!folder.exists());
        });
    }

    // Guards (S24): "first come" without looking who came.
    #[test]
    fn s24_another_process_at_the_private_socket_is_turned_away() {
        runtime().block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let socket = PrivateSocket::make(dir.path()).unwrap();
            let path = socket.path.clone();
            // A child with our uid and another pid, first in the queue; it ends when turned away.
            let script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); sys.exit(0 if s.recv(1)==b'' else 1)";
            let mut stranger = tokio::process::Command::new("python3")
                .args(["-c", script])
                .arg(&path)
                .kill_on_drop(true)
                .spawn()
                .expect("python3 is needed for this test: apt-get install python3");
            let timing = Timing::default();
            let ours = async {
                let status = stranger.wait().await.unwrap();
                assert!(status.success(), "the stranger was served");
                UnixStream::connect(&path).await
            };
            let (accepted, connected) = tokio::join!(socket.accept_ours(&timing), ours);
            accepted.unwrap();
            connected.unwrap();
        });
    }
}
