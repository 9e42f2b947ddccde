//! A link to a lock on the virtual air.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::frame::{Fragmenter, Reassembler};
use drawbridge_protocol::link_message::{LinkMessage, MAX_LINK_MESSAGE};
use drawbridge_protocol::secret::BeaconKey;

use crate::peer::Trouble;

/// How long a lock may take to appear, or to answer; a slow bolt takes seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// One link; ends when dropped.
#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
    packet: usize,
    incoming: Reassembler,
    outgoing: Fragmenter,
}

impl Link {
    /// Finds the lock with this beacon key in `air` and connects to it.
    pub(crate) fn up(air: &Path, key: &BeaconKey) -> Result<Self, Trouble> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(mut stream) = find(air, key)
                && write(&mut stream, b"C\xf4\x00").is_ok()
                && let Ok(answer) = read(&mut stream)
                && let [b'O', low, high] = answer[..]
            {
                return Ok(Self {
                    stream,
                    packet: usize::from(u16::from_le_bytes([low, high])),
                    incoming: Reassembler::new(),
                    outgoing: Fragmenter::new(),
                });
            }
            if Instant::now() > deadline {
                return Err(Trouble::Absent);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn send(&mut self, message: &LinkMessage<'_>) -> Result<(), Trouble> {
        let mut bytes = [0; MAX_LINK_MESSAGE];
        let message = message
            .encode(&mut bytes)
            .map_err(|_| Trouble::Odd("a message does not fit".into()))?;
        let mut packets = Vec::new();
        let mut scratch = vec![0; self.packet];
        self.outgoing
            .cut(message, &mut scratch, self.packet, |packet| {
                packets.push([b"D", packet].concat());
            })
            .map_err(|error| Trouble::Odd(error.to_string()))?;
        for packet in packets {
            write(&mut self.stream, &packet).map_err(|_| Trouble::Gone)?;
        }
        Ok(())
    }

    pub(crate) fn next(&mut self) -> Result<Vec<u8>, Trouble> {
        loop {
            let body = read(&mut self.stream).map_err(|_| Trouble::Gone)?;
            let [b'D', packet @ ..] = body.as_slice() else {
                return Err(Trouble::Odd("an unknown frame of the air".into()));
            };
            if let Some(message) = self.incoming.push(packet).map_err(|_| Trouble::Gone)? {
                return Ok(message.to_vec());
            }
        }
    }
}

fn find(air: &Path, key: &BeaconKey) -> Option<UnixStream> {
    for entry in std::fs::read_dir(air).ok()?.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|ending| ending != "air") {
            continue;
        }
        let Ok(mut stream) = UnixStream::connect(&path) else {
            continue;
        };
        if stream.set_read_timeout(Some(PATIENCE)).is_err() {
            continue;
        }
        let advert = read(&mut stream).unwrap_or_default();
        if let [b'A', beacon @ ..] = advert.as_slice()
            && let Ok(beacon) = beacon.try_into()
            && Beacon(beacon).is_from(key)
        {
            return Some(stream);
        }
    }
    None
}

fn write(stream: &mut UnixStream, body: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(body.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_le_bytes(), body].concat())
}

fn read(stream: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; usize::from(u16::from_le_bytes(length))];
    stream.read_exact(&mut body)?;
    Ok(body)
}
