//! What goes out: motor orders, link packets, and the answers inside sessions.

use drawbridge_protocol::codec::CodecError;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::{CommandId, Digest32, Nonce};
use drawbridge_protocol::keys::IdentityKey;
use drawbridge_protocol::link_message::{LinkMessage, MAX_LINK_MESSAGE, MAX_PLAINTEXT};
use drawbridge_protocol::psk::PskGeneration;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::receipt::Receipt;
use drawbridge_protocol::report::Cause;
use drawbridge_protocol::session::{Label, MAX_AGE_MS};
use heapless::Deque;
use zeroize::Zeroizing;

use crate::flash::Flash;
use crate::intents::Ending;
use crate::links::{LinkId, Say};
use crate::lock::Lock;
use crate::peers::Place;
use crate::sensors::Motor;

/// Answers that may wait at once. A peer that asks faster than its link carries loses its link.
const WAITING: usize = 24;

/// Something for whoever runs the lock to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<'o> {
    /// Send this packet.
    Packet {
        /// On which link.
        link: LinkId,
        /// The fragment.
        bytes: &'o [u8],
    },
    /// End this link; no [`Lock::link_down`] is due for it.
    Disconnect {
        /// Which.
        link: LinkId,
    },
    /// Order the motor.
    Motor(Motor),
}

/// An answer, small while it waits; it becomes bytes, signed and sealed, when its turn comes.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    SessionInfo {
        nonce: Option<Nonce>,
        holder: Option<IdentityKey>,
    },
    Outcome {
        command: CommandId,
        ending: Ending,
        duplicate: bool,
        holder: IdentityKey,
    },
    GrantAccepted(Digest32),
    Refused {
        request: u8,
        reason: Reason,
    },
    LogBatch {
        first: u64,
    },
    PairInfo {
        window: Nonce,
        owned: bool,
        policy_epoch: u32,
    },
    Receipt(Receipt),
    PskOffer(PskGeneration),
    NextLabel(Label),
    Report {
        cause: Cause,
        command: Option<CommandId>,
    },
    Freed {
        up_to: u64,
    },
}

/// A link message on its way, fragment by fragment.
struct Sending {
    link: LinkId,
    message: [u8; MAX_LINK_MESSAGE],
    len: usize,
    sent: usize,
}

/// Everything that waits to go out.
#[derive(Default)]
pub(crate) struct Outbound {
    replies: Deque<(Place, Reply), WAITING>,
    sending: Option<Sending>,
}

impl Outbound {
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.sending.take_if(|sending| sending.link == link);
    }

    /// Everybody is gone.
    pub(crate) fn forget_all(&mut self) {
        self.replies.clear();
    }

    /// Whoever had this place is gone: what waits for it must not reach the next one there.
    pub(crate) fn forget_place(&mut self, gone: Place) {
        self.replies.retain(|(place, _)| *place != gone);
    }

    /// A candidate got a place of its own: what waits for it goes along.
    pub(crate) fn moved(&mut self, from: Place, to: Place) {
        for (place, _) in self.replies.iter_mut().filter(|(place, _)| *place == from) {
            *place = to;
        }
    }
}

impl<F: Flash> Lock<F> {
    /// Queues an answer. Without room the peer loses its link and asks again.
    pub(crate) fn reply(&mut self, to: Place, reply: Reply) {
        if self.outbound.replies.push_back((to, reply)).is_ok() {
            return;
        }
        let link = self
            .peers
            .get(to)
            .and_then(|peer| peer.session.as_ref()?.link);
        if let Some(state) = link.and_then(|id| self.links.get_mut(id)) {
            state.closing = true;
        }
    }

    /// The next thing to do; `None` when there is nothing more until the next input. `buffer` must
    /// hold one packet of the largest link.
    pub fn poll_output<'o>(
        &mut self,
        buffer: &'o mut [u8],
        now_ms: u64,
        _entropy: &mut impl Entropy,
    ) -> Option<Output<'o>> {
        if let Some(order) = self.motor.take() {
            return Some(Output::Motor(order));
        }
        if self.halted {
            let link = self.links.iter().next().map(|link| link.id)?;
            self.drop_link(link);
            return Some(Output::Disconnect { link });
        }
        loop {
            if let Some((link, len)) = self.next_fragment(buffer) {
                return Some(Output::Packet {
                    link,
                    bytes: buffer.get(..len)?,
                });
            }
            if self.say_next() || self.answer_next(now_ms) {
                continue;
            }
            let closing = self
                .links
                .iter()
                .find(|link| link.closing)
                .map(|link| link.id);
            return closing.map(|link| {
                self.drop_link(link);
                Output::Disconnect { link }
            });
        }
    }

    /// Cuts the next fragment of the message under way into `buffer`.
    fn next_fragment(&mut self, buffer: &mut [u8]) -> Option<(LinkId, usize)> {
        let sending = self.outbound.sending.as_mut()?;
        let link = sending.link;
        let cut = self.links.get_mut(link).and_then(|state| {
            let message = sending.message.get(..sending.len)?;
            state
                .outgoing
                .fragment(message, sending.sent, buffer, state.packet)
                .ok()
        });
        let Some((fragment, taken)) = cut else {
            self.outbound.sending = None;
            return None;
        };
        let len = fragment.len();
        sending.sent += taken;
        if sending.sent >= sending.len {
            self.outbound.sending = None;
        }
        Some((link, len))
    }

    /// Begins with what a link has to say outside sessions.
    fn say_next(&mut self) -> bool {
        let Some(state) = self.links.iter_mut().find(|link| link.say.is_some()) else {
            return false;
        };
        let mut hello = [0; drawbridge_protocol::hello::MAX_HELLO];
        let (psm, nonce, id) = (self.settings.psm, state.nonce, state.id);
        let say = state.say.take();
        let message = match &say {
            Some(Say::Hello) => {
                let own = drawbridge_protocol::hello::LockHello::new(psm, nonce);
                own.encode(&mut hello)
                    .map(LinkMessage::LockHello)
                    .unwrap_or(LinkMessage::Denied)
            }
            Some(Say::Handshake2(message)) => LinkMessage::Handshake2(message),
            Some(Say::Denied) | None => LinkMessage::Denied,
        };
        self.outbound.sending = sending(id, &message);
        true
    }

    /// Makes the next answer into a record; one that has nowhere to go is dropped, and its peer
    /// asks again.
    fn answer_next(&mut self, now_ms: u64) -> bool {
        let Some((to, reply)) = self.outbound.replies.pop_front() else {
            return false;
        };
        // It may hold a psk that the lock offers.
        let mut plain = Zeroizing::new([0; MAX_PLAINTEXT]);
        let Ok(len) = self.write_reply(to, &reply, now_ms, &mut *plain) else {
            return true;
        };
        let Some(plaintext) = plain.get(..len) else {
            return true;
        };
        let Some(live) = self
            .peers
            .get_mut(to)
            .and_then(|peer| peer.session.as_mut())
        else {
            return true;
        };
        let Some(link) = live.link else { return true };
        if now_ms >= live.born_ms.saturating_add(MAX_AGE_MS) {
            if let Some(state) = self.links.get_mut(link) {
                state.closing = true;
            }
            return true;
        }
        let mut record = [0; drawbridge_protocol::link_message::MAX_RECORD];
        match live.session.seal(plaintext, &mut record) {
            Ok(record) => self.outbound.sending = sending(link, &LinkMessage::Record(record)),
            // The session is spent: without a link the peer comes back with a handshake.
            Err(_) => {
                if let Some(state) = self.links.get_mut(link) {
                    state.closing = true;
                }
            }
        }
        true
    }

    fn write_reply(
        &self,
        to: Place,
        reply: &Reply,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<usize, CodecError> {
        crate::answers::write(self, to, reply, now_ms, out)
    }
}

fn sending(link: LinkId, message: &LinkMessage<'_>) -> Option<Sending> {
    let mut bytes = [0; MAX_LINK_MESSAGE];
    let len = message.encode(&mut bytes).ok()?.len();
    Some(Sending {
        link,
        message: bytes,
        len,
        sent: 0,
    })
}
