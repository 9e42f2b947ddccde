//! The code on a lock survives people: it is typed, wrapped, lower-cased and misread.
//!
//! Guards: a setup that goes on with a misread key and fails minutes later with a reason that
//! sends the owner the wrong way; and a code whose keys everybody can compute.

use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::keys::{IdentityKey, IdentitySecret, KeyError, LinkKey, LinkSecret};
use drawbridge_protocol::qr::{QR_TEXT_LEN, QrCode, QrError};
use drawbridge_protocol::secret::SetupSecret;
use proptest::prelude::any;

use crate::fixture;
use crate::lane::{Dice, Rounds, runner};

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn text(code: &QrCode) -> String {
    let mut out = [0; QR_TEXT_LEN];
    code.to_text(&mut out).unwrap().to_owned()
}

fn random(dice: &mut Dice) -> QrCode {
    QrCode {
        model: dice.next() as u16,
        lock: LockId(dice.bytes()),
        link: LinkSecret::generate(dice).public(),
        identity: IdentitySecret::generate(dice).public(),
        secret: SetupSecret::generate(dice),
    }
}

#[test]
fn every_single_mistyped_character_is_noticed() {
    let text = text(&fixture::code());
    let mut tried = 0;
    for at in 0..text.len() {
        for other in ALPHABET.iter().chain(b":018 9!") {
            let mut typed = text.clone().into_bytes();
            if typed[at] == *other {
                continue;
            }
            typed[at] = *other;
            let typed = String::from_utf8(typed).unwrap();
            let error = QrCode::from_text(&typed).unwrap_err();
            assert!(
                !matches!(error, QrError::Key(_)),
                "{at}: {typed} was believed"
            );
            tried += 1;
        }
    }
    assert!(tried > 155 * 30);
}

#[test]
fn every_lost_doubled_or_swapped_character_is_noticed() {
    let text = text(&fixture::code());
    for at in 0..text.len() {
        let mut lost = text.clone();
        lost.remove(at);
        assert!(QrCode::from_text(&lost).is_err());
        let mut doubled = text.clone();
        doubled.insert(at, text.as_bytes()[at] as char);
        assert!(QrCode::from_text(&doubled).is_err());
        if let Some((one, other)) = text.as_bytes().get(at).zip(text.as_bytes().get(at + 1))
            && one != other
        {
            let mut swapped = text.clone().into_bytes();
            swapped.swap(at, at + 1);
            assert!(QrCode::from_text(&String::from_utf8(swapped).unwrap()).is_err());
        }
    }
}

#[test]
fn letter_case_blanks_dashes_and_line_ends_do_not_matter() {
    let code = fixture::code();
    let text = text(&code);
    let mut wrapped = String::from("\t ");
    for (at, letter) in text.chars().enumerate() {
        if at > 0 && at % 5 == 0 {
            wrapped.push_str(["-", " ", "\r\n", " - "][at / 5 % 4]);
        }
        wrapped.push(if at % 2 == 0 {
            letter.to_ascii_lowercase()
        } else {
            letter
        });
    }
    wrapped.push('\n');
    for typed in [text.to_lowercase(), wrapped] {
        assert_eq!(QrCode::from_text(&typed), Ok(code.clone()), "{typed:?}");
    }
}

#[test]
fn every_code_is_read_back_and_fits_a_qr_codes_alphanumeric_mode() {
    let rounds = Rounds::of("qr round trips", 200, 5_000);
    let mut dice = Dice::new("qr");
    for _ in 0..rounds.run {
        let code = random(&mut dice);
        let text = text(&code);
        assert_eq!(text.len(), QR_TEXT_LEN);
        assert!(
            text.bytes()
                .all(|byte| byte == b':' || ALPHABET.contains(&byte) || byte == b'1')
        );
        assert_eq!(QrCode::from_text(&text), Ok(code));
    }
}

#[test]
fn no_text_from_anywhere_is_taken_for_a_code() {
    let rounds = Rounds::of("qr hostile texts", 1_000, 20_000);
    runner(&rounds)
        .run(&any::<String>(), |typed| {
            assert!(QrCode::from_text(&typed).is_err());
            assert!(QrCode::from_text(&format!("DB1:{typed}")).is_err());
            Ok(())
        })
        .unwrap();
    for typed in [
        "",
        "DB1:",
        "DB2:AAAA",
        "http://db1",
        "\u{202e}DB1:AAAA",
        "DB1:\0",
    ] {
        assert!(QrCode::from_text(typed).is_err());
    }
    assert_eq!(QrCode::from_text("").unwrap_err(), QrError::NotALockCode);
    assert_eq!(
        QrCode::from_text("DB1:AAAA").unwrap_err(),
        QrError::Unreadable
    );
    let long = "DB1:".to_owned() + &"A".repeat(1_000_000);
    assert_eq!(QrCode::from_text(&long).unwrap_err(), QrError::Unreadable);
}

#[test]
fn a_code_with_keys_that_everybody_knows_is_refused() {
    let mut code = fixture::code();
    code.link = LinkKey([0; 32]);
    assert_eq!(
        QrCode::from_text(&text(&code)).unwrap_err(),
        QrError::Key(KeyError::Weak)
    );
    let mut code = fixture::code();
    let mut neutral = [0; 32];
    neutral[0] = 1;
    code.identity = IdentityKey(neutral);
    assert_eq!(
        QrCode::from_text(&text(&code)).unwrap_err(),
        QrError::Key(KeyError::Weak)
    );
    let mut code = fixture::code();
    let mut nowhere = [0; 32];
    nowhere[0] = 2;
    code.identity = IdentityKey(nowhere);
    assert_eq!(
        QrCode::from_text(&text(&code)).unwrap_err(),
        QrError::Key(KeyError::NotAKey)
    );
}

#[test]
fn a_buffer_that_is_too_small_holds_no_code() {
    let code = fixture::code();
    for len in 0..QR_TEXT_LEN {
        assert!(code.to_text(&mut vec![0; len]).is_err());
    }
}
