//! The link is up and the lock is to say hello.

use drawbridge_protocol::hello::{InitiatorHello, LockHello, MAX_HELLO, Prologue};
use drawbridge_protocol::keys::LinkSecret;
use drawbridge_protocol::link_message::LinkMessage;
use drawbridge_protocol::noise::initiator::Initiator;
use drawbridge_protocol::version;

use super::shaking::Shaking;
use super::up::Up;
use super::wire::Wire;
use super::{Ends, LinkMachine, LinkStep, OPENING_MS, State, Trouble};

#[derive(Debug)]
pub(super) struct Hello {
    pub(super) wire: Wire,
    pub(super) deadline: u64,
}

impl LinkMachine {
    /// The lock said hello: resume the session if there is one, else shake hands.
    pub(super) fn greeted(
        &mut self,
        hello: &[u8],
        ends: &mut Ends<'_>,
        steps: &mut Vec<LinkStep>,
    ) -> Result<(), Trouble> {
        let theirs = LockHello::decode(hello).map_err(|_| Trouble::Protocol)?;
        version::agree(theirs.min_version, theirs.max_version).ok_or(Trouble::Version)?;
        let spent = self.is_spent(ends.now_ms);
        let resumed = match &mut self.session {
            Some(kept) if !spent => kept.session.resume(),
            _ => false,
        };
        let wire = match std::mem::replace(&mut self.state, State::Down(super::Down::default())) {
            State::Hello(state) => state.wire,
            other => {
                self.state = other;
                return Err(Trouble::Protocol);
            }
        };
        if resumed {
            self.state = State::Up(Up::new(wire, Some(hello.to_vec())));
            steps.push(LinkStep::Established { is_new: false });
            return Ok(());
        }
        self.session = None;
        self.shake(wire, hello, ends, steps)
    }

    /// Begins a handshake on a link whose lock said `hello`.
    pub(super) fn shake(
        &mut self,
        wire: Wire,
        hello: &[u8],
        ends: &mut Ends<'_>,
        steps: &mut Vec<LinkStep>,
    ) -> Result<(), Trouble> {
        let psk = match &ends.ring.previous {
            Some(previous) if self.try_previous => previous,
            _ => &ends.ring.current,
        };
        let deadline = ends.now_ms.saturating_add(OPENING_MS);
        let link = wire.link;
        // The link must be known to the machine before anything below can fail.
        self.state = State::Hello(Hello { wire, deadline });

        let theirs = LockHello::decode(hello).map_err(|_| Trouble::Protocol)?;
        let version =
            version::agree(theirs.min_version, theirs.max_version).ok_or(Trouble::Version)?;
        let mut buffer = [0; MAX_HELLO];
        let ours = InitiatorHello {
            version,
            features: 0,
            purpose: ends.purpose,
        };
        let ours = ours.encode(&mut buffer).map_err(|_| Trouble::Protocol)?;
        let prologue = Prologue::new(self.lock, hello, ours).map_err(|_| Trouble::Protocol)?;
        let ephemeral = LinkSecret::generate(&mut &mut *ends.entropy);
        let (initiator, message) =
            Initiator::start(&prologue, ends.local, &self.key, psk, &ephemeral)
                .map_err(|_| Trouble::NotAuthentic)?;
        let generation = psk.generation;
        let since = ends.now_ms;
        let State::Hello(state) =
            std::mem::replace(&mut self.state, State::Connecting { link, since })
        else {
            return Err(Trouble::Protocol);
        };
        let mut wire = state.wire;
        let sent = wire
            .send(&LinkMessage::InitiatorHello(ours), steps)
            .and_then(|()| wire.send(&LinkMessage::Handshake1(&message), steps));
        self.state = State::Shaking(Box::new(Shaking {
            wire,
            deadline,
            initiator,
            generation,
        }));
        sent.map_err(|_| Trouble::Protocol)
    }
}
