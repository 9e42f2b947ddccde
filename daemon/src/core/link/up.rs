//! A session: records go both ways.

use drawbridge_protocol::link_message::{LinkMessage, MAX_PLAINTEXT, MAX_RECORD};
use drawbridge_protocol::session::Label;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub};

use super::wire::Wire;
use super::{Ends, LinkMachine, LinkStep, State, Trouble};

/// Records of a link that do not open before it is ended. One that fails changes nothing, so a
/// few may be ignored; a stream of them is somebody else's.
const MAX_STRANGE: u32 = 8;

#[derive(Debug)]
pub(super) struct Up {
    pub(super) wire: Wire,
    /// A record of the lock was opened on this link.
    pub(super) is_proven: bool,
    /// What the lock said first, while the session is a resumed one that it may have forgotten.
    hello: Option<Vec<u8>>,
    strange: u32,
}

impl Up {
    pub(super) const fn new(wire: Wire, hello: Option<Vec<u8>>) -> Self {
        Self {
            wire,
            is_proven: false,
            hello,
            strange: 0,
        }
    }
}

impl LinkMachine {
    /// Sends a message inside the session. `false`: there is none, or it is spent; nothing was sent.
    pub(in crate::core) fn send(
        &mut self,
        message: &HubToLock<'_>,
        steps: &mut Vec<LinkStep>,
    ) -> bool {
        let (State::Up(up), Some(kept)) = (&mut self.state, &mut self.session) else {
            return false;
        };
        let (mut plain, mut record) = ([0; MAX_PLAINTEXT], [0; MAX_RECORD]);
        let Ok(plain) = message.encode(&mut plain) else {
            return false;
        };
        let Ok(record) = kept.session.seal(plain, &mut record) else {
            return false;
        };
        up.wire.send(&LinkMessage::Record(record), steps).is_ok()
    }

    pub(super) fn record(
        &mut self,
        record: &[u8],
        steps: &mut Vec<LinkStep>,
    ) -> Result<(), Trouble> {
        let (State::Up(up), Some(kept)) = (&mut self.state, &mut self.session) else {
            return Err(Trouble::Protocol);
        };
        let mut plain = [0; MAX_RECORD];
        let Ok(opened) = kept.session.open(record, &mut plain) else {
            up.strange += 1;
            return if up.strange > MAX_STRANGE {
                Err(Trouble::Protocol)
            } else {
                Ok(())
            };
        };
        let plain = opened.plaintext;
        if !up.is_proven {
            up.is_proven = true;
            up.hello = None;
            self.failures = 0;
            self.try_previous = false;
            let generation = kept.generation;
            steps.push(LinkStep::Proven { generation });
        }
        if let Ok(LockToHub::NextLabel { label }) = LockToHub::decode(plain) {
            let label = Label::from_bytes(label).ok_or(Trouble::Protocol)?;
            kept.session.store_next(label);
        } else {
            steps.push(LinkStep::Message(plain.to_vec()));
        }
        Ok(())
    }

    /// The lock does not know the session. Anybody can say so, hence it only ever costs a handshake.
    pub(super) fn denied(
        &mut self,
        ends: &mut Ends<'_>,
        steps: &mut Vec<LinkStep>,
    ) -> Result<(), Trouble> {
        let State::Up(up) = &mut self.state else {
            return Err(Trouble::Protocol);
        };
        let Some(hello) = up.hello.take() else {
            if !up.is_proven {
                self.session = None;
                self.toggle_generation(ends.ring);
            }
            return Err(Trouble::Denied);
        };
        self.session = None;
        steps.push(LinkStep::Rejected);
        let link = up.wire.link;
        let placeholder = State::Connecting {
            link,
            since: ends.now_ms,
        };
        let State::Up(up) = std::mem::replace(&mut self.state, placeholder) else {
            return Err(Trouble::Protocol);
        };
        self.shake(up.wire, &hello, ends, steps)
    }
}
