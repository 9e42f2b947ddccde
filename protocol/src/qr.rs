//! The code on a lock, as text: what a camera reads and what can be typed.
//!
//! `DB1:` and then unpadded upper-case Base32 (RFC 4648) of: model (2 bytes, big-endian), lock id
//! (8), X25519 key (32), Ed25519 key (32), setup secret (16), and the first 4 bytes of SHA-256 of
//! `DB1:` and all of that, so that a mistyped code is told from a wrong one. Only characters of a
//! QR code's alphanumeric mode are used.

use core::fmt;

use base32ct::{Base32UpperUnpadded, Encoding};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::ids::LockId;
use crate::keys::{IdentityKey, KeyError, LinkKey};
use crate::secret::{SetupKeys, SetupSecret};
use crate::ticket::PairingTicket;

/// What every code of this version begins with.
const PREFIX: &str = "DB1:";
const BODY: usize = 2 + 8 + 32 + 32 + 16;
const RAW: usize = BODY + 4;

/// Length of the text, in characters.
pub const QR_TEXT_LEN: usize = PREFIX.len() + (RAW * 8).div_ceil(5);

/// A text that is not the code of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QrError {
    /// Does not begin with `DB1:`.
    NotALockCode,
    /// Too short, too long, or with characters that no code has.
    Unreadable,
    /// The check at its end does not match: a character was misread.
    Mistyped,
    /// The keys in it must not be trusted.
    Key(KeyError),
}

impl fmt::Display for QrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotALockCode => "recognise the code of a lock (it begins with DB1:)",
            Self::Unreadable => "read the code: characters are missing or wrong",
            Self::Mistyped => "match the check at the end of the code: a character was misread",
            Self::Key(_) => "accept the keys in the code",
        })
    }
}

impl core::error::Error for QrError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Key(error) => Some(error),
            _ => None,
        }
    }
}

/// What the code says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QrCode {
    /// The maker's number for the model.
    pub model: u16,
    /// Which lock.
    pub lock: LockId,
    /// The lock's end of sessions.
    pub link: LinkKey,
    /// Signs what the lock says.
    pub identity: IdentityKey,
    /// Proves that whoever pairs has seen the code.
    pub secret: SetupSecret,
}

impl QrCode {
    /// Writes the text at the start of `out`, which must hold [`QR_TEXT_LEN`] bytes.
    ///
    /// # Errors
    /// [`QrError::Unreadable`] when `out` is too small.
    pub fn to_text<'o>(&self, out: &'o mut [u8]) -> Result<&'o str, QrError> {
        let mut raw = [0; RAW];
        let parts: [&[u8]; 5] = [
            &self.model.to_be_bytes(),
            self.lock.as_bytes(),
            self.link.as_bytes(),
            self.identity.as_bytes(),
            self.secret.danger_as_bytes(),
        ];
        for (to, from) in raw.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        let (body, check) = raw.split_at_mut(BODY);
        check.copy_from_slice(&check_bytes(body));
        let out = out.get_mut(..QR_TEXT_LEN).ok_or(QrError::Unreadable)?;
        let (prefix, encoded) = out.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX.as_bytes());
        let written = Base32UpperUnpadded::encode(&raw, encoded).map(|_| ());
        raw.zeroize();
        written.map_err(|_| QrError::Unreadable)?;
        core::str::from_utf8(out).map_err(|_| QrError::Unreadable)
    }

    /// Reads the text; blanks, dashes and letter case do not matter.
    ///
    /// # Errors
    /// [`QrError`].
    pub fn from_text(text: &str) -> Result<Self, QrError> {
        let mut compact = Zeroizing::new([0; QR_TEXT_LEN]);
        let mut len = 0;
        for byte in text
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'-')
        {
            *compact.get_mut(len).ok_or(QrError::Unreadable)? = byte.to_ascii_uppercase();
            len += 1;
        }
        let encoded = compact
            .strip_prefix(PREFIX.as_bytes())
            .ok_or(QrError::NotALockCode)?;
        if len != QR_TEXT_LEN {
            return Err(QrError::Unreadable);
        }
        let mut raw = Zeroizing::new([0; RAW]);
        Base32UpperUnpadded::decode(encoded, &mut *raw).map_err(|_| QrError::Unreadable)?;
        let code = Self::from_raw(&raw)?;
        // The last character carries three bits that mean nothing: one code has one text.
        let mut same = Zeroizing::new([0; QR_TEXT_LEN]);
        if code.to_text(&mut *same)?.as_bytes() == compact.as_slice() {
            Ok(code)
        } else {
            Err(QrError::Mistyped)
        }
    }

    fn from_raw(raw: &[u8; RAW]) -> Result<Self, QrError> {
        let (body, check) = raw.split_at(BODY);
        if check != check_bytes(body) {
            return Err(QrError::Mistyped);
        }
        let mut fields = Fields(body);
        let code = Self {
            model: u16::from_be_bytes(fields.take()?),
            lock: LockId(fields.take()?),
            link: LinkKey(fields.take()?),
            identity: IdentityKey(fields.take()?),
            secret: SetupSecret::new(fields.take()?),
        };
        code.identity.check().map_err(QrError::Key)?;
        code.link.check().map_err(QrError::Key)?;
        Ok(code)
    }

    /// Everything that follows from the setup secret; for the owner's device only.
    #[must_use]
    pub fn keys(&self) -> SetupKeys {
        SetupKeys::derive(self.lock, &self.secret)
    }

    /// What a hub may have of the code: enough to pair, not enough to own.
    #[must_use]
    pub fn ticket(&self) -> PairingTicket {
        let keys = self.keys();
        PairingTicket {
            model: self.model,
            lock: self.lock,
            link: self.link,
            identity: self.identity,
            pair_psk: keys.pair_psk,
            passkey: keys.passkey,
            beacon_key: keys.beacon_key,
        }
    }
}

/// Fixed-size fields, one after the other.
struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], QrError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(QrError::Unreadable)?;
        self.0 = rest;
        Ok(*field)
    }
}

fn check_bytes(body: &[u8]) -> [u8; 4] {
    let digest: [u8; 32] = Sha256::new_with_prefix(PREFIX.as_bytes())
        .chain_update(body)
        .finalize()
        .into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}
