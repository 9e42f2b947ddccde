//! Writing one frame: head, body in steps, commit word, each read back before the next begins.

use zeroize::Zeroize;

use super::Flash;
use super::chain::{Chain, ChainError};
use super::frame::{COMMIT, Frame};
use super::page::Mark;

/// Bytes of body in one flash write. A multiple of four.
const STEP: usize = 128;

/// A frame that is being written. Dropping it leaves an uncommitted frame, and the chain wants a mount.
pub(crate) struct Writer {
    pub(crate) frame: Frame,
    /// Offset in the page of the first byte in `step`.
    at: u32,
    step: [u8; STEP],
    filled: usize,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.step.zeroize();
    }
}

impl<F: Flash> Chain<F> {
    /// Starts a frame of exactly `len` body bytes. [`ChainError::NoRoom`] if the open page has less.
    pub(crate) fn begin(&mut self, len: u16, body_crc: u32) -> Result<Writer, ChainError> {
        if self.stuck {
            return Err(ChainError::NeedsMount);
        }
        if self.room().is_none_or(|room| room < u32::from(len)) {
            return Err(ChainError::NoRoom);
        }
        let frame = Frame {
            page: self.high,
            at: self.tail,
            len,
            seq: self.next_seq,
            body_crc,
        };
        // Until `finish`, the page holds something that only a mount may clean up.
        self.stuck = true;
        self.write_checked(frame.page, frame.at, &frame.encode(self.kind))?;
        Ok(Writer {
            frame,
            at: frame.body_at(),
            step: [0; STEP],
            filled: 0,
        })
    }

    /// Appends bytes to the body.
    pub(crate) fn push(&mut self, writer: &mut Writer, bytes: &[u8]) -> Result<(), ChainError> {
        for byte in bytes {
            if let Some(cell) = writer.step.get_mut(writer.filled) {
                *cell = *byte;
                writer.filled += 1;
            }
            if writer.filled == STEP {
                self.flush(writer)?;
            }
        }
        Ok(())
    }

    /// Fills up to a whole word, as the body's offset counts.
    pub(crate) fn pad(&mut self, writer: &mut Writer) -> Result<(), ChainError> {
        while !writer.filled.is_multiple_of(4) {
            self.push(writer, &[0xFF])?;
        }
        Ok(())
    }

    fn flush(&mut self, writer: &mut Writer) -> Result<(), ChainError> {
        let end = writer.at + writer.filled as u32;
        if end > writer.frame.commit_at() {
            return Err(ChainError::NoRoom);
        }
        if let Some(bytes) = writer.step.get(..writer.filled) {
            self.write_checked(writer.frame.page, writer.at, bytes)?;
        }
        writer.at = end;
        writer.filled = 0;
        Ok(())
    }

    /// Completes the frame: from here on it survives whatever happens.
    pub(crate) fn finish(&mut self, mut writer: Writer) -> Result<Frame, ChainError> {
        self.pad(&mut writer)?;
        if writer.filled > 0 {
            self.flush(&mut writer)?;
        }
        let frame = writer.frame;
        if writer.at != frame.commit_at() {
            return Err(ChainError::NoRoom);
        }
        self.write_checked(frame.page, frame.commit_at(), &COMMIT.to_le_bytes())?;
        if frame.seq == self.head_base && self.high > self.low {
            self.set_mark(self.high - 1, Mark::AboveOpened)?;
        }
        self.tail = frame.end();
        self.next_seq = frame.seq + 1;
        self.stuck = false;
        Ok(frame)
    }
}
