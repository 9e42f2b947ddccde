//! Fragments: how a message crosses a link whose packets are shorter than it.
//!
//! A fragment is one header byte and a payload. Header: bit 7 = first of a message, bits 0 to 5 =
//! a sequence number that counts fragments modulo 64. The first fragment's payload begins with the
//! message's length, two bytes, little-endian. **The length is checked before the buffer is
//! touched, and a fragment that is not the next one ends the link.**

use core::fmt;

use crate::link_message::MAX_LINK_MESSAGE;

/// Marks the first fragment of a message.
const FIRST: u8 = 0x80;
/// The bits of the sequence number.
const SEQUENCE: u8 = 0x3f;

/// The smallest packet a link may carry: the ATT payload of an unnegotiated Bluetooth LE link.
pub const MIN_PACKET: usize = 20;

/// Why a fragment ends the link. Its text is for the journal, never for the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Empty, or with reserved bits set, or a first fragment without a length.
    Malformed,
    /// A message of length 0 or over the bound.
    Length,
    /// Not the next fragment, or a first one before the last message was complete.
    OutOfOrder,
    /// More bytes than the message has.
    Overrun,
    /// The packet size is below [`MIN_PACKET`] or the message over the bound.
    Unsendable,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "read a fragment",
            Self::Length => "accept the declared message length",
            Self::OutOfOrder => "accept a fragment out of order",
            Self::Overrun => "fit a fragment into its message",
            Self::Unsendable => "cut the message into fragments",
        })
    }
}

impl core::error::Error for FrameError {}

/// Puts messages together again. One per direction of a link; dies with it.
#[derive(Debug, Clone)]
pub struct Reassembler {
    buffer: [u8; MAX_LINK_MESSAGE],
    filled: usize,
    expected: usize,
    next: u8,
}

impl Default for Reassembler {
    fn default() -> Self {
        Self::new()
    }
}

impl Reassembler {
    /// For a new link.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            buffer: [0; MAX_LINK_MESSAGE],
            filled: 0,
            expected: 0,
            next: 0,
        }
    }

    /// Takes one fragment; returns the message that it completes.
    ///
    /// # Errors
    /// [`FrameError`]: end the link. Nothing has changed then.
    pub fn push(&mut self, fragment: &[u8]) -> Result<Option<&[u8]>, FrameError> {
        let (&header, mut payload) = fragment.split_first().ok_or(FrameError::Malformed)?;
        if header & !(FIRST | SEQUENCE) != 0 {
            return Err(FrameError::Malformed);
        }
        let first = header & FIRST != 0;
        let in_message = self.filled < self.expected;
        if header & SEQUENCE != self.next || first == in_message {
            return Err(FrameError::OutOfOrder);
        }
        let (mut filled, mut expected) = (self.filled, self.expected);
        if first {
            let (&[low, high], rest) = payload.split_first_chunk().ok_or(FrameError::Malformed)?;
            let length = usize::from(u16::from_le_bytes([low, high]));
            if length == 0 || length > MAX_LINK_MESSAGE {
                return Err(FrameError::Length);
            }
            payload = rest;
            (filled, expected) = (0, length);
        }
        if payload.is_empty() {
            return Err(FrameError::Malformed);
        }
        let end = filled + payload.len();
        if end > expected {
            return Err(FrameError::Overrun);
        }
        let target = self
            .buffer
            .get_mut(filled..end)
            .ok_or(FrameError::Overrun)?;
        target.copy_from_slice(payload);
        (self.filled, self.expected) = (end, expected);
        self.next = (self.next + 1) & SEQUENCE;
        Ok(if end == self.expected {
            self.buffer.get(..end)
        } else {
            None
        })
    }
}

/// Cuts messages into fragments. One per direction of a link; dies with it.
#[derive(Debug, Clone, Default)]
pub struct Fragmenter {
    next: u8,
}

impl Fragmenter {
    /// For a new link.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: 0 }
    }

    /// Cuts `message` into fragments of at most `packet` bytes and hands each to `send`; `scratch`
    /// must hold one packet.
    ///
    /// # Errors
    /// [`FrameError::Unsendable`]; nothing was handed over then.
    pub fn cut(
        &mut self,
        message: &[u8],
        scratch: &mut [u8],
        packet: usize,
        mut send: impl FnMut(&[u8]),
    ) -> Result<(), FrameError> {
        let mut sent = 0;
        while sent < message.len() || sent == 0 {
            let (fragment, taken) = self.fragment(message, sent, scratch, packet)?;
            send(fragment);
            sent += taken;
        }
        Ok(())
    }

    /// The next fragment of `message`, of which `sent` bytes went out before, written to
    /// `scratch`; and how many bytes of the message it takes.
    ///
    /// # Errors
    /// [`FrameError::Unsendable`]: the message is empty, over its bound or sent already, the packet
    /// is below [`MIN_PACKET`], or `scratch` does not hold it.
    pub fn fragment<'s>(
        &mut self,
        message: &[u8],
        sent: usize,
        scratch: &'s mut [u8],
        packet: usize,
    ) -> Result<(&'s [u8], usize), FrameError> {
        let sendable = (1..=MAX_LINK_MESSAGE).contains(&message.len());
        if !sendable || packet < MIN_PACKET || scratch.len() < packet || sent >= message.len() {
            return Err(FrameError::Unsendable);
        }
        let [low, high] = (message.len() as u16).to_le_bytes();
        let (first, later) = ([FIRST | self.next, low, high], [self.next]);
        let head: &[u8] = if sent == 0 { &first } else { &later };
        let rest = message.get(sent..).ok_or(FrameError::Unsendable)?;
        let (chunk, _) = rest
            .split_at_checked(packet - head.len())
            .unwrap_or((rest, &[]));
        let len = head.len() + chunk.len();
        let fragment = scratch.get_mut(..len).ok_or(FrameError::Unsendable)?;
        for (to, from) in fragment.iter_mut().zip(head.iter().chain(chunk)) {
            *to = *from;
        }
        self.next = (self.next + 1) & SEQUENCE;
        Ok((fragment, chunk.len()))
    }
}
