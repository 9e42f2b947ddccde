//! The text of the code on a lock.
//!
//! An even first byte: the rest is text. An odd one: the fields of a code, whose text is then damaged.

use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::keys::{IdentityKey, LinkKey};
use drawbridge_protocol::qr::{QR_TEXT_LEN, QrCode, QrError};
use drawbridge_protocol::secret::SetupSecret;
use drawbridge_protocol::ticket::{MAX_TICKET, PairingTicket};

use crate::input::Input;

/// One code has one text; a changed character is told from a wrong code.
///
/// # Panics
/// When that does not hold.
pub fn codes(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    if choice % 2 == 0 {
        if let Ok(text) = std::str::from_utf8(bytes) {
            read(text);
        }
    } else {
        write(Input::new(bytes));
    }
}

fn read(text: &str) {
    let Ok(code) = QrCode::from_text(text) else {
        return;
    };
    let compact: String = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace() && *c != '-')
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let mut out = [0; QR_TEXT_LEN];
    assert_eq!(code.to_text(&mut out), Ok(compact.as_str()));
    assert!(code.identity.check().is_ok() && code.link.check().is_ok());
    let ticket = code.ticket();
    assert!(ticket.passkey < 1_000_000);
    let mut out = [0; MAX_TICKET];
    let bytes = ticket.encode(&mut out).expect("tickets fit");
    assert_eq!(PairingTicket::decode(bytes), Ok(ticket));
}

fn write(mut input: Input<'_>) {
    let code = QrCode {
        model: input.short(),
        lock: LockId(input.array()),
        link: LinkKey(input.array()),
        identity: IdentityKey(input.array()),
        secret: SetupSecret::new(input.array()),
    };
    let mut out = [0; QR_TEXT_LEN];
    let text = code
        .to_text(&mut out)
        .expect("it has one length")
        .to_owned();
    let sound = code.identity.check().is_ok() && code.link.check().is_ok();
    match QrCode::from_text(&text) {
        Ok(again) => assert!(sound && again == code),
        Err(error) => assert!(!sound && matches!(error, QrError::Key(_)), "{error:?}"),
    }
    let at = input.below(QR_TEXT_LEN);
    let wrong = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[input.below(32)];
    let mut misread = text.clone().into_bytes();
    misread[at] = wrong;
    let misread = String::from_utf8(misread).expect("ASCII for ASCII");
    if misread != text {
        assert!(QrCode::from_text(&misread).is_err(), "character {at}");
    }
}
