//! The first handshake message is on its way; the lock is to answer.

use drawbridge_protocol::noise::initiator::Initiator;
use drawbridge_protocol::psk::Generation;

use super::up::Up;
use super::wire::Wire;
use super::{Ends, Kept, LinkMachine, LinkStep, State, Trouble};

#[derive(Debug)]
pub(super) struct Shaking {
    pub(super) wire: Wire,
    pub(super) deadline: u64,
    pub(super) initiator: Initiator,
    pub(super) generation: Generation,
}

impl LinkMachine {
    /// The lock answered. With another psk than ours, or another key than the lock's, it shows here.
    pub(super) fn shaken(
        &mut self,
        answer: &[u8],
        ends: &mut Ends<'_>,
        steps: &mut Vec<LinkStep>,
    ) -> Result<(), Trouble> {
        let link = self.link().ok_or(Trouble::Protocol)?;
        let placeholder = State::Connecting {
            link,
            since: ends.now_ms,
        };
        let State::Shaking(state) = std::mem::replace(&mut self.state, placeholder) else {
            return Err(Trouble::Protocol);
        };
        let Shaking {
            wire,
            initiator,
            generation,
            ..
        } = *state;
        let Ok(session) = initiator.finish(answer) else {
            self.toggle_generation(ends.ring);
            return Err(Trouble::NotAuthentic);
        };
        self.session = Some(Kept {
            session,
            since_ms: ends.now_ms,
            generation,
        });
        self.state = State::Up(Up::new(wire, None));
        steps.push(LinkStep::Established { is_new: true });
        Ok(())
    }
}
