//! An MQTT 5 broker inside the process, for the demo (docs/decisions/0003). It never ships.
//!
//! The crate `mqtt5` speaks MQTT. Its own TLS listener takes the process's default provider and
//! TLS 1.2 too, so TLS ends here: version 1.3 only, X25519MLKEM768 first, a client certificate
//! from our CA required. What comes out goes to the broker over loopback, and the broker asks us
//! who is behind each of these connections.
//!
//! **A connection that did not come through our TLS listener with a verified certificate is
//! refused at CONNECT.**

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mqtt5::Result as MqttResult;
use mqtt5::broker::MqttBroker;
use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::config::{BrokerConfig, StorageBackend, StorageConfig};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::access::{Access, AccessError, Way};
use crate::pki::{Identity, Pki, PkiError};

const ACL_EXAMPLE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../config/mosquitto.acl"
));
/// As in `config/mosquitto.conf.example`.
const MAX_PACKET: usize = 262_144;
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// No certificate for it.
    #[error("preparing the broker's certificate")]
    Pki(#[from] PkiError),
    /// The access list.
    #[error("preparing the broker's access list")]
    Access(#[from] AccessError),
    /// TLS could not be set up.
    #[error("preparing the broker's TLS: {0}")]
    Tls(String),
    /// No port.
    #[error("listening on loopback")]
    Listen(#[source] io::Error),
    /// The broker itself.
    #[error("starting the broker: {0}")]
    Start(String),
}

/// A running broker. Dropping it ends it and closes every connection.
#[derive(Debug)]
pub struct Broker {
    port: u16,
    tasks: [JoinHandle<()>; 2],
}

impl Broker {
    /// Starts a broker on a free loopback port of the current tokio runtime.
    ///
    /// `extra_acl` follows the shipped access list, in the same form.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn start(pki: &Pki, extra_acl: &str) -> Result<Self, BrokerError> {
        let access = Access::parse(&format!("{ACL_EXAMPLE}\n{extra_acl}"))?;
        let tls = tls_config(pki.ca_file(), &pki.server()?)?;
        let door = Arc::new(Door {
            access,
            inside: Mutex::default(),
        });

        let config = BrokerConfig::default()
            .with_bind_address(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .with_max_packet_size(MAX_PACKET)
            .with_sys_topics_enabled(false)
            .with_storage(StorageConfig::new().with_backend(StorageBackend::Memory));
        let start = |e: mqtt5::MqttError| BrokerError::Start(e.to_string());
        let mut broker = MqttBroker::with_config(config)
            .await
            .map_err(start)?
            .with_auth_provider(Arc::clone(&door) as Arc<dyn AuthProvider>);
        let inner = broker
            .local_addr()
            .ok_or_else(|| BrokerError::Start("it does not listen".to_owned()))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(BrokerError::Listen)?;
        let port = listener.local_addr().map_err(BrokerError::Listen)?.port();
        let serve = tokio::spawn(async move {
            if let Err(error) = broker.run().await {
                eprintln!("the demo's broker ended: {error}");
            }
        });
        let accept = tokio::spawn(accept(listener, TlsAcceptor::from(tls), inner, door));
        Ok(Self {
            port,
            tasks: [serve, accept],
        })
    }

    /// The TLS port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

pub(crate) fn tls_config(ca: &Path, server: &Identity) -> Result<Arc<ServerConfig>, BrokerError> {
    let tls = |e: &dyn std::fmt::Display| BrokerError::Tls(e.to_string());
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519];
    let provider = Arc::new(provider);
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).map_err(|e| tls(&e))?)
        .map_err(|e| tls(&e))?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|e| tls(&e))?;
    let chain = vec![CertificateDer::from_pem_file(&server.cert).map_err(|e| tls(&e))?];
    let key = PrivateKeyDer::from_pem_file(&server.key).map_err(|e| tls(&e))?;
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| tls(&e))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map(Arc::new)
        .map_err(|e| tls(&e))
}

/// Who came through TLS, by the loopback address from which the broker sees them.
#[derive(Debug)]
struct Door {
    access: Access,
    inside: Mutex<HashMap<SocketAddr, String>>,
}

impl Door {
    fn inside(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, String>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, inner: SocketAddr, door: Arc<Door>) {
    // Dropped with this task, so ending the broker ends every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    let (acceptor, door) = (acceptor.clone(), Arc::clone(&door));
                    connections.spawn(carry(tcp, acceptor, inner, door));
                }
                // Out of file descriptors: let some go.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection. It ends silently: a refused handshake is the client's to report.
async fn carry(tcp: TcpStream, acceptor: TlsAcceptor, inner: SocketAddr, door: Arc<Door>) {
    let Ok(Ok(mut outside)) = timeout(HANDSHAKE, acceptor.accept(tcp)).await else {
        return;
    };
    let who = outside
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[CertificateDer<'_>]>::first)
        .and_then(|cert| common_name(cert));
    let Some(who) = who else { return };
    let Ok(mut inside) = TcpStream::connect(inner).await else {
        return;
    };
    let Ok(address) = inside.local_addr() else {
        return;
    };
    // Registered before the first byte goes in, so CONNECT finds it.
    door.inside().insert(address, who);
    let _ = copy_bidirectional(&mut outside, &mut inside).await;
    door.inside().remove(&address);
}

fn common_name(cert: &CertificateDer<'_>) -> Option<String> {
    let (_, cert) = x509_parser::parse_x509_certificate(cert).ok()?;
    let name = cert.subject().iter_common_name().next()?.as_str().ok()?;
    Some(name.to_owned())
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AuthProvider for Door {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        client_addr: SocketAddr,
    ) -> Answer<'a, MqttResult<AuthResult>> {
        let who = self.inside().get(&client_addr).cloned();
        let answer = match who {
            None => AuthResult::fail(ReasonCode::NotAuthorized),
            // A dot cannot be part of a hub id, so `h1.probe` is nobody else's session.
            Some(who)
                if connect.client_id == who
                    || connect.client_id.starts_with(&format!("{who}.")) =>
            {
                AuthResult::success_with_user(who)
            }
            Some(_) => AuthResult::fail(ReasonCode::ClientIdentifierNotValid),
        };
        Box::pin(async move { Ok(answer) })
    }

    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        let allowed = user_id.is_some_and(|who| self.access.allows(who, Way::Write, topic));
        Box::pin(async move { allowed })
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        topic_filter: &'a str,
    ) -> Answer<'a, bool> {
        let allowed = user_id.is_some_and(|who| self.access.allows(who, Way::Read, topic_filter));
        Box::pin(async move { allowed })
    }
}
