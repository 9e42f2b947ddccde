//! One record on flash: head, body, and the commit word that is written last.
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..2 | magic `0xDB1F` |
//! | 2..4 | length of the body in bytes |
//! | 4..12 | sequence number, one more than that of the frame before |
//! | 12..16 | CRC-32 of the part of the body that never changes (its user says which) |
//! | 16..20 | CRC-32 of kind, page number, offset in the page and the 16 bytes before |
//! | 20.. | body, padded with `0xFF` to whole words |
//! | last 4 | commit word: erased until the frame is complete and read back, then [`COMMIT`] |
//!
//! The head is written and read back before the first byte of the body. So a body under a torn head does not
//! exist, and a body that merely looks like a frame is never taken for one.

use super::crc::crc32;
use super::page::Kind;

/// Bytes before the body.
pub(crate) const HEAD: u32 = 20;
/// Bytes of a frame that are not body or padding.
pub(crate) const OVERHEAD: u32 = HEAD + 4;
/// Neither erased nor zeroed. Any word but the erased one counts as committed: it is written only over a frame
/// that is already complete, so a torn commit may stand, and a damaged one must not take the record back.
pub(crate) const COMMIT: u32 = 0x5AC3_3CA5;
/// What an erased word reads as.
pub(crate) const ERASED: u32 = u32::MAX;
const MAGIC: u16 = 0xDB1F;

/// A frame's place and head. Offsets are bytes from the start of its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) page: u32,
    pub(crate) at: u32,
    pub(crate) len: u16,
    pub(crate) seq: u64,
    pub(crate) body_crc: u32,
}

impl Frame {
    /// Bytes on flash of a frame whose body has `len` bytes.
    pub(crate) const fn size(len: u32) -> u32 {
        OVERHEAD + len.next_multiple_of(4)
    }

    pub(crate) const fn body_at(&self) -> u32 {
        self.at + HEAD
    }

    pub(crate) const fn commit_at(&self) -> u32 {
        self.end() - 4
    }

    pub(crate) const fn end(&self) -> u32 {
        self.at + Self::size(self.len as u32)
    }

    fn head_crc(&self, kind: Kind, fields: &[u8]) -> u32 {
        crc32([
            &[kind as u8],
            &self.page.to_le_bytes()[..],
            &self.at.to_le_bytes(),
            fields,
        ])
    }

    /// The bytes that [`decode`](Self::decode) reads.
    pub(crate) fn encode(&self, kind: Kind) -> [u8; HEAD as usize] {
        let mut bytes = [0; HEAD as usize];
        let fields = MAGIC
            .to_le_bytes()
            .into_iter()
            .chain(self.len.to_le_bytes())
            .chain(self.seq.to_le_bytes())
            .chain(self.body_crc.to_le_bytes());
        for (slot, byte) in bytes.iter_mut().zip(fields) {
            *slot = byte;
        }
        if let Some((fields, crc)) = bytes.split_last_chunk_mut::<4>() {
            *crc = self.head_crc(kind, fields).to_le_bytes();
        }
        bytes
    }

    /// The frame whose head is `bytes`, if it was written for this very place.
    pub(crate) fn decode(
        bytes: &[u8; HEAD as usize],
        kind: Kind,
        page: u32,
        at: u32,
    ) -> Option<Self> {
        let (fields, crc) = bytes.split_last_chunk::<4>()?;
        let (magic, rest) = fields.split_first_chunk::<2>()?;
        let (len, rest) = rest.split_first_chunk::<2>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let (body_crc, _) = rest.split_first_chunk::<4>()?;
        let frame = Self {
            page,
            at,
            len: u16::from_le_bytes(*len),
            seq: u64::from_le_bytes(*seq),
            body_crc: u32::from_le_bytes(*body_crc),
        };
        let sane = u16::from_le_bytes(*magic) == MAGIC
            && frame.head_crc(kind, fields) == u32::from_le_bytes(*crc);
        sane.then_some(frame)
    }
}
