//! The bytes of an advert and of its scan response.

use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::gatt::SERVICE;

/// Length of the advert: flags (3), one complete list of 128-bit UUIDs (18).
const ADVERT: usize = 21;
/// Length of the scan response: header (2), UUID (16), beacon.
const RESPONSE: usize = 18 + Beacon::LEN;

/// General discoverable, no BR/EDR.
const FLAGS: [u8; 3] = [2, 0x01, 0x06];

/// What every lock says.
pub(crate) fn advert() -> [u8; ADVERT] {
    joined(&[&FLAGS, &[17, 0x07], &SERVICE.to_le_bytes()])
}

/// What only the peers of this lock can tell from the others'.
pub(crate) fn response(beacon: &Beacon) -> [u8; RESPONSE] {
    let length = RESPONSE as u8 - 1;
    joined(&[&[length, 0x21], &SERVICE.to_le_bytes(), &beacon.0])
}

fn joined<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut all = [0; N];
    for (to, from) in all.iter_mut().zip(parts.iter().copied().flatten()) {
        *to = *from;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards: an advert with one byte that belongs to this lock alone, or one that does not parse.
    #[test]
    fn advert_is_the_same_for_every_lock_and_response_ends_with_the_beacon() {
        assert_eq!(advert()[..5], [2, 1, 6, 17, 7]);
        assert_eq!(advert()[5..], SERVICE.to_le_bytes());
        let response = response(&Beacon([7; Beacon::LEN]));
        assert_eq!(response[..2], [29, 0x21]);
        assert_eq!(response[2..18], SERVICE.to_le_bytes());
        assert_eq!(response[18..], [7; Beacon::LEN]);
        assert!(advert().len() <= 31 && response.len() <= 31);
    }
}
