//! A relay on the virtual air: it stands in one air folder in the place of a lock that is in another,
//! and does to their packets what a man in the middle, a relay or a bad link does.
//!
//! Scanners are shown the lock's own beacon. From the frame that asks for a link on, each frame is
//! given to the rule in force, which says what is sent in its place. Without a rule all passes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The longest body of a frame that is carried, in bytes; longer ones end the link, as everywhere.
const MAX_BODY: usize = 600;
/// First byte of the body of the frame that asks for a link.
const CONNECT: u8 = b'C';
/// First byte of the body of a packet's frame.
const PACKET: u8 = b'D';
/// Where the body begins, after its length.
const BODY: usize = 2;
/// Where a packet begins, after length and kind.
const IN_PACKET: usize = 3;

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Toward {
    /// From lock to hub.
    Hub,
    /// From hub to lock.
    Lock,
}

/// A frame on its way.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Of which link; they count from 1, with scanners between them.
    pub link: u64,
    /// Where to.
    pub toward: Toward,
    /// All of it: two bytes of length, one of kind, the rest.
    pub bytes: &'a [u8],
}

impl Frame<'_> {
    /// Whether it is the one with which the hub asks for the link.
    #[must_use]
    pub fn asks_for_link(&self) -> bool {
        self.toward == Toward::Lock && self.bytes.get(BODY) == Some(&CONNECT)
    }

    /// The packet in it, if it carries one.
    #[must_use]
    pub fn packet(&self) -> Option<&[u8]> {
        (self.bytes.get(BODY) == Some(&PACKET))
            .then(|| self.bytes.get(IN_PACKET..))
            .flatten()
    }
}

/// The frame of a packet.
#[must_use]
pub fn packet_frame(packet: &[u8]) -> Vec<u8> {
    let length = u16::try_from(1 + packet.len()).unwrap_or(u16::MAX);
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.push(PACKET);
    bytes.extend(packet);
    bytes
}

/// What is done in a frame's place, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// These bytes are sent.
    Send(Vec<u8>),
    /// Nothing goes this way of this link before that moment.
    Until(Instant),
    /// The link is cut, both ways.
    Cut,
}

type Rule = Box<dyn FnMut(Frame<'_>) -> Vec<Step> + Send>;

struct Pair {
    hub: UnixStream,
    lock: UnixStream,
    is_link: bool,
}

#[derive(Default)]
struct Shared {
    rule: Mutex<Option<Rule>>,
    open: Mutex<BTreeMap<u64, Pair>>,
    /// When each link was asked for.
    asked: Mutex<Vec<(u64, Instant)>>,
    is_over: AtomicBool,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running relay. Dropping it closes everything.
pub struct AirProxy {
    place: PathBuf,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for AirProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AirProxy")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl AirProxy {
    /// Appears in the folder `near` as `address` (16 hexadecimal digits) and carries to the lock that
    /// is alone in the folder `far`.
    ///
    /// # Errors
    /// What the system said when it refused the socket.
    pub fn start(near: &Path, address: &str, far: &Path) -> io::Result<Self> {
        let place = near.join(format!("{address}.air"));
        let listener = UnixListener::bind(&place)?;
        let shared = Arc::new(Shared::default());
        let (inside, far) = (Arc::clone(&shared), far.to_owned());
        thread::spawn(move || {
            for (number, stream) in (1..).zip(listener.incoming()) {
                if inside.is_over.load(Ordering::Acquire) {
                    break;
                }
                // One that cannot be carried is closed; the hub tries again.
                let _ = stream.and_then(|hub| carry(number, hub, &far, &inside));
            }
        });
        Ok(Self { place, shared })
    }

    /// From now on this rule is asked about each frame of every link.
    pub fn set(&self, rule: impl FnMut(Frame<'_>) -> Vec<Step> + Send + 'static) {
        *held(&self.shared.rule) = Some(Box::new(rule));
    }

    /// From now on all passes.
    pub fn clear(&self) {
        *held(&self.shared.rule) = None;
    }

    /// Cuts every link there is.
    pub fn cut_links(&self) {
        for pair in held(&self.shared.open).values() {
            if pair.is_link {
                cut(pair);
            }
        }
    }

    /// Whether this link is still there.
    #[must_use]
    pub fn is_open(&self, link: u64) -> bool {
        held(&self.shared.open).contains_key(&link)
    }

    /// Every link that was asked for, and when.
    #[must_use]
    pub fn asked(&self) -> Vec<(u64, Instant)> {
        held(&self.shared.asked).clone()
    }
}

impl Drop for AirProxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        // Wakes the listener; the file goes whether or not it was still there.
        let _ = UnixStream::connect(&self.place);
        let _ = fs::remove_file(&self.place);
        for pair in held(&self.shared.open).values() {
            cut(pair);
        }
    }
}

fn cut(pair: &Pair) {
    // One that is closed already is what was wanted.
    let _ = pair.hub.shutdown(Shutdown::Both);
    let _ = pair.lock.shutdown(Shutdown::Both);
}

/// The socket of the lock that is alone in `far`.
fn lock_in(far: &Path) -> io::Result<UnixStream> {
    for entry in fs::read_dir(far)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "air")
            && let Ok(stream) = UnixStream::connect(&path)
        {
            return Ok(stream);
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn carry(number: u64, hub: UnixStream, far: &Path, shared: &Arc<Shared>) -> io::Result<()> {
    let lock = lock_in(far)?;
    let pair = Pair {
        hub: hub.try_clone()?,
        lock: lock.try_clone()?,
        is_link: false,
    };
    held(&shared.open).insert(number, pair);
    let ways = [
        (Toward::Lock, hub.try_clone()?, lock.try_clone()?),
        (Toward::Hub, lock, hub),
    ];
    let last = Arc::new(());
    let both = [Arc::clone(&last), last];
    for ((toward, from, to), running) in ways.into_iter().zip(both) {
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // However it ends: its reader is told, and what comes later has nowhere to go.
            let _ = pump(number, toward, from, &to, &shared);
            let _ = to.shutdown(Shutdown::Write);
            if Arc::into_inner(running).is_some() {
                held(&shared.open).remove(&number);
            }
        });
    }
    Ok(())
}

fn pump(
    link: u64,
    toward: Toward,
    mut from: UnixStream,
    to: &UnixStream,
    shared: &Shared,
) -> io::Result<()> {
    let mut is_heard = true;
    loop {
        let bytes = read_frame(&mut from)?;
        let frame = Frame {
            link,
            toward,
            bytes: &bytes,
        };
        if frame.asks_for_link() {
            if let Some(pair) = held(&shared.open).get_mut(&link) {
                pair.is_link = true;
            }
            held(&shared.asked).push((link, Instant::now()));
        }
        let is_link = held(&shared.open)
            .get(&link)
            .is_some_and(|pair| pair.is_link);
        let steps = match &mut *held(&shared.rule) {
            Some(rule) if is_link => rule(frame),
            _ => vec![Step::Send(bytes)],
        };
        for step in steps {
            match step {
                // A side that has gone hears nothing more; what it said before still arrives.
                Step::Send(bytes) => is_heard = is_heard && { to }.write_all(&bytes).is_ok(),
                Step::Until(moment) => {
                    thread::sleep(moment.saturating_duration_since(Instant::now()));
                }
                Step::Cut => {
                    if let Some(pair) = held(&shared.open).get(&link) {
                        cut(pair);
                    }
                    return Ok(());
                }
            }
        }
    }
}

/// A whole frame, its length included.
fn read_frame(from: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; BODY];
    from.read_exact(&mut length)?;
    let body = usize::from(u16::from_le_bytes(length));
    if body == 0 || body > MAX_BODY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; BODY + body];
    bytes[..BODY].copy_from_slice(&length);
    from.read_exact(&mut bytes[BODY..])?;
    Ok(bytes)
}

/// Waits a little for something that is to come true. Answers whether it did.
pub fn eventually(within: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
