//! Tests only: an echo where the lock's links would be, so that the way over the air can be measured without the lock.
//!
//! It speaks first, as a lock does. The first packet of a link says what kind of echo is wanted: [`PLAIN`] for the same
//! bytes back, packet by packet, or [`SEALED`] for messages in fragments that hold session records, each opened, sealed
//! anew and cut again, as a lock does it. **No link of an echo reaches the lock.**

use drawbridge_protocol::frame::{Fragmenter, Reassembler};
use drawbridge_protocol::keys::SharedSecret;
use drawbridge_protocol::link_message::{MAX_PLAINTEXT, MAX_RECORD};
use drawbridge_protocol::session::{Label, Role, Session};
use tokio::sync::mpsc;

/// The echo's first packet.
const GREETING: &[u8] = b"echo";
/// Asks for the same bytes.
const PLAIN: &[u8] = b"plain";
/// Asks for records of the session that everybody knows.
const SEALED: &[u8] = b"sealed";

/// The echo of one link.
#[derive(Debug)]
pub(super) struct Echo {
    packet: usize,
    outbound: mpsc::Sender<Vec<u8>>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Unasked,
    Plain,
    Sealed(Box<Sealed>),
}

#[derive(Debug)]
struct Sealed {
    session: Session,
    whole: Reassembler,
    fragments: Fragmenter,
}

impl Echo {
    /// For a link whose packets have at most `packet` bytes.
    pub(super) fn new(packet: u16, outbound: mpsc::Sender<Vec<u8>>) -> Self {
        // The queue is new and has room.
        let _queued = outbound.try_send(GREETING.to_vec());
        Self {
            packet: packet.into(),
            outbound,
            kind: Kind::Unasked,
        }
    }

    /// Takes a packet and sends its echo; `false`: the link is over.
    pub(super) async fn push(&mut self, packet: &[u8]) -> bool {
        let answers = match &mut self.kind {
            Kind::Unasked => {
                self.kind = match packet {
                    PLAIN => Kind::Plain,
                    SEALED => Kind::Sealed(Box::new(Sealed::new())),
                    _ => return false,
                };
                return true;
            }
            Kind::Plain => vec![packet.to_vec()],
            Kind::Sealed(sealed) => match sealed.answer(packet, self.packet) {
                Some(answers) => answers,
                None => return false,
            },
        };
        for answer in answers {
            if self.outbound.send(answer).await.is_err() {
                return false;
            }
        }
        true
    }
}

impl Sealed {
    fn new() -> Self {
        let label = Label {
            id: [3; 8],
            to_lock: 0,
            to_peer: 0,
        };
        let keys = [SharedSecret::new([1; 32]), SharedSecret::new([2; 32])];
        let [to_lock, to_peer] = keys;
        Self {
            session: Session::new(Role::Lock, to_lock, to_peer, label, label),
            whole: Reassembler::new(),
            fragments: Fragmenter::new(),
        }
    }

    /// The packets to send for this one; `None` for what no peer of an echo sends.
    fn answer(&mut self, packet: &[u8], size: usize) -> Option<Vec<Vec<u8>>> {
        let Some(message) = self.whole.push(packet).ok()? else {
            return Some(Vec::new());
        };
        let (mut plain, mut record) = ([0; MAX_PLAINTEXT], [0; MAX_RECORD]);
        let opened = self.session.open(message, &mut plain).ok()?;
        let record = self.session.seal(opened.plaintext, &mut record).ok()?;
        let (mut scratch, mut packets) = (vec![0; size], Vec::new());
        let send = |fragment: &[u8]| packets.push(fragment.to_vec());
        self.fragments.cut(record, &mut scratch, size, send).ok()?;
        Some(packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> (Echo, mpsc::Receiver<Vec<u8>>) {
        let (outbound, mut packets) = mpsc::channel(8);
        let echo = Echo::new(60, outbound);
        assert_eq!(packets.try_recv().unwrap(), GREETING);
        (echo, packets)
    }

    /// Guards: a comparison of two ways of which one is no echo at all.
    #[tokio::test]
    async fn p02_plain_echo_gives_the_same_bytes_and_sealed_echo_the_same_plaintext() {
        let (mut plain, mut packets) = echo();
        assert!(plain.push(PLAIN).await && plain.push(b"some bytes").await);
        assert_eq!(packets.try_recv().unwrap(), b"some bytes");

        let (mut sealed, mut packets) = echo();
        assert!(sealed.push(SEALED).await);
        let mut peer = Sealed::new();
        let label = Label {
            id: [3; 8],
            to_lock: 0,
            to_peer: 0,
        };
        let (to_lock, to_peer) = (SharedSecret::new([1; 32]), SharedSecret::new([2; 32]));
        peer.session = Session::new(Role::Peer, to_lock, to_peer, label, label);
        let (mut record, mut scratch, mut sent) = ([0; MAX_RECORD], [0; 60], Vec::new());
        let text = [7; 100];
        let record = peer.session.seal(&text, &mut record).unwrap();
        let send = |fragment: &[u8]| sent.push(fragment.to_vec());
        peer.fragments.cut(record, &mut scratch, 60, send).unwrap();
        for packet in &sent {
            assert!(sealed.push(packet).await);
        }
        let mut whole = None;
        while let Ok(packet) = packets.try_recv() {
            whole = peer.whole.push(&packet).unwrap().map(<[u8]>::to_vec);
        }
        let mut room = [0; MAX_PLAINTEXT];
        let whole = whole.unwrap();
        let opened = peer.session.open(&whole, &mut room).unwrap();
        assert_eq!(opened.plaintext, text);
        // The same record once more is a replay, and no echo.
        assert!(!sealed.push(&sent[0]).await || !sealed.push(&sent[1]).await);
    }

    #[tokio::test]
    async fn an_echo_of_neither_kind_is_refused() {
        let (mut echo, _packets) = echo();
        assert!(!echo.push(b"something").await);
    }
}
