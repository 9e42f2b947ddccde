//! How one record looks on disk: a frame with a version byte and a CRC32C, cut into chunks.
//!
//! Frame: `version u8 | class u8 | stamp u64 BE | crc32c u32 BE | value`. The checksum covers tree,
//! key, version, class, stamp and value, so a value that turns up under another key does not pass.

use crc::{CRC_32_ISCSI, CRC_64_XZ, Crc};

use super::op::Tree;

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4).
static CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// For the sum over all records, where 32 bits would meet by chance.
static CRC64: Crc<u64> = Crc::<u64>::new(&CRC_64_XZ);

/// The version this release writes.
pub(super) const FORMAT: u8 = 1;
/// Bytes before the value.
pub(super) const HEADER: usize = 14;

/// Largest chunk handed to sled, bytes.
///
/// sled: a leaf holds up to 17 items, and a leaf over 131,052 bytes goes to a blob file that is never
/// synced. Seen: `pagecache/logger.rs`, `blob_io.rs`. So: 17 chunks of this size stay far below.
pub(super) const CHUNK: usize = 4 * 1024;

/// CRC32C of the parts in order.
pub(super) fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut digest = CRC32C.digest();
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

/// What is held under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What the tree makes of it, such as a class of publications.
    pub class: u8,
    /// What the tree orders or ages it by.
    pub stamp: u64,
    /// The record itself.
    pub value: Vec<u8>,
}

/// Tree and key of a record.
pub(super) type Place = (Tree, Vec<u8>);

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadFrame {
    /// Short, or the checksum does not match.
    Damaged,
    /// Sound, but of a later format.
    Newer(u8),
}

fn checksum(tag: u8, key: &[u8], version: u8, class: u8, stamp: u64, value: &[u8]) -> u32 {
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
    crc32c(&[
        &[tag],
        &length,
        key,
        &[version, class],
        &stamp.to_be_bytes(),
        value,
    ])
}

/// Frames a value for the tree with this tag.
#[must_use]
pub fn encode(tag: u8, key: &[u8], held: &Held) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER + held.value.len());
    frame.extend_from_slice(&[FORMAT, held.class]);
    frame.extend_from_slice(&held.stamp.to_be_bytes());
    let crc = checksum(tag, key, FORMAT, held.class, held.stamp, &held.value);
    frame.extend_from_slice(&crc.to_be_bytes());
    frame.extend_from_slice(&held.value);
    frame
}

/// Checks and opens a frame.
///
/// # Errors
/// [`BadFrame`].
pub fn decode(tag: u8, key: &[u8], frame: &[u8]) -> Result<Held, BadFrame> {
    let (head, value) = frame.split_at_checked(HEADER).ok_or(BadFrame::Damaged)?;
    let [
        version,
        class,
        s0,
        s1,
        s2,
        s3,
        s4,
        s5,
        s6,
        s7,
        c0,
        c1,
        c2,
        c3,
    ] = *head
    else {
        return Err(BadFrame::Damaged);
    };
    let stamp = u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
    if checksum(tag, key, version, class, stamp, value) != u32::from_be_bytes([c0, c1, c2, c3]) {
        return Err(BadFrame::Damaged);
    }
    if version != FORMAT {
        return Err(BadFrame::Newer(version));
    }
    Ok(Held {
        class,
        stamp,
        value: value.to_vec(),
    })
}

/// A record's share of the sum over all records.
pub(super) fn share(tag: u8, key: &[u8], held: &Held) -> u64 {
    let mut digest = CRC64.digest();
    digest.update(&[tag]);
    digest.update(&(key.len() as u64).to_be_bytes());
    digest.update(key);
    digest.update(&[held.class]);
    digest.update(&held.stamp.to_be_bytes());
    digest.update(&held.value);
    digest.finalize()
}

/// Number of chunks a frame of this value takes.
pub(super) fn chunk_count(value_length: usize) -> u16 {
    u16::try_from((HEADER + value_length).div_ceil(CHUNK)).unwrap_or(u16::MAX)
}

/// The sled key of a chunk: `tag | key length | key | chunk`, so that chunks of one record are neighbours.
#[must_use]
pub fn chunk_key(tag: u8, key: &[u8], chunk: u16) -> Vec<u8> {
    let mut name = Vec::with_capacity(key.len() + 4);
    name.push(tag);
    name.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
    name.extend_from_slice(key);
    name.extend_from_slice(&chunk.to_be_bytes());
    name
}

/// Splits a chunk's key into tag, key and number; `None` when it is not one of ours.
#[must_use]
pub fn split_chunk_key(name: &[u8]) -> Option<(u8, &[u8], u16)> {
    let (&tag, rest) = name.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (key, chunk) = rest.split_at_checked(usize::from(length))?;
    Some((tag, key, u16::from_be_bytes(chunk.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame moved to another key, tree or with any byte changed must not pass (F16).
    #[test]
    fn f16_any_changed_byte_of_a_record_is_refused() {
        let held = Held {
            class: 1,
            stamp: 77,
            value: b"LOCKED seq 812".to_vec(),
        };
        let frame = encode(3, b"cmd", &held);
        assert_eq!(decode(3, b"cmd", &frame), Ok(held));
        assert!(decode(3, b"cme", &frame).is_err());
        assert!(decode(2, b"cmd", &frame).is_err());
        for at in 0..frame.len() {
            for bit in 0..8 {
                let mut bad = frame.clone();
                bad[at] ^= 1 << bit;
                assert_eq!(
                    decode(3, b"cmd", &bad),
                    Err(BadFrame::Damaged),
                    "byte {at} bit {bit}"
                );
            }
            assert!(decode(3, b"cmd", &frame[..at]).is_err(), "cut at {at}");
        }
    }

    /// A newer release's record is told from damage, so that a downgrade does not eat the store.
    #[test]
    fn newer_format_is_not_damage() {
        let mut frame = vec![9, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        frame.extend_from_slice(&checksum(1, b"k", 9, 0, 1, b"v").to_be_bytes());
        frame.extend_from_slice(b"v");
        assert_eq!(decode(1, b"k", &frame), Err(BadFrame::Newer(9)));
    }

    #[test]
    fn chunk_keys_survive_a_round_trip() {
        let name = chunk_key(2, &7u64.to_be_bytes(), 31);
        assert_eq!(
            split_chunk_key(&name),
            Some((2, &7u64.to_be_bytes()[..], 31))
        );
        for cut in 0..name.len() {
            assert_eq!(split_chunk_key(&name[..cut]), None);
        }
    }
}
