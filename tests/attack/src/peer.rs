//! A peer with stolen keys: handshakes and requests, and what the lock says to them.
//!
//! Proposals of a new psk are never answered: **the robbed hub can still talk to its locks
//! afterwards**, so that its owner can check what was done to them.

use std::path::{Path, PathBuf};

use drawbridge_lock_sim::entropy::Randomness;
use drawbridge_protocol::claim::PeerKeys;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::hello::{InitiatorHello, Prologue, Purpose};
use drawbridge_protocol::ids::{Digest32, LockId, Nonce};
use drawbridge_protocol::keys::{IdentityKey, IdentitySecret, LinkKey, LinkSecret};
use drawbridge_protocol::link_message::{LinkMessage, MAX_LINK_MESSAGE, MAX_PLAINTEXT};
use drawbridge_protocol::noise::initiator::Initiator;
use drawbridge_protocol::outcome::Outcome;
use drawbridge_protocol::psk::PskGeneration;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::receipt::Receipt;
use drawbridge_protocol::report::Report;
use drawbridge_protocol::secret::BeaconKey;
use drawbridge_protocol::session::{Label, Session};
use drawbridge_protocol::session_info::SessionInfo;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub, LogRecords};

use crate::air::Link;

/// Why a peer could not say what it wanted to say.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Not on the air.
    #[error("the lock is not on the air")]
    Absent,
    /// The lock denied the handshake.
    #[error("the lock denied the handshake")]
    Denied,
    /// The link went down.
    #[error("the link went down")]
    Gone,
    /// Something else.
    #[error("{0}")]
    Odd(String),
}

/// What the lock said; whatever it signs is verified.
#[derive(Debug)]
pub(crate) enum Said {
    /// The facts, and the bytes that the lock signed.
    Info(Box<SessionInfo>, Vec<u8>),
    Outcome(Box<Outcome>),
    Granted(Digest32),
    Batch(Vec<Vec<u8>>),
    Window {
        nonce: Nonce,
        owned: bool,
    },
    Receipt(Receipt),
    Freed,
    Sensed,
    Refused(Reason),
}

/// Which lock, and how it is found and known.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) lock: LockId,
    pub(crate) link: LinkKey,
    pub(crate) identity: IdentityKey,
    pub(crate) beacon_key: BeaconKey,
}

/// The peer.
#[derive(Debug)]
pub(crate) struct Peer {
    air: PathBuf,
    pub(crate) target: Target,
    pub(crate) identity: IdentitySecret,
    secret: LinkSecret,
    /// Tried in this order.
    psks: Vec<PskGeneration>,
    /// Presented after each handshake.
    pub(crate) grant: Option<Vec<u8>>,
    session: Option<Session>,
    link: Option<Link>,
    pub(crate) entropy: Randomness,
}

impl Peer {
    pub(crate) fn new(
        air: &Path,
        target: Target,
        identity: &IdentitySecret,
        secret: &LinkSecret,
        psks: Vec<PskGeneration>,
    ) -> Self {
        Self {
            air: air.to_owned(),
            target,
            identity: identity.clone(),
            secret: secret.clone(),
            psks,
            grant: None,
            session: None,
            link: None,
            entropy: Randomness::Kernel,
        }
    }

    pub(crate) fn keys(&self) -> PeerKeys {
        PeerKeys {
            identity: self.identity.public(),
            link: self.secret.public(),
        }
    }

    /// A new link and a new session on it, proven by an answer inside it.
    pub(crate) fn join(&mut self, purpose: Purpose) -> Result<(), Trouble> {
        let mut last = Trouble::Absent;
        for psk in self.psks.clone() {
            // The lock has few places: the old link must end first.
            self.link = None;
            let mut link = Link::up(&self.air, &self.target.beacon_key)?;
            match self.shake(&mut link, purpose, &psk) {
                Ok(session) => {
                    (self.session, self.link) = (Some(session), Some(link));
                    // A candidate may ask for the window, whoever is enrolled for the facts.
                    match purpose {
                        Purpose::Pair => self.once(&HubToLock::PairInfoRequest)?,
                        _ => self.once(&info_request(Nonce([0; 16]), None))?,
                    };
                    if let Some(grant) = self.grant.clone() {
                        self.once(&HubToLock::PresentGrant { statement: &grant })?;
                    }
                    return Ok(());
                }
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    /// Ends the link; the session is forgotten too.
    pub(crate) fn leave(&mut self) {
        (self.session, self.link) = (None, None);
    }

    fn shake(
        &mut self,
        link: &mut Link,
        purpose: Purpose,
        psk: &PskGeneration,
    ) -> Result<Session, Trouble> {
        let odd = |what: &'static str| move |_| Trouble::Odd(what.to_owned());
        let message = link.next()?;
        let Ok(LinkMessage::LockHello(lock_hello)) = LinkMessage::decode(&message) else {
            return Err(Trouble::Odd("the lock did not greet".into()));
        };
        let hello = InitiatorHello {
            version: 1,
            features: 0,
            purpose,
        };
        let mut buffer = [0; 48];
        let hello = hello.encode(&mut buffer).map_err(odd("encode a hello"))?;
        let prologue =
            Prologue::new(self.target.lock, lock_hello, hello).map_err(odd("make a prologue"))?;
        let ephemeral = LinkSecret::generate(&mut self.entropy);
        let (initiator, first) =
            Initiator::start(&prologue, &self.secret, &self.target.link, psk, &ephemeral)
                .map_err(|error| Trouble::Odd(error.to_string()))?;
        link.send(&LinkMessage::InitiatorHello(hello))?;
        link.send(&LinkMessage::Handshake1(&first))?;
        // The hello and message 1 are on their way: a link that ends now was ended for them.
        let answer = link.next().map_err(|_| Trouble::Denied)?;
        match LinkMessage::decode(&answer) {
            Ok(LinkMessage::Handshake2(second)) => {
                initiator.finish(second).map_err(|_| Trouble::Denied)
            }
            _ => Err(Trouble::Denied),
        }
    }

    /// Asks and waits for the answer; a lost link is made anew, as an enrolled peer.
    pub(crate) fn ask(&mut self, request: &HubToLock<'_>) -> Result<Said, Trouble> {
        for _ in 0..4 {
            match self.once(request) {
                Err(Trouble::Gone) => {}
                other => return other,
            }
            // Somebody with the same keys may be using them, or too many handshakes were made.
            std::thread::sleep(std::time::Duration::from_millis(500));
            match self.join(Purpose::Session) {
                Ok(()) | Err(Trouble::Gone | Trouble::Denied) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Err(Trouble::Gone)
    }

    /// Asks on this very link.
    pub(crate) fn once(&mut self, request: &HubToLock<'_>) -> Result<Said, Trouble> {
        let (mut plain, mut record) = ([0; MAX_PLAINTEXT], [0; MAX_LINK_MESSAGE]);
        let text = request
            .encode(&mut plain)
            .map_err(|error| Trouble::Odd(error.to_string()))?;
        let session = self.session.as_mut().ok_or(Trouble::Gone)?;
        let link = self.link.as_mut().ok_or(Trouble::Gone)?;
        let sealed = session
            .seal(text, &mut record)
            .map_err(|error| Trouble::Odd(error.to_string()))?;
        link.send(&LinkMessage::Record(sealed))?;
        loop {
            let message = link.next()?;
            let Ok(LinkMessage::Record(record)) = LinkMessage::decode(&message) else {
                return Err(Trouble::Gone);
            };
            let mut plain = [0; MAX_PLAINTEXT];
            let opened = session
                .open(record, &mut plain)
                .map_err(|_| Trouble::Odd("a record that does not open".into()))?;
            let said = LockToHub::decode(opened.plaintext)
                .map_err(|_| Trouble::Odd("a message that nobody knows".into()))?;
            if let LockToHub::NextLabel { label } = said {
                if let Some(label) = Label::from_bytes(label) {
                    session.store_next(label);
                }
                continue;
            }
            if let Some(said) = answer(&self.target.identity, request, said)? {
                return Ok(said);
            }
        }
    }

    /// Where the lock stands, fresh.
    pub(crate) fn info(&mut self) -> Result<SessionInfo, Trouble> {
        let nonce = Nonce(self.entropy.bytes());
        let me = self.identity.public();
        match self.ask(&info_request(nonce, Some(me)))? {
            Said::Info(info, _) if info.nonce == Some(nonce) => Ok(*info),
            other => Err(Trouble::Odd(format!("no fresh facts: {other:?}"))),
        }
    }
}

pub(crate) const fn info_request(nonce: Nonce, holder: Option<IdentityKey>) -> HubToLock<'static> {
    HubToLock::SessionInfoRequest { nonce, holder }
}

/// What `said` means as an answer to `request`; nothing if it is about something else.
fn answer(
    lock: &IdentityKey,
    request: &HubToLock<'_>,
    said: LockToHub<'_>,
) -> Result<Option<Said>, Trouble> {
    let forged = |_| Trouble::Odd("a statement that the lock did not sign".into());
    Ok(match (request, said) {
        (
            _,
            LockToHub::Refused {
                request: to,
                reason,
            },
        ) if to == request.number() => Some(Said::Refused(reason)),
        (HubToLock::SessionInfoRequest { .. }, LockToHub::SessionInfo { statement }) => {
            let info = SessionInfo::verify(statement, lock).map_err(forged)?;
            Some(Said::Info(Box::new(info), statement.to_vec()))
        }
        (
            HubToLock::Command { .. } | HubToLock::Query { .. },
            LockToHub::Outcome { statement, .. },
        ) => {
            let outcome = Outcome::verify(statement, lock).map_err(forged)?;
            Some(Said::Outcome(Box::new(outcome)))
        }
        (HubToLock::PresentGrant { .. }, LockToHub::GrantAccepted { hash }) => {
            Some(Said::Granted(hash))
        }
        (HubToLock::LogPull { .. }, LockToHub::LogBatch { records, .. }) => {
            let records: Result<Vec<_>, _> = LogRecords::new(records)
                .map(|record| record.map(<[u8]>::to_vec))
                .collect();
            let broken = |_| Trouble::Odd("a broken batch of the log".into());
            Some(Said::Batch(records.map_err(broken)?))
        }
        (HubToLock::AuditAck { .. }, LockToHub::Freed { .. }) => Some(Said::Freed),
        (HubToLock::PairInfoRequest, LockToHub::PairInfo { window, owned, .. }) => {
            Some(Said::Window {
                nonce: window,
                owned,
            })
        }
        (HubToLock::Claim { .. }, LockToHub::Receipt { statement }) => Some(Said::Receipt(
            Receipt::verify(statement, lock).map_err(forged)?,
        )),
        (HubToLock::ReportRequest, LockToHub::Report { statement }) => {
            Report::verify(statement, lock).map_err(forged)?;
            Some(Said::Sensed)
        }
        _ => None,
    })
}
