//! Pairing requests: one that would lead to a weak bond is made one that the host refuses.

/// Security manager: pairing request.
const PAIRING_REQUEST: u8 = 0x01;
/// Length of a pairing request.
const LEN: usize = 7;
/// The longest message of the security manager: a public key.
pub(super) const MAX_LEN: usize = 65;
const KEYBOARD_ONLY: u8 = 0x02;
const KEYBOARD_DISPLAY: u8 = 0x04;
const BONDING: u8 = 0x01;
const SECURE_CONNECTIONS: u8 = 0x08;
const FULL_KEY: u8 = 16;

/// Makes a weak request refusable: without the bit for secure connections the host, built without
/// legacy pairing, answers "authentication requirements" and stores nothing.
///
/// Strong is what ends with the passkey typed at the other end: secure connections, a keyboard, no
/// out-of-band data, a key of 16 bytes, a bond.
pub(super) fn refuse_weak(message: &mut [u8]) {
    let [PAIRING_REQUEST, keyboard, out_of_band, wants, key, _, _] = message else {
        return;
    };
    let types = matches!(*keyboard, KEYBOARD_ONLY | KEYBOARD_DISPLAY);
    let bonds = *wants & 0x03 == BONDING;
    if !types || *out_of_band != 0 || *key != FULL_KEY || !bonds {
        *wants &= !SECURE_CONNECTIONS;
    }
}

/// Whether a message may reach the host: a request must be whole, so that it can be looked at.
pub(super) fn is_well_formed(len: usize, here: &[u8]) -> bool {
    let is_request = here.first() == Some(&PAIRING_REQUEST);
    len <= MAX_LEN && (!is_request || (len == LEN && here.len() == LEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRONG: [u8; LEN] = [1, KEYBOARD_ONLY, 0, 0x0d, 16, 3, 3];

    fn is_refused(request: [u8; LEN]) -> bool {
        let mut seen = request;
        refuse_weak(&mut seen);
        seen[3] & SECURE_CONNECTIONS == 0
    }

    /// S12. Guards: a bond that needs no passkey, and whose address nobody typed a code for.
    #[test]
    fn s12_request_without_keyboard_or_full_key_cannot_be_granted() {
        assert!(!is_refused(STRONG));
        let mut with_display = STRONG;
        with_display[1] = KEYBOARD_DISPLAY;
        assert!(!is_refused(with_display));
        // Display only, display and yes/no, nothing; out-of-band data; 7 and 15 bytes; no bond; legacy.
        for (at, value) in [
            (1, 0),
            (1, 1),
            (1, 3),
            (2, 1),
            (4, 7),
            (4, 15),
            (4, 17),
            (3, 0x0c),
            (3, 0x05),
        ] {
            let mut request = STRONG;
            request[at] = value;
            assert!(is_refused(request), "{request:?}");
        }
    }

    #[test]
    fn request_in_two_pieces_or_of_another_length_is_malformed() {
        assert!(is_well_formed(LEN, &STRONG));
        assert!(!is_well_formed(LEN, &STRONG[..4]));
        assert!(!is_well_formed(LEN + 1, &STRONG));
        assert!(is_well_formed(MAX_LEN, &[0x0c; 20]));
        assert!(!is_well_formed(MAX_LEN + 1, &[0x0c; 20]));
    }
}
