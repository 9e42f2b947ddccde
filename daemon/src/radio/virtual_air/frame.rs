//! The hub's reader and writer of the virtual air's frames: 2 bytes of length (little-endian), then
//! a body whose first byte is its type. The table is in the lock simulator's `air_frame`; one test
//! holds both to the same bytes.
//!
//! **A length is checked before its body is read.**

use std::io;

use drawbridge_protocol::beacon::Beacon;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest body, in bytes.
pub const MAX_BODY: usize = 600;

/// Why a connection to a lock ends.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The lock closed, or the socket failed.
    #[error("use the socket of a lock")]
    Io(#[from] io::Error),
    /// What came is no frame that a lock sends.
    #[error("accept a frame of the virtual air")]
    Malformed,
}

/// From a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FromLock {
    /// Its advert, first on every connection.
    Advert(Beacon),
    /// The link is up with packets of at most this many bytes.
    Connected(u16),
    /// It has no link free.
    Busy,
    /// One packet.
    Packet(Vec<u8>),
}

impl FromLock {
    /// Reads a body.
    ///
    /// # Errors
    /// [`FrameError::Malformed`].
    pub fn decode(body: &[u8]) -> Result<Self, FrameError> {
        match body {
            [b'A', beacon @ ..] => beacon
                .try_into()
                .map(|beacon| Self::Advert(Beacon(beacon)))
                .map_err(|_| FrameError::Malformed),
            [b'O', low, high] => Ok(Self::Connected(u16::from_le_bytes([*low, *high]))),
            [b'B'] => Ok(Self::Busy),
            [b'D', packet @ ..] if !packet.is_empty() && body.len() <= MAX_BODY => {
                Ok(Self::Packet(packet.to_vec()))
            }
            _ => Err(FrameError::Malformed),
        }
    }

    /// Reads one frame. Not safe to cancel: half a frame would be lost.
    ///
    /// # Errors
    /// [`FrameError`].
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Self, FrameError> {
        let mut length = [0; 2];
        from.read_exact(&mut length).await?;
        let length = usize::from(u16::from_le_bytes(length));
        let mut body = [0; MAX_BODY];
        let body = body
            .get_mut(..length)
            .filter(|body| !body.is_empty())
            .ok_or(FrameError::Malformed)?;
        from.read_exact(body).await?;
        Self::decode(body)
    }
}

/// To a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToLock {
    /// Connect, with packets of at most this many bytes.
    Connect(u16),
    /// One packet.
    Packet(Vec<u8>),
}

impl ToLock {
    /// The frame as it is on the socket, length included.
    ///
    /// # Errors
    /// [`FrameError::Malformed`] for a packet that is empty or longer than a body holds.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let wanted;
        let (kind, rest): (u8, &[u8]) = match self {
            Self::Connect(size) => {
                wanted = size.to_le_bytes();
                (b'C', &wanted)
            }
            Self::Packet(packet) => (b'D', packet),
        };
        let length = 1 + rest.len();
        if rest.is_empty() || length > MAX_BODY {
            return Err(FrameError::Malformed);
        }
        let mut bytes = Vec::with_capacity(2 + length);
        // MAX_BODY fits 16 bits.
        bytes.extend((length as u16).to_le_bytes());
        bytes.push(kind);
        bytes.extend(rest);
        Ok(bytes)
    }

    /// Writes the frame.
    ///
    /// # Errors
    /// [`FrameError`].
    pub async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> Result<(), FrameError> {
        to.write_all(&self.encode()?).await?;
        Ok(())
    }
}
