//! The file that `btmon -w` writes: everything between the kernel and its controllers, in order.
//!
//! Format: header `btsnoop\0 | version u32 | datalink u32`, then records `length u32 | bytes kept u32 | adapter u16 |
//! opcode u16 | dropped u32 | time u64 | bytes`, all big-endian (BlueZ: doc/btsnoop.txt, datalink 2001).

use super::error::CaptureError;

/// The header of a file of version 1 with the format of Linux's monitor.
pub(super) const HEADER: [u8; 16] = *b"btsnoop\0\0\0\0\x01\0\0\x07\xd1";

/// 1970 in the file's time, which counts microseconds from the year 0.
const EPOCH_US: u64 = 0x00dc_ddb3_0f2f_8000;

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'f> {
    /// Its place in the file, from 0.
    pub(super) number: usize,
    /// Which adapter.
    pub(super) adapter: u16,
    /// What kind: 2 command, 3 event, 4 and 5 data out and in, others the host's own affairs.
    pub(super) opcode: u16,
    /// Microseconds since 1970, by the clock of whoever recorded.
    pub(super) time_us: u64,
    pub(super) bytes: &'f [u8],
}

/// All records of a file.
///
/// # Errors
/// [`CaptureError`] for a file that is not whole.
pub(super) fn records(file: &[u8]) -> Result<Vec<Record<'_>>, CaptureError> {
    let mut rest = file
        .strip_prefix(&HEADER)
        .ok_or(CaptureError::NotACapture)?;
    let mut records: Vec<Record<'_>> = Vec::new();
    while !rest.is_empty() {
        let number = records.len();
        let (record, after) = record(rest, number)?;
        records.push(record);
        rest = after;
    }
    Ok(records)
}

fn record(bytes: &[u8], number: usize) -> Result<(Record<'_>, &[u8]), CaptureError> {
    let truncated = CaptureError::Truncated(number);
    let (header, rest) = bytes.split_first_chunk::<24>().ok_or(truncated)?;
    let word = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let (length, kept, dropped) = (word(0), word(4), word(12));
    if kept != length || dropped != 0 {
        return Err(CaptureError::Lost(number));
    }
    let kept = usize::try_from(kept).map_err(|_| truncated)?;
    let (bytes, rest) = rest.split_at_checked(kept).ok_or(truncated)?;
    let record = Record {
        number,
        adapter: u16::from_be_bytes([header[8], header[9]]),
        opcode: u16::from_be_bytes([header[10], header[11]]),
        time_us: (u64::from(word(16)) << 32 | u64::from(word(20))).saturating_sub(EPOCH_US),
        bytes,
    };
    Ok((record, rest))
}

#[cfg(test)]
pub(super) fn written(records: &[(u16, u16, &[u8])]) -> Vec<u8> {
    let mut file = HEADER.to_vec();
    for (number, (adapter, opcode, bytes)) in records.iter().enumerate() {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        file.extend(length);
        file.extend(length);
        file.extend(adapter.to_be_bytes());
        file.extend(opcode.to_be_bytes());
        file.extend([0; 4]);
        file.extend((EPOCH_US + number as u64).to_be_bytes());
        file.extend(*bytes);
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_were_written() {
        let file = written(&[(0, 2, b"one"), (1, 0xffff, b""), (0, 4, &[7; 300])]);
        let read = records(&file).unwrap();
        let read: Vec<_> = read
            .iter()
            .map(|record| (record.adapter, record.opcode, record.bytes))
            .collect();
        assert_eq!(
            read,
            [(0, 2, &b"one"[..]), (1, 0xffff, &[]), (0, 4, &[7; 300])]
        );
        assert_eq!(records(&HEADER).unwrap(), []);
    }

    // Guards: a capture that was cut or has holes, in which nothing is found because it is not there any more.
    #[test]
    fn a_file_that_is_not_whole_is_refused_at_every_cut() {
        let file = written(&[(0, 2, b"one"), (0, 3, b"three")]);
        let whole = [HEADER.len(), HEADER.len() + 24 + 3, file.len()];
        for cut in 0..file.len() {
            assert_eq!(records(&file[..cut]).is_ok(), whole.contains(&cut), "{cut}");
        }
        // Each byte of the first record's header that says something about its bytes.
        for (place, error) in [
            (3, CaptureError::Lost(0)),
            (7, CaptureError::Lost(0)),
            (12, CaptureError::Lost(0)),
        ] {
            let mut bad = file.clone();
            bad[HEADER.len() + place] ^= 1;
            assert_eq!(records(&bad), Err(error), "{place}");
        }
        let mut long = file.clone();
        long[HEADER.len()] = 0xff;
        long[HEADER.len() + 4] = 0xff;
        assert_eq!(records(&long), Err(CaptureError::Truncated(0)));
        for place in 0..HEADER.len() {
            let mut other = file.clone();
            other[place] ^= 1;
            assert_eq!(records(&other), Err(CaptureError::NotACapture), "{place}");
        }
    }
}
