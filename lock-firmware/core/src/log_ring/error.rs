//! What can go wrong in the log.

use thiserror::Error;

use crate::flash::FlashError;
use crate::flash::chain::ChainError;

/// Why the log did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LogError {
    /// The flash refused.
    #[error("use the flash of the log")]
    Flash(#[source] FlashError),
    /// The region holds something, and none of it can be read as a log.
    #[error("read the log")]
    Damaged,
    /// The record is there and is not what was written.
    #[error("read log record {0}")]
    DamagedRecord(u64),
    /// The cells do not hold what was written.
    #[error("read back a log record")]
    ReadBack,
    /// An earlier write failed; mount again before the next.
    #[error("write the log after a failed write")]
    NeedsMount,
    /// No space until records are freed or overwritten.
    #[error("find space in the log")]
    Full,
    /// Only the page with the newest record is left, and that one stays.
    #[error("overwrite the newest page of the log")]
    OnlyNewest,
    /// A record is longer than [`MAX_RECORD`](super::MAX_RECORD) bytes.
    #[error("log a record of this length")]
    TooLong,
    /// The buffer is shorter than the record, whose length in bytes is given.
    #[error("read a log record of {0} bytes into a shorter buffer")]
    BufferTooSmall(usize),
    /// The region has fewer than two pages.
    #[error("keep the log in fewer than two pages")]
    RegionTooSmall,
}

impl LogError {
    /// Whether the record may be in the log after the next mount.
    #[must_use]
    pub const fn may_have_succeeded(&self) -> bool {
        match self {
            Self::Flash(cause) => cause.may_have_succeeded(),
            Self::ReadBack => true,
            _ => false,
        }
    }

    /// Whether the same call can succeed later: after a new mount, or once records are freed.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Flash(cause) => cause.is_temporary(),
            Self::NeedsMount | Self::Full => true,
            _ => false,
        }
    }
}

impl From<FlashError> for LogError {
    fn from(cause: FlashError) -> Self {
        Self::Flash(cause)
    }
}

impl From<ChainError> for LogError {
    fn from(cause: ChainError) -> Self {
        match cause {
            ChainError::Flash(cause) => Self::Flash(cause),
            ChainError::ReadBack => Self::ReadBack,
            ChainError::NeedsMount => Self::NeedsMount,
            ChainError::NoRoom => Self::Full,
        }
    }
}
