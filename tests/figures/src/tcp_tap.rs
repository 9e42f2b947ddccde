//! A tap between broker and client: tells when bytes reached the client, and how many.
//!
//! What passes is TLS; nothing is opened or changed. The client may be as far away as a phone is.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::Failure;
use crate::air_tap::unix_ns;

/// Bytes at the client's socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Just before they were handed to the client's socket, ns since 1970.
    pub(crate) at_ns: u64,
    /// How many.
    pub(crate) bytes: usize,
}

/// A listener on loopback that passes everything on to the broker and back.
#[derive(Debug, Clone)]
pub(crate) struct TcpTap {
    pub(crate) port: u16,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

impl TcpTap {
    /// Listens until the program ends.
    pub(crate) fn start(broker: u16) -> Result<Self, Failure> {
        Self::to_client_after(broker, Duration::ZERO)
    }

    /// The same, where the broker's bytes reach the client so much later.
    pub(crate) fn to_client_after(broker: u16, delay: Duration) -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let tap = Self {
            port: listener.local_addr()?.port(),
            arrivals: Arc::default(),
        };
        let arrivals = Arc::clone(&tap.arrivals);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that finds no broker is told by the end of its connection.
                let _ended = carry(client, broker, delay, &arrivals);
            }
        });
        Ok(tap)
    }

    /// Everything since the last call.
    pub(crate) fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn carry(
    client: TcpStream,
    broker: u16,
    delay: Duration,
    arrivals: &Arc<Mutex<Vec<Arrival>>>,
) -> std::io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, broker))?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (mut up_from, mut up_to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        // Either end's close ends the other.
        let _ended = std::io::copy(&mut up_from, &mut up_to);
        let _closed = up_to.shutdown(Shutdown::Write);
    });
    let arrivals = Arc::clone(arrivals);
    let (mut from, mut to) = (server, client);
    std::thread::spawn(move || {
        let mut bytes = [0; 16_384];
        while let Ok(size @ 1..) = from.read(&mut bytes) {
            std::thread::sleep(delay);
            let at_ns = unix_ns();
            if to.write_all(bytes.get(..size).unwrap_or_default()).is_err() {
                break;
            }
            arrivals
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Arrival { at_ns, bytes: size });
        }
        let _closed = to.shutdown(Shutdown::Write);
    });
    Ok(())
}
