//! What can go wrong in the critical store.

use thiserror::Error;

use crate::flash::FlashError;
use crate::flash::chain::ChainError;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The flash refused.
    #[error("use the flash of the critical store")]
    Flash(#[source] FlashError),
    /// Content that no power cut explains. The lock leaves its bolt alone and enters recovery; it is
    /// **not** a lock without an owner.
    #[error("read critical records")]
    Corrupt,
    /// The cells do not hold what was written.
    #[error("read back a critical record")]
    ReadBack,
    /// An earlier write failed; mount again before the next.
    #[error("write critical records after a failed write")]
    NeedsMount,
    /// The live records and this batch do not fit the region.
    #[error("find space for critical records")]
    Full,
    /// More keys than the index holds.
    #[error("index one more key")]
    TooManyKeys,
    /// A value is longer than [`MAX_VALUE`](super::MAX_VALUE) bytes.
    #[error("store a value of this length")]
    ValueTooLong,
    /// The batch as a whole is longer than [`MAX_BATCH`](super::MAX_BATCH) bytes with its framing.
    #[error("store a batch of this length")]
    BatchTooLong,
    /// A batch names one key twice.
    #[error("store two changes of one key at once")]
    RepeatedKey,
    /// The buffer is shorter than the value, whose length in bytes is given.
    #[error("read a value of {0} bytes into a shorter buffer")]
    BufferTooSmall(usize),
    /// The region has fewer than two pages.
    #[error("keep critical records in fewer than two pages")]
    RegionTooSmall,
}

impl StoreError {
    /// Whether the batch may be in force after the next mount.
    #[must_use]
    pub const fn may_have_succeeded(&self) -> bool {
        match self {
            Self::Flash(cause) => cause.may_have_succeeded(),
            Self::ReadBack => true,
            _ => false,
        }
    }

    /// Whether the same call can succeed later without anybody's help, after a new mount.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Flash(cause) => cause.is_temporary(),
            Self::NeedsMount => true,
            _ => false,
        }
    }
}

impl From<FlashError> for StoreError {
    fn from(cause: FlashError) -> Self {
        Self::Flash(cause)
    }
}

impl From<ChainError> for StoreError {
    fn from(cause: ChainError) -> Self {
        match cause {
            ChainError::Flash(cause) => Self::Flash(cause),
            ChainError::ReadBack => Self::ReadBack,
            ChainError::NeedsMount => Self::NeedsMount,
            ChainError::NoRoom => Self::Full,
        }
    }
}
