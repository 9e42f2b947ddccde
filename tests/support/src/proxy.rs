//! A TCP proxy between a hub and its broker that does to their bytes what networks do.
//!
//! What passes is TLS: nothing is opened or changed, only passed, held up, swallowed or cut. The
//! rules can be changed at any time and hold for connections that are open, too.
//!
//! **Nothing is sent to the hub that the broker did not send, nor the other way.**

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

/// How often rules are looked at while nothing comes.
const GLANCE: Duration = Duration::from_millis(10);
/// A connection that is to be lost is cut after at most so many bytes: somewhere between the first
/// byte of the handshake and the first publications.
const LOST_WITHIN: u64 = 16_000;

/// What happens to a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// It is carried to the broker.
    Open,
    /// Nobody listens: it is refused by the system.
    Refuse,
    /// It is accepted and closed at once.
    Slam,
    /// It is accepted, and nothing more: no byte is read.
    Mute,
}

/// What happens to bytes in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// They pass.
    Pass,
    /// They stay where they are: nobody reads, nobody closes (a half-open connection).
    Stall,
    /// They are read and thrown away.
    Swallow,
    /// They pass so much later.
    Delay(Duration),
}

/// The rules in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// For new connections.
    pub door: Door,
    /// From the hub to the broker.
    pub up: Way,
    /// From the broker to the hub.
    pub down: Way,
    /// So many of a hundred new connections are cut at some byte of their beginning.
    pub lost_percent: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            door: Door::Open,
            up: Way::Pass,
            down: Way::Pass,
            lost_percent: 0,
        }
    }
}

#[derive(Debug)]
struct Shared {
    rules: Mutex<Rules>,
    dice: AtomicU64,
    is_over: AtomicBool,
    accepted: AtomicUsize,
    lost: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

impl Shared {
    fn rules(&self) -> Rules {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// SplitMix64: the same numbers for the same seed.
    fn dice(&self) -> u64 {
        let step = 0x9E37_79B9_7F4A_7C15;
        let mut z = self
            .dice
            .fetch_add(step, Ordering::Relaxed)
            .wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn close_all(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in open.drain(..) {
            // One that is closed already is what was wanted.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A running proxy on loopback. Dropping it closes everything.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens on a free port and carries to `broker`, a port on loopback. `seed` decides which
    /// connections are lost, and where.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start(broker: u16, seed: u64) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            rules: Mutex::default(),
            dice: AtomicU64::new(seed),
            is_over: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            open: Mutex::default(),
        });
        let door = Arc::clone(&shared);
        std::thread::spawn(move || mind_the_door(listener, port, broker, &door));
        Ok(Self { port, shared })
    }

    /// Where the hub is to connect to, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// New rules, for open connections, too.
    pub fn set(&self, rules: Rules) {
        *self
            .shared
            .rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Ends every open connection.
    pub fn cut(&self) {
        self.shared.close_all();
    }

    /// Ends every open connection, and refuses new ones from now on.
    pub fn refuse(&self) {
        self.set(Rules {
            door: Door::Refuse,
            ..Rules::default()
        });
        self.cut();
    }

    /// Connections taken so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Connections that were chosen to be cut.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        self.shared.close_all();
    }
}

fn mind_the_door(first: TcpListener, port: u16, broker: u16, shared: &Arc<Shared>) {
    let mut listener = Some(first);
    while !shared.is_over() {
        let rules = shared.rules();
        if rules.door == Door::Refuse {
            listener = None;
            sleep(GLANCE);
            continue;
        }
        let Some(open) = &listener else {
            // Whoever took the port meanwhile lets it go again, or the test fails by its own wait.
            listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .ok();
            sleep(GLANCE / 5);
            continue;
        };
        match open.accept() {
            Ok((client, _)) => {
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                // A broker that is not there shows in the end of the hub's connection.
                let _ = admit(client, rules, broker, shared);
            }
            Err(_) => sleep(GLANCE / 5),
        }
    }
}

fn admit(
    client: TcpStream,
    rules: Rules,
    broker: u16,
    shared: &Arc<Shared>,
) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    if rules.door == Door::Slam {
        return client.shutdown(Shutdown::Both);
    }
    let keep = |stream: &TcpStream| -> std::io::Result<()> {
        let copy = stream.try_clone()?;
        let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push(copy);
        Ok(())
    };
    keep(&client)?;
    if rules.door == Door::Mute {
        return Ok(());
    }
    let budget = if shared.dice() % 100 < rules.lost_percent {
        shared.lost.fetch_add(1, Ordering::Relaxed);
        shared.dice() % LOST_WITHIN
    } else {
        u64::MAX
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, broker));
    let server = TcpStream::connect_timeout(&address, Duration::from_secs(5));
    let server = match server {
        Ok(server) => server,
        Err(error) => {
            client.shutdown(Shutdown::Both)?;
            return Err(error);
        }
    };
    keep(&server)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(GLANCE))?;
    }
    let budget = Arc::new(AtomicU64::new(budget));
    let ways = [
        (client.try_clone()?, server.try_clone()?, true),
        (server, client, false),
    ];
    for (from, to, is_up) in ways {
        let (shared, budget) = (Arc::clone(shared), Arc::clone(&budget));
        std::thread::spawn(move || carry(from, to, is_up, &budget, &shared));
    }
    Ok(())
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_up: bool, budget: &AtomicU64, shared: &Shared) {
    let mut bytes = [0; 16_384];
    while !shared.is_over() {
        let rules = shared.rules();
        let way = if is_up { rules.up } else { rules.down };
        if way == Way::Stall {
            sleep(GLANCE);
            continue;
        }
        let filled = match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(size) => bytes.get(..size).unwrap_or_default(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => break,
        };
        match way {
            Way::Swallow => continue,
            Way::Delay(time) => sleep(time),
            Way::Pass | Way::Stall => {}
        }
        let size = filled.len() as u64;
        let left = budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(if left == u64::MAX {
                    left
                } else {
                    left.saturating_sub(size)
                })
            })
            .unwrap_or(0);
        let passes = usize::try_from(left.min(size)).unwrap_or(filled.len());
        if to
            .write_all(filled.get(..passes).unwrap_or_default())
            .is_err()
            || passes < filled.len()
        {
            break;
        }
    }
    for stream in [&from, &to] {
        // Either end's close ends the other; one that is closed already is what was wanted.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends everything back.
    fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut back = stream.try_clone().unwrap();
                    let _ = std::io::copy(&mut stream, &mut back);
                });
            }
        });
        port
    }

    fn say(proxy: &Proxy) -> std::io::Result<[u8; 4]> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port()))?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        stream.write_all(b"ping")?;
        let mut back = [0; 4];
        stream.read_exact(&mut back).map(|()| back)
    }

    // Guards: a proxy that passes what it should hold back turns every test of a fault green.
    #[test]
    fn each_rule_does_what_it_says_and_nothing_else() {
        let proxy = Proxy::start(echo(), 1).unwrap();
        let kind = || say(&proxy).map_err(|error| error.kind());
        let with = |rules: Rules| {
            proxy.set(rules);
            sleep(GLANCE * 3);
        };
        let open = Rules::default();
        assert_eq!(kind(), Ok(*b"ping"));
        for (up, down) in [
            (Way::Stall, Way::Pass),
            (Way::Pass, Way::Stall),
            (Way::Swallow, Way::Pass),
            (Way::Pass, Way::Swallow),
            (Way::Delay(Duration::from_secs(1)), Way::Pass),
        ] {
            with(Rules { up, down, ..open });
            assert_eq!(kind(), Err(ErrorKind::WouldBlock), "{up:?} {down:?}");
        }
        with(Rules {
            door: Door::Mute,
            ..open
        });
        assert_eq!(kind(), Err(ErrorKind::WouldBlock));
        with(Rules {
            door: Door::Slam,
            ..open
        });
        assert!(matches!(
            kind(),
            Err(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
        ));
        with(Rules {
            door: Door::Refuse,
            ..open
        });
        assert_eq!(kind(), Err(ErrorKind::ConnectionRefused));
        with(open);
        assert_eq!(kind(), Ok(*b"ping"));
        with(Rules {
            lost_percent: 100,
            ..open
        });
        assert_eq!(proxy.lost(), 0);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        stream
            .set_write_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        let mut back = stream.try_clone().unwrap();
        let sent = std::thread::spawn(move || {
            let mut sent = 0_u64;
            while stream.write_all(&[0; 100]).is_ok() {
                sent += 100;
            }
            sent
        });
        let mut got = Vec::new();
        let _ = back.read_to_end(&mut got);
        assert!((got.len() as u64) < LOST_WITHIN, "{} came back", got.len());
        sent.join().unwrap();
        assert_eq!(proxy.lost(), 1);
    }
}
