//! One change inside a frame of the store.
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..2 | key |
//! | 2..4 | length of the value in bytes; `0xFFFF` for an erase, which ends here |
//! | 4..8 | CRC-32 of the four bytes before and the value |
//! | 8.. | value, padded with `0xFF` to whole words |
//!
//! The frame's own CRC covers only the first four bytes of each entry: the rest is zeroed once a newer entry
//! of the same key is committed, checksum included, because that of a short secret would give it away.

use crate::flash::chain::Chain;
use crate::flash::crc::crc32;
use crate::flash::frame::Frame;
use crate::flash::{Flash, FlashError};

use super::MAX_VALUE;

const ERASE: u16 = 0xFFFF;
const LABEL: u32 = 4;

/// Key and kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) key: u16,
    /// Bytes of the value; `None` erases the key.
    pub(super) len: Option<u16>,
}

impl Label {
    pub(super) fn encode(self) -> [u8; LABEL as usize] {
        let [a, b] = self.key.to_le_bytes();
        let [c, d] = self.len.unwrap_or(ERASE).to_le_bytes();
        [a, b, c, d]
    }

    fn decode([a, b, c, d]: [u8; LABEL as usize]) -> Option<Self> {
        let key = u16::from_le_bytes([a, b]);
        match u16::from_le_bytes([c, d]) {
            ERASE => Some(Self { key, len: None }),
            len if usize::from(len) <= MAX_VALUE => Some(Self {
                key,
                len: Some(len),
            }),
            _ => None,
        }
    }

    /// Bytes of checksum, value and padding.
    pub(super) const fn secret_size(self) -> u32 {
        match self.len {
            Some(len) => 4 + (len as u32).next_multiple_of(4),
            None => 0,
        }
    }

    /// Bytes of the whole entry.
    pub(super) const fn size(self) -> u32 {
        LABEL + self.secret_size()
    }

    /// The checksum that precedes `value`.
    pub(super) fn checksum(self, value: &[u8]) -> [u8; 4] {
        crc32([&self.encode()[..], value]).to_le_bytes()
    }
}

/// An entry found on flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) label: Label,
    /// Offset of its checksum in the page.
    pub(super) at: u32,
}

/// What the labels of a frame come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Entry(Entry),
    End,
    Malformed,
}

/// Steps through the entries of a committed frame.
#[derive(Debug)]
pub(super) struct Entries {
    frame: Frame,
    at: u32,
}

impl Entries {
    pub(super) const fn of(frame: Frame) -> Self {
        Self {
            at: frame.body_at(),
            frame,
        }
    }

    pub(super) fn next<F: Flash>(&mut self, chain: &Chain<F>) -> Result<Next, FlashError> {
        let end = self.frame.body_at() + u32::from(self.frame.len);
        if self.at == end {
            return Ok(Next::End);
        }
        if end - self.at < LABEL {
            return Ok(Next::Malformed);
        }
        let mut bytes = [0; LABEL as usize];
        chain.read(self.frame.page, self.at, &mut bytes)?;
        let Some(label) = Label::decode(bytes).filter(|label| label.size() <= end - self.at) else {
            return Ok(Next::Malformed);
        };
        let entry = Entry {
            label,
            at: self.at + LABEL,
        };
        self.at += label.size();
        Ok(Next::Entry(entry))
    }

    /// Whether every label of `frame` is what was written.
    pub(super) fn are_intact<F: Flash>(frame: Frame, chain: &Chain<F>) -> Result<bool, FlashError> {
        // Labels are gathered so that one CRC runs over all of them; 32 at a time would not be simpler.
        let mut labels = heapless::Vec::<[u8; LABEL as usize], { super::MAX_CHANGES }>::new();
        let mut entries = Self::of(frame);
        loop {
            match entries.next(chain)? {
                Next::Entry(entry) => {
                    if labels.push(entry.label.encode()).is_err() {
                        return Ok(false);
                    }
                }
                Next::End => break,
                Next::Malformed => return Ok(false),
            }
        }
        Ok(crc32(labels.iter().map(|label| &label[..])) == frame.body_crc)
    }
}
