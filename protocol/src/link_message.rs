//! The messages of a link, outside any session: one type byte, then the body.

use core::fmt;

/// The longest plaintext of a session record, in bytes.
pub const MAX_PLAINTEXT: usize = 1_024;

/// Header of a session record: 8 bytes of id, 8 bytes of number.
pub const RECORD_HEADER: usize = 16;

/// The longest record: header, plaintext, 16 bytes of tag.
pub const MAX_RECORD: usize = RECORD_HEADER + MAX_PLAINTEXT + 16;

/// The longest link message: a type byte and the longest record.
pub const MAX_LINK_MESSAGE: usize = 1 + MAX_RECORD;

/// A message that is empty, too long or of an unknown type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotALinkMessage;

impl fmt::Display for NotALinkMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("read a link message")
    }
}

impl core::error::Error for NotALinkMessage {}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkMessage<'b> {
    /// Lock to initiator, first on a link: [`crate::hello::LockHello`].
    LockHello(&'b [u8]),
    /// Initiator to lock: [`crate::hello::InitiatorHello`].
    InitiatorHello(&'b [u8]),
    /// Initiator to lock: Noise message 1.
    Handshake1(&'b [u8]),
    /// Lock to initiator: Noise message 2.
    Handshake2(&'b [u8]),
    /// Either way: a session record.
    Record(&'b [u8]),
    /// Lock to a peer without proof: no. One code for every cause, so that it tells nothing.
    Denied,
}

impl<'b> LinkMessage<'b> {
    /// Reads a message.
    ///
    /// # Errors
    /// [`NotALinkMessage`].
    pub fn decode(bytes: &'b [u8]) -> Result<Self, NotALinkMessage> {
        if bytes.len() > MAX_LINK_MESSAGE {
            return Err(NotALinkMessage);
        }
        match bytes.split_first().ok_or(NotALinkMessage)? {
            (1, body) => Ok(Self::LockHello(body)),
            (2, body) => Ok(Self::InitiatorHello(body)),
            (3, body) => Ok(Self::Handshake1(body)),
            (4, body) => Ok(Self::Handshake2(body)),
            (5, body) => Ok(Self::Record(body)),
            (15, []) => Ok(Self::Denied),
            _ => Err(NotALinkMessage),
        }
    }

    /// The type byte and the body, to be sent one after the other.
    #[must_use]
    pub const fn parts(&self) -> ([u8; 1], &'b [u8]) {
        match self {
            Self::LockHello(body) => ([1], body),
            Self::InitiatorHello(body) => ([2], body),
            Self::Handshake1(body) => ([3], body),
            Self::Handshake2(body) => ([4], body),
            Self::Record(body) => ([5], body),
            Self::Denied => ([15], &[]),
        }
    }

    /// Writes the message at the start of `out`.
    ///
    /// # Errors
    /// [`NotALinkMessage`] when it does not fit.
    pub fn encode<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], NotALinkMessage> {
        let (kind, body) = self.parts();
        let target = out.get_mut(..1 + body.len()).ok_or(NotALinkMessage)?;
        for (to, from) in target.iter_mut().zip(kind.iter().chain(body)) {
            *to = *from;
        }
        Ok(target)
    }
}
