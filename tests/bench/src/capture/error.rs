//! Why a capture says nothing.

use drawbridge_protocol::frame::FrameError;

/// A capture that is not whole or not what it should be: what is not found in it may have been there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// Another kind of file.
    #[error("read the capture: it is no btsnoop file of Linux's monitor")]
    NotACapture,
    /// It ends within a record.
    #[error("read record {0} of the capture: the file ends within it")]
    Truncated(usize),
    /// The recorder was too slow, or kept only the beginning of a packet.
    #[error("read record {0} of the capture: something before it or of it was not recorded")]
    Lost(usize),
    /// A packet is shorter or longer than it says.
    #[error("read record {0} of the capture: its packet is malformed")]
    Malformed(usize),
    /// A part of a frame whose beginning was not heard, or a beginning where a part was due.
    #[error("put frames together at record {0} of the capture: a part is missing")]
    MissingPart(usize),
    /// What went over a lock's link is not cut as it should be.
    #[error("put messages together at frame {frame}")]
    Message {
        /// Which frame.
        frame: usize,
        /// What is wrong.
        #[source]
        source: FrameError,
    },
}
