//! A broker that says what a test tells it to: TLS 1.3 with a client certificate (or plain TCP, for
//! a client that is not ours), and above it nothing but bytes. Each connection has a thread of its
//! own.
//!
//! **It never answers by itself; [`Peer::obey`] is the one place with a lawful broker's answers.**

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::broker::{BrokerError, tls_config};
use crate::pki::Pki;

/// A write that a hub does not take in this time ends the connection.
const WRITE: Duration = Duration::from_secs(20);

/// CONNACK: a new session, no properties.
pub const NEW_SESSION: &[u8] = &[0x20, 3, 0, 0, 0];

/// What the hub sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// CONNECT.
    Connect,
    /// PUBLISH; `id` is 0 with QoS 0.
    Publish {
        /// Where to.
        topic: String,
        /// What.
        payload: Vec<u8>,
        /// Its packet id.
        id: u16,
    },
    /// PUBACK.
    Acked(u16),
    /// SUBSCRIBE with so many filters.
    Subscribe {
        /// Its packet id.
        id: u16,
        /// How many.
        filters: usize,
    },
    /// PINGREQ.
    Ping,
    /// DISCONNECT.
    Disconnect,
    /// Anything else, by its first byte.
    Other(u8),
}

/// TLS or not.
trait Duplex: Read + Write + Send {}

impl<T: Read + Write + Send> Duplex for T {}

/// One connection of a hub.
pub struct Peer {
    stream: Box<dyn Duplex>,
    socket: TcpStream,
    buffer: Vec<u8>,
    over: Arc<AtomicBool>,
    /// How many connections came before it.
    pub number: usize,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Peer {
    /// The next packet, or `None` when none came in time.
    ///
    /// # Errors
    /// When the connection ended, or the test is over.
    pub fn hear(&mut self, within: Duration) -> io::Result<Option<Heard>> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(heard) = self.take_packet()? {
                return Ok(Some(heard));
            }
            if self.over.load(Ordering::Acquire) {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let slice = left.min(Duration::from_millis(20));
            if slice.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(slice))?;
            let mut bytes = [0; 16_384];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(size) => self.buffer.extend(bytes.iter().take(size)),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection ended or the hub takes nothing.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Answers as a lawful broker would, and sends the hub's message to itself back to it.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn obey(&mut self, heard: &Heard) -> io::Result<()> {
        match heard {
            Heard::Connect => self.send(NEW_SESSION),
            Heard::Publish { topic, payload, id } => {
                if *id != 0 {
                    self.send(&puback(*id))?;
                }
                if topic.ends_with("/live") {
                    self.send(&publish(topic, payload, Some(LIVE_ID), &[]))?;
                }
                Ok(())
            }
            Heard::Subscribe { id, filters } => {
                let mut body = id.to_be_bytes().to_vec();
                body.push(0);
                body.extend(std::iter::repeat_n(1, *filters));
                self.send(&packet(0x90, &body))
            }
            Heard::Ping => self.send(&[0xD0, 0]),
            Heard::Acked(_) | Heard::Disconnect | Heard::Other(_) => Ok(()),
        }
    }

    /// Obeys for so long, or until `until` likes what it hears.
    ///
    /// # Errors
    /// As [`Self::hear`] and [`Self::send`].
    pub fn obey_until(
        &mut self,
        within: Duration,
        mut until: impl FnMut(&Heard) -> bool,
    ) -> io::Result<bool> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(heard) = self.hear(left)? else {
                return Ok(false);
            };
            self.obey(&heard)?;
            if until(&heard) {
                return Ok(true);
            }
        }
    }

    fn take_packet(&mut self) -> io::Result<Option<Heard>> {
        let Some((length, header)) = remaining_length(&self.buffer) else {
            return Ok(None);
        };
        let Some(body) = self.buffer.get(header..header + length) else {
            return Ok(None);
        };
        let first = self.buffer.first().copied().unwrap_or_default();
        let heard = read_packet(first, body)
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "a packet that is none"))?;
        self.buffer.drain(..header + length);
        Ok(Some(heard))
    }
}

/// The packet id under which [`Peer::obey`] sends a hub its message to itself.
const LIVE_ID: u16 = 60_000;

fn remaining_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (at, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((length, at + 2));
        }
    }
    None
}

fn read_packet(first: u8, body: &[u8]) -> Option<Heard> {
    let id = |at: usize| {
        let bytes = body.get(at..at + 2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    };
    Some(match first >> 4 {
        1 => Heard::Connect,
        3 => {
            let length = usize::from(id(0)?);
            let topic = String::from_utf8(body.get(2..2 + length)?.to_vec()).ok()?;
            let mut at = 2 + length;
            let mut packet_id = 0;
            if first & 0x06 != 0 {
                packet_id = id(at)?;
                at += 2;
            }
            // The property length is coded as a remaining length is, after one byte of whatever.
            let (properties, header) = remaining_length(body.get(at - 1..)?)?;
            let payload = body.get(at - 1 + header + properties..)?.to_vec();
            Heard::Publish {
                topic,
                payload,
                id: packet_id,
            }
        }
        4 => Heard::Acked(id(0)?),
        8 => {
            let (properties, header) = remaining_length(body.get(1..)?)?;
            let mut at = 1 + header + properties;
            let mut filters = 0;
            while at < body.len() {
                at += 2 + usize::from(id(at)?) + 1;
                filters += 1;
            }
            Heard::Subscribe {
                id: id(0)?,
                filters,
            }
        }
        12 => Heard::Ping,
        14 => Heard::Disconnect,
        _ => Heard::Other(first),
    })
}

fn length_bytes(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (length & 0x7F) as u8;
        length >>= 7;
        if length == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// A packet of any kind.
#[must_use]
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend(length_bytes(body.len()));
    bytes.extend(body);
    bytes
}

/// CONNACK with a reason code and properties.
#[must_use]
pub fn connack(code: u8, properties: &[u8]) -> Vec<u8> {
    let mut body = vec![0, code];
    body.extend(length_bytes(properties.len()));
    body.extend(properties);
    packet(0x20, &body)
}

/// PUBACK with success.
#[must_use]
pub fn puback(id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [0x40, 2, high, low]
}

/// PUBLISH; with an id QoS 1, without QoS 0.
#[must_use]
pub fn publish(topic: &str, payload: &[u8], id: Option<u16>, properties: &[u8]) -> Vec<u8> {
    let length = u16::try_from(topic.len()).unwrap_or(u16::MAX);
    let mut body = length.to_be_bytes().to_vec();
    body.extend(topic.as_bytes());
    body.extend(id.map(u16::to_be_bytes).into_iter().flatten());
    body.extend(length_bytes(properties.len()));
    body.extend(properties);
    body.extend(payload);
    packet(if id.is_some() { 0x32 } else { 0x30 }, &body)
}

/// A running broker. Dropping it ends it; its connections end at their next word.
#[derive(Debug)]
pub struct RawBroker {
    port: u16,
    accepted: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl RawBroker {
    /// Listens on a free loopback port and gives each connection that gets through TLS to `serve`.
    /// An error of `serve` ends that connection.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn start(
        pki: &Pki,
        serve: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<Self, BrokerError> {
        let tls = tls_config(pki.ca_file(), &pki.server()?)?;
        Self::listen(Some(tls), serve)
    }

    /// The same without TLS.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn start_plain(
        serve: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<Self, BrokerError> {
        Self::listen(None, serve)
    }

    fn listen(
        tls: Option<Arc<ServerConfig>>,
        serve: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<Self, BrokerError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(BrokerError::Listen)?;
        listener
            .set_nonblocking(true)
            .map_err(BrokerError::Listen)?;
        let port = listener.local_addr().map_err(BrokerError::Listen)?.port();
        let broker = Self {
            port,
            accepted: Arc::default(),
            over: Arc::default(),
        };
        let (accepted, over) = (Arc::clone(&broker.accepted), Arc::clone(&broker.over));
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            while !over.load(Ordering::Acquire) {
                let Ok((tcp, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                let number = accepted.fetch_add(1, Ordering::AcqRel);
                let (tls, over, serve) = (tls.clone(), Arc::clone(&over), Arc::clone(&serve));
                std::thread::spawn(move || {
                    // A connection's end is the client's to report.
                    let _ = welcome(tcp, tls, number, over).and_then(|mut peer| serve(&mut peer));
                });
            }
        });
        Ok(broker)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// TCP connections so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Acquire)
    }
}

impl Drop for RawBroker {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

fn welcome(
    mut tcp: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    number: usize,
    over: Arc<AtomicBool>,
) -> io::Result<Peer> {
    tcp.set_nonblocking(false)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(WRITE))?;
    tcp.set_write_timeout(Some(WRITE))?;
    let socket = tcp.try_clone()?;
    let stream: Box<dyn Duplex> = match tls {
        None => Box::new(tcp),
        Some(tls) => {
            let mut session = ServerConnection::new(tls).map_err(io::Error::other)?;
            session.complete_io(&mut tcp)?;
            Box::new(StreamOwned::new(session, tcp))
        }
    };
    Ok(Peer {
        stream,
        socket,
        buffer: Vec::new(),
        over,
        number,
    })
}
