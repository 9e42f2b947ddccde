//! A peer of a lock on the virtual air: the protocol crate's initiator on a blocking socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use drawbridge_lock_sim::entropy::Randomness;
use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::claim::PeerKeys;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::frame::{Fragmenter, Reassembler};
use drawbridge_protocol::hello::{InitiatorHello, Prologue, Purpose};
use drawbridge_protocol::ids::Nonce;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::link_message::{LinkMessage, MAX_LINK_MESSAGE};
use drawbridge_protocol::noise::initiator::Initiator;
use drawbridge_protocol::outcome::Outcome;
use drawbridge_protocol::psk::{PskGeneration, PskRing};
use drawbridge_protocol::qr::QrCode;
use drawbridge_protocol::session::{Label, Session};
use drawbridge_protocol::session_info::SessionInfo;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub};

/// The link is gone, or the lock said no.
#[derive(Debug)]
pub(crate) struct Gone;

/// One frame of the air, as bytes.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u16).to_le_bytes().to_vec();
    bytes.extend(body);
    bytes
}

pub(crate) fn read_frame(stream: &mut UnixStream) -> Result<Vec<u8>, Gone> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).map_err(|_| Gone)?;
    let mut body = vec![0; usize::from(u16::from_le_bytes(length))];
    stream.read_exact(&mut body).map_err(|_| Gone)?;
    Ok(body)
}

/// A socket to the lock with this code whose beacon was read, once it is on the air.
pub(crate) fn find(air: &Path, qr: &QrCode) -> UnixStream {
    let key = qr.keys().beacon_key;
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        for entry in std::fs::read_dir(air).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|ending| ending != "air") {
                continue;
            }
            let Ok(mut stream) = UnixStream::connect(&path) else {
                continue;
            };
            stream
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            let Ok(advert) = read_frame(&mut stream) else {
                continue;
            };
            if let [b'A', beacon @ ..] = advert.as_slice()
                && Beacon(beacon.try_into().unwrap()).is_from(&key)
            {
                return stream;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the lock is not on the air");
}

/// Connects on a socket from [`find`]; gives the packet size.
pub(crate) fn connect(stream: &mut UnixStream) -> Result<u16, Gone> {
    stream.write_all(&frame(b"C\xf4\x00")).map_err(|_| Gone)?;
    match read_frame(stream)?.as_slice() {
        [b'O', low, high] => Ok(u16::from_le_bytes([*low, *high])),
        _ => Err(Gone),
    }
}

struct Link {
    stream: UnixStream,
    packet: usize,
    incoming: Reassembler,
    outgoing: Fragmenter,
    hello: Vec<u8>,
}

pub(crate) struct Peer {
    air: PathBuf,
    pub(crate) qr: QrCode,
    pub(crate) identity: IdentitySecret,
    secret: LinkSecret,
    ring: PskRing,
    session: Option<Session>,
    link: Option<Link>,
    entropy: Randomness,
}

impl Peer {
    pub(crate) fn new(air: &Path, qr_text: &str) -> Self {
        let qr = QrCode::from_text(qr_text).unwrap();
        let mut entropy = Randomness::Kernel;
        Self {
            air: air.to_owned(),
            identity: IdentitySecret::generate(&mut entropy),
            secret: LinkSecret::generate(&mut entropy),
            ring: PskRing::pairing(qr.keys().pair_psk),
            qr,
            session: None,
            link: None,
            entropy,
        }
    }

    pub(crate) fn keys(&self) -> PeerKeys {
        PeerKeys {
            identity: self.identity.public(),
            link: self.secret.public(),
        }
    }

    /// A new link, and on it the session there is; else a new one, on the newest psk or the one
    /// before it.
    pub(crate) fn join(&mut self, purpose: Purpose) -> Result<(), Gone> {
        if self.session.as_mut().is_some_and(Session::resume) {
            self.link_up()?;
            if self.session_info().is_ok() {
                return Ok(());
            }
        }
        let newest = self.ring.current.clone();
        let previous = self.ring.previous.clone();
        for psk in [Some(newest), previous].into_iter().flatten() {
            self.link_up()?;
            if self.shake(purpose, &psk).is_ok() {
                return Ok(());
            }
        }
        Err(Gone)
    }

    fn link_up(&mut self) -> Result<(), Gone> {
        // The lock must see the old link end first: it has few places.
        self.link = None;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut stream = find(&self.air, &self.qr);
            if let Ok(packet) = connect(&mut stream) {
                self.link = Some(Link {
                    stream,
                    packet: usize::from(packet),
                    incoming: Reassembler::new(),
                    outgoing: Fragmenter::new(),
                    hello: Vec::new(),
                });
                break;
            }
            if Instant::now() > deadline {
                return Err(Gone);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let message = self.next_message()?;
        let Ok(LinkMessage::LockHello(hello)) = LinkMessage::decode(&message) else {
            return Err(Gone);
        };
        self.link.as_mut().ok_or(Gone)?.hello = hello.to_vec();
        Ok(())
    }

    fn shake(&mut self, purpose: Purpose, psk: &PskGeneration) -> Result<(), Gone> {
        let hello = InitiatorHello {
            version: 1,
            features: 0,
            purpose,
        };
        let mut buffer = [0; 48];
        let hello = hello.encode(&mut buffer).unwrap().to_vec();
        let lock_hello = self.link.as_ref().ok_or(Gone)?.hello.clone();
        let prologue = Prologue::new(self.qr.lock, &lock_hello, &hello).unwrap();
        let ephemeral = LinkSecret::generate(&mut self.entropy);
        let (initiator, message) =
            Initiator::start(&prologue, &self.secret, &self.qr.link, psk, &ephemeral).unwrap();
        self.send_message(&LinkMessage::InitiatorHello(&hello))?;
        self.send_message(&LinkMessage::Handshake1(&message))?;
        let answer = self.next_message()?;
        let Ok(LinkMessage::Handshake2(answer)) = LinkMessage::decode(&answer) else {
            return Err(Gone);
        };
        self.session = Some(initiator.finish(answer).map_err(|_| Gone)?);
        // The first record proves the session, and its answer that the lock agrees. Who is not
        // paired yet is told about the window and nothing else.
        if purpose == Purpose::Pair {
            let told = |said: &LockToHub<'_>| matches!(said, LockToHub::PairInfo { .. });
            return self.ask(&HubToLock::PairInfoRequest, told).map(|_| ());
        }
        self.session_info().map(|_| ())
    }

    fn send_message(&mut self, message: &LinkMessage<'_>) -> Result<(), Gone> {
        let link = self.link.as_mut().ok_or(Gone)?;
        let mut bytes = [0; MAX_LINK_MESSAGE];
        let message = message.encode(&mut bytes).unwrap();
        let mut packets = Vec::new();
        let mut scratch = vec![0; link.packet];
        link.outgoing
            .cut(message, &mut scratch, link.packet, |packet| {
                packets.extend(frame(&[b"D", packet].concat()));
            })
            .unwrap();
        link.stream.write_all(&packets).map_err(|_| Gone)
    }

    fn next_message(&mut self) -> Result<Vec<u8>, Gone> {
        let link = self.link.as_mut().ok_or(Gone)?;
        loop {
            let body = read_frame(&mut link.stream)?;
            let [b'D', packet @ ..] = body.as_slice() else {
                return Err(Gone);
            };
            if let Some(message) = link.incoming.push(packet).map_err(|_| Gone)? {
                return Ok(message.to_vec());
            }
        }
    }

    pub(crate) fn send(&mut self, request: &HubToLock<'_>) -> Result<(), Gone> {
        let (mut plain, mut record) = ([0; 1_024], [0; MAX_LINK_MESSAGE]);
        let plaintext = request.encode(&mut plain).unwrap();
        let session = self.session.as_mut().ok_or(Gone)?;
        let sealed = session.seal(plaintext, &mut record).unwrap().to_vec();
        self.send_message(&LinkMessage::Record(&sealed))
    }

    /// Asks, and waits for the answer that `wanted` knows; labels and psks are kept on the way.
    pub(crate) fn ask(
        &mut self,
        request: &HubToLock<'_>,
        wanted: impl Fn(&LockToHub<'_>) -> bool,
    ) -> Result<Vec<u8>, Gone> {
        self.send(request)?;
        loop {
            let message = self.next_message()?;
            let Ok(LinkMessage::Record(record)) = LinkMessage::decode(&message) else {
                return Err(Gone);
            };
            let mut plain = [0; 1_024];
            let session = self.session.as_mut().ok_or(Gone)?;
            let opened = session.open(record, &mut plain).map_err(|_| Gone)?;
            let plaintext = opened.plaintext.to_vec();
            match LockToHub::decode(&plaintext).unwrap() {
                LockToHub::NextLabel { label } => {
                    session.store_next(Label::from_bytes(label).unwrap());
                }
                LockToHub::PskOffer { next } => {
                    let generation = next.generation;
                    assert!(self.ring.advance(next));
                    self.send(&HubToLock::PskStored { generation })?;
                }
                said if wanted(&said) => return Ok(plaintext),
                _ => {}
            }
        }
    }

    pub(crate) fn session_info(&mut self) -> Result<SessionInfo, Gone> {
        let nonce = Nonce(self.entropy.bytes());
        let holder = None;
        let request = HubToLock::SessionInfoRequest { nonce, holder };
        let said = self.ask(&request, |said| {
            matches!(said, LockToHub::SessionInfo { .. })
        })?;
        let Ok(LockToHub::SessionInfo { statement }) = LockToHub::decode(&said) else {
            return Err(Gone);
        };
        let info = SessionInfo::verify(statement, &self.qr.identity).unwrap();
        assert_eq!(info.nonce, Some(nonce));
        Ok(info)
    }

    /// Sends a command, or asks about it; gives what the lock signed.
    pub(crate) fn outcome(&mut self, request: &HubToLock<'_>) -> Result<Outcome, Gone> {
        let said = self.ask(request, |said| matches!(said, LockToHub::Outcome { .. }))?;
        let Ok(LockToHub::Outcome { statement, .. }) = LockToHub::decode(&said) else {
            return Err(Gone);
        };
        Ok(Outcome::verify(statement, &self.qr.identity).unwrap())
    }
}
