//! One lock's link and session: down, connecting, hello, shaking, up.
//!
//! The session outlives the link: a new link resumes it without a round trip, and shakes hands
//! only when the lock has forgotten it. The machine knows nothing of commands or documents; what
//! it carries are the messages of `protocol::tunnel`.

mod down;
mod hello;
mod shaking;
mod up;
mod wire;

use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::keys::{LinkKey, LinkSecret};
use drawbridge_protocol::link_message::LinkMessage;
use drawbridge_protocol::psk::{Generation, PskRing};
use drawbridge_protocol::session::{MAX_AGE_MS, MAX_RECORDS, Session};

use self::down::Down;
use self::hello::Hello;
use self::shaking::Shaking;
use self::up::Up;
use super::event::{LinkFault, LinkId};

/// How long an adapter may take to answer, in milliseconds. Each has a limit of its own that suits
/// its air, and the longest is BlueZ's 40 s; this one is for an adapter that breaks its word.
const CONNECT_MS: u64 = 45_000;
/// How long each answer of the opening may take, in milliseconds; the lock itself gives a peer
/// without proof 2 s from its first frame.
const OPENING_MS: u64 = 4_000;
/// Records left when a session is renewed: enough for everything that is on its way.
const RECORDS_LEFT: u64 = 256;

/// What a machine is lent with each call.
pub(super) struct Ends<'a> {
    pub(super) local: &'a LinkSecret,
    pub(super) ring: &'a PskRing,
    pub(super) purpose: Purpose,
    pub(super) now_ms: u64,
    pub(super) entropy: &'a mut dyn Entropy,
}

/// What a machine wants done, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LinkStep {
    /// Send this packet.
    Send { link: LinkId, packet: Vec<u8> },
    /// End the link; the machine has let go of it already.
    Hangup { link: LinkId },
    /// Requests may be sent now. A new session knows nothing of what was said in an older one.
    Established { is_new: bool },
    /// The lock has proven the session, made on this generation.
    Proven { generation: Generation },
    /// The lock says this.
    Message(Vec<u8>),
    /// The lock has forgotten the session: what was sent on this link was not read. A new
    /// handshake is on its way on the same link.
    Rejected,
    /// The link is gone, or did not come to anything.
    Lost(Trouble),
}

/// Why there is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The radio says so.
    Link(LinkFault),
    /// The other end does not keep to the protocol.
    Protocol,
    /// It did not answer in time.
    Silent,
    /// No version that both speak.
    Version,
    /// It refused the handshake.
    Denied,
    /// It does not know the psk, or is not the lock.
    NotAuthentic,
    /// The hub itself ended the link: another lock needed the slot, or the session was spent.
    Released,
}

impl Trouble {
    /// The stable name, as in the `link` document and the journal.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Link(fault) => fault.name(),
            Self::Protocol => "protocol",
            Self::Silent => "silent",
            Self::Version => "version",
            Self::Denied => "denied",
            Self::NotAuthentic => "impostor",
            Self::Released => "released",
        }
    }
}

#[derive(Debug)]
enum State {
    Down(Down),
    Connecting { link: LinkId, since: u64 },
    Hello(Hello),
    Shaking(Box<Shaking>),
    Up(Up),
}

#[derive(Debug)]
struct Kept {
    session: Session,
    since_ms: u64,
    generation: Generation,
}

impl Kept {
    fn is_spent(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.since_ms) >= MAX_AGE_MS
            || self.session.records_sealed() >= MAX_RECORDS - RECORDS_LEFT
    }
}

/// The machine.
///
/// Order of use: [`Self::connect`] while [`Self::may_connect`]; then whatever the radio says about
/// that link: [`Self::link_up`], [`Self::packet`], [`Self::link_gone`]; [`Self::tick`] when
/// [`Self::next_deadline`] has come; [`Self::send`] between `Established` and `Lost` or `Rejected`.
/// **Nothing is taken for the lock's word unless it was opened by a session whose handshake proved
/// the lock's key and the psk.**
#[derive(Debug)]
pub(super) struct LinkMachine {
    lock: LockId,
    key: LinkKey,
    state: State,
    failures: u32,
    session: Option<Kept>,
    /// The newest generation was refused last time: try the one before.
    try_previous: bool,
}

impl LinkMachine {
    pub(super) fn new(lock: LockId, key: LinkKey) -> Self {
        Self {
            lock,
            key,
            state: State::Down(Down::default()),
            failures: 0,
            session: None,
            try_previous: false,
        }
    }

    /// The link, unless it is down.
    pub(super) const fn link(&self) -> Option<LinkId> {
        match &self.state {
            State::Down(_) => None,
            State::Connecting { link, .. } => Some(*link),
            State::Hello(hello) => Some(hello.wire.link),
            State::Shaking(shaking) => Some(shaking.wire.link),
            State::Up(up) => Some(up.wire.link),
        }
    }

    pub(super) const fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Whether the lock has said something on this link that only it can say.
    pub(super) const fn is_proven(&self) -> bool {
        matches!(&self.state, State::Up(up) if up.is_proven)
    }

    /// Since when a link is being brought up, monotonic milliseconds.
    pub(super) const fn connecting_since(&self) -> Option<u64> {
        match &self.state {
            State::Connecting { since, .. } => Some(*since),
            _ => None,
        }
    }

    pub(super) const fn state_name(&self) -> &'static str {
        match self.state {
            State::Down(_) => "down",
            State::Connecting { .. } => "connecting",
            State::Hello(_) => "hello",
            State::Shaking(_) => "shaking",
            State::Up(_) => "up",
        }
    }

    /// Failures in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// When a link may be asked for; `None` while there is one.
    pub(super) const fn may_connect_at(&self) -> Option<u64> {
        match &self.state {
            State::Down(down) => Some(down.retry_at),
            _ => None,
        }
    }

    /// Something new is known about where the lock is: try at once.
    pub(super) fn hurry(&mut self, now_ms: u64) {
        if let State::Down(down) = &mut self.state {
            down.retry_at = down.retry_at.min(now_ms);
        }
    }

    /// A link was asked for.
    pub(super) fn connect(&mut self, link: LinkId, now_ms: u64) {
        self.state = State::Connecting {
            link,
            since: now_ms,
        };
    }

    /// The link is up: the lock speaks first.
    pub(super) fn link_up(&mut self, packet_size: usize, now_ms: u64) {
        if let State::Connecting { link, .. } = self.state {
            let wire = wire::Wire::new(link, packet_size);
            let deadline = now_ms.saturating_add(OPENING_MS);
            self.state = State::Hello(Hello { wire, deadline });
        }
    }

    /// The link is gone, or did not come up.
    pub(super) fn link_gone(&mut self, fault: LinkFault, ends: &mut Ends<'_>) -> Vec<LinkStep> {
        let mut steps = Vec::new();
        if self.link().is_some() {
            self.lose(Trouble::Link(fault), ends, &mut steps);
        }
        steps
    }

    /// Ends the link for a reason of the hub's own; `forget` gives up the session, too.
    pub(super) fn release(&mut self, forget: bool, ends: &mut Ends<'_>) -> Vec<LinkStep> {
        let mut steps = Vec::new();
        if forget {
            self.session = None;
        }
        self.hang_up(Trouble::Released, ends, &mut steps);
        steps
    }

    /// An answer that was due did not come.
    pub(super) fn give_up(&mut self, ends: &mut Ends<'_>) -> Vec<LinkStep> {
        let mut steps = Vec::new();
        self.hang_up(Trouble::Silent, ends, &mut steps);
        steps
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        match &self.state {
            State::Down(_) | State::Up(_) => None,
            State::Connecting { since, .. } => Some(since.saturating_add(CONNECT_MS)),
            State::Hello(hello) => Some(hello.deadline),
            State::Shaking(shaking) => Some(shaking.deadline),
        }
    }

    pub(super) fn tick(&mut self, ends: &mut Ends<'_>) -> Vec<LinkStep> {
        if self.next_deadline().is_some_and(|at| at <= ends.now_ms) {
            self.give_up(ends)
        } else {
            Vec::new()
        }
    }

    /// Whether the session should be renewed before more is sent.
    pub(super) fn is_spent(&self, now_ms: u64) -> bool {
        self.session
            .as_ref()
            .is_some_and(|kept| kept.is_spent(now_ms))
    }

    /// Takes a packet of the link.
    pub(super) fn packet(&mut self, packet: &[u8], ends: &mut Ends<'_>) -> Vec<LinkStep> {
        let mut steps = Vec::new();
        let wire = match &mut self.state {
            State::Down(_) | State::Connecting { .. } => return steps,
            State::Hello(hello) => &mut hello.wire,
            State::Shaking(shaking) => &mut shaking.wire,
            State::Up(up) => &mut up.wire,
        };
        let message = match wire.push(packet) {
            Ok(None) => return steps,
            Ok(Some(message)) => message,
            Err(_) => {
                self.hang_up(Trouble::Protocol, ends, &mut steps);
                return steps;
            }
        };
        let outcome = match LinkMessage::decode(&message) {
            Ok(message) => self.message(message, ends, &mut steps),
            Err(_) => Err(Trouble::Protocol),
        };
        if let Err(trouble) = outcome {
            self.hang_up(trouble, ends, &mut steps);
        }
        steps
    }

    fn message(
        &mut self,
        message: LinkMessage<'_>,
        ends: &mut Ends<'_>,
        steps: &mut Vec<LinkStep>,
    ) -> Result<(), Trouble> {
        match (&self.state, message) {
            (State::Hello(_), LinkMessage::LockHello(hello)) => self.greeted(hello, ends, steps),
            (State::Shaking(_), LinkMessage::Handshake2(answer)) => {
                self.shaken(answer, ends, steps)
            }
            (State::Shaking(_), LinkMessage::Denied) => {
                self.toggle_generation(ends.ring);
                Err(Trouble::Denied)
            }
            (State::Up(_), LinkMessage::Record(record)) => self.record(record, steps),
            (State::Up(_), LinkMessage::Denied) => self.denied(ends, steps),
            _ => Err(Trouble::Protocol),
        }
    }

    /// The next handshake uses the other generation, if there are two.
    fn toggle_generation(&mut self, ring: &PskRing) {
        self.try_previous = ring.previous.is_some() && !self.try_previous;
    }

    fn hang_up(&mut self, trouble: Trouble, ends: &mut Ends<'_>, steps: &mut Vec<LinkStep>) {
        if let Some(link) = self.link() {
            steps.push(LinkStep::Hangup { link });
            self.lose(trouble, ends, steps);
        }
    }

    fn lose(&mut self, trouble: Trouble, ends: &mut Ends<'_>, steps: &mut Vec<LinkStep>) {
        // A session that was proven ends the row of failures: the first try after it is immediate.
        self.failures = match &self.state {
            State::Up(up) if up.is_proven && trouble != Trouble::Protocol => 1,
            // It made way for another lock, and is not to blame.
            State::Connecting { .. } if trouble == Trouble::Released => self.failures,
            _ => self.failures.saturating_add(1),
        };
        self.state = State::Down(Down::after_failure(
            self.failures,
            ends.now_ms,
            ends.entropy,
        ));
        steps.push(LinkStep::Lost(trouble));
    }
}
