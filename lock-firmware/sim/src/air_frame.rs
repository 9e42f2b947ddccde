//! Frames on the socket of the virtual air: 2 bytes of length (little-endian), then a body whose
//! first byte is its type.
//!
//! | body | from | meaning |
//! | --- | --- | --- |
//! | `A` + 12 bytes | lock | its beacon, first on every connection |
//! | `C` + 2 bytes | initiator | connect; the packet size it wants, little-endian |
//! | `O` + 2 bytes | lock | connected; the packet size granted |
//! | `B` | lock | no link is free; the lock closes |
//! | `D` + packet | both | one packet of the link |
//!
//! **The length is checked before the body is read; everything else is an error that ends the connection.**

use std::io;

use drawbridge_protocol::beacon::Beacon;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest body, in bytes.
pub const MAX_BODY: usize = 600;

/// The largest packet a lock grants, in bytes: what one Bluetooth LE data packet carries.
pub const MAX_PACKET: u16 = 244;

/// Why a connection of the virtual air ends.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AirFrameError {
    /// The other side closed, or the socket failed.
    #[error("use the virtual air's socket")]
    Io(#[from] io::Error),
    /// Not a frame, or not one that may come now.
    #[error("accept a frame of the virtual air")]
    Malformed,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AirFrame {
    /// The lock's advert.
    Advert(Beacon),
    /// The initiator wants a link with packets of this many bytes.
    Connect(u16),
    /// The link is up with packets of this many bytes.
    Connected(u16),
    /// The lock has no link free.
    Busy,
    /// A packet of the link.
    Packet(Vec<u8>),
}

impl AirFrame {
    /// The frame as it is on the socket, length included.
    ///
    /// # Errors
    /// [`AirFrameError::Malformed`] for a packet that is empty or longer than a body holds.
    pub fn encode(&self) -> Result<Vec<u8>, AirFrameError> {
        let number;
        let (kind, rest): (u8, &[u8]) = match self {
            Self::Advert(beacon) => (b'A', &beacon.0),
            Self::Connect(size) => {
                number = size.to_le_bytes();
                (b'C', &number)
            }
            Self::Connected(size) => {
                number = size.to_le_bytes();
                (b'O', &number)
            }
            Self::Busy => (b'B', &[]),
            Self::Packet(packet) if packet.is_empty() => return Err(AirFrameError::Malformed),
            Self::Packet(packet) => (b'D', packet),
        };
        let length = u16::try_from(1 + rest.len())
            .ok()
            .filter(|length| usize::from(*length) <= MAX_BODY)
            .ok_or(AirFrameError::Malformed)?;
        let mut bytes = Vec::with_capacity(2 + usize::from(length));
        bytes.extend(length.to_le_bytes());
        bytes.push(kind);
        bytes.extend(rest);
        Ok(bytes)
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`AirFrameError::Malformed`].
    pub fn decode(body: &[u8]) -> Result<Self, AirFrameError> {
        let (kind, rest) = body.split_first().ok_or(AirFrameError::Malformed)?;
        let malformed = |_| AirFrameError::Malformed;
        let number = || rest.try_into().map(u16::from_le_bytes).map_err(malformed);
        match kind {
            b'A' => Ok(Self::Advert(Beacon(rest.try_into().map_err(malformed)?))),
            b'C' => Ok(Self::Connect(number()?)),
            b'O' => Ok(Self::Connected(number()?)),
            b'B' if rest.is_empty() => Ok(Self::Busy),
            b'D' if !rest.is_empty() && body.len() <= MAX_BODY => Ok(Self::Packet(rest.to_vec())),
            _ => Err(AirFrameError::Malformed),
        }
    }

    /// Reads one frame. Not safe to cancel: half a frame would be lost.
    ///
    /// # Errors
    /// [`AirFrameError`].
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Self, AirFrameError> {
        let mut length = [0; 2];
        from.read_exact(&mut length).await?;
        let length = usize::from(u16::from_le_bytes(length));
        if length == 0 || length > MAX_BODY {
            return Err(AirFrameError::Malformed);
        }
        let mut body = [0; MAX_BODY];
        let body = &mut body[..length];
        from.read_exact(body).await?;
        Self::decode(body)
    }

    /// Writes the frame.
    ///
    /// # Errors
    /// [`AirFrameError`].
    pub async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> Result<(), AirFrameError> {
        to.write_all(&self.encode()?).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    /// The bytes of the wire; the daemon's reader has the same test with the same bytes.
    #[test]
    fn frames_are_these_bytes() {
        let table = [
            (
                AirFrame::Advert(Beacon(*b"nonceHMACHMA")),
                b"\x0d\x00AnonceHMACHMA".as_slice(),
            ),
            (AirFrame::Connect(244), b"\x03\x00C\xf4\x00"),
            (AirFrame::Connected(100), b"\x03\x00O\x64\x00"),
            (AirFrame::Busy, b"\x01\x00B"),
            (
                AirFrame::Packet(vec![0x80, 1, 0, 15]),
                b"\x05\x00D\x80\x01\x00\x0f",
            ),
        ];
        for (frame, bytes) in table {
            assert_eq!(frame.encode().unwrap(), bytes);
            assert_eq!(block_on(AirFrame::read(&mut &bytes[..])).unwrap(), frame);
        }
    }

    #[test]
    fn packets_have_bounds() {
        assert!(AirFrame::Packet(vec![]).encode().is_err());
        assert!(AirFrame::Packet(vec![0; MAX_BODY - 1]).encode().is_ok());
        assert!(AirFrame::Packet(vec![0; MAX_BODY]).encode().is_err());
    }

    /// S05 for the virtual air: a declared length that is too large is refused before its body is read.
    #[test]
    fn s05_a_long_length_is_refused_unread() {
        for length in [0, MAX_BODY as u16 + 1, u16::MAX] {
            let bytes = length.to_le_bytes();
            // Nothing follows: reading on would be an end of file, not `Malformed`.
            assert!(matches!(
                block_on(AirFrame::read(&mut &bytes[..])),
                Err(AirFrameError::Malformed)
            ));
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_would_be_written(body in prop::collection::vec(any::<u8>(), 0..=MAX_BODY)) {
            if let Ok(frame) = AirFrame::decode(&body) {
                prop_assert_eq!(&frame.encode().unwrap()[2..], &body[..]);
            }
        }
    }
}
