//! COSE envelopes (RFC 9052): `COSE_Sign1` with Ed25519 and `COSE_Mac0` with HMAC-SHA-256.
//!
//! The protected header of each kind of statement is one constant byte string: algorithm (label 1)
//! and type (label 16, RFC 9596). A statement of one kind can therefore never pass for another,
//! and nothing about the algorithm is negotiated.

use core::fmt;

use minicbor::Encoder;
use minicbor::decode::Decoder;
use minicbor::encode::write::Cursor;
use subtle::ConstantTimeEq;

use crate::codec::CodecError;
use crate::keys::{IdentityKey, IdentitySecret};
use crate::mac::hmac_sha256;

/// The longest payload of a statement, in bytes: the largest one, a claim with four peers, fits.
pub const MAX_PAYLOAD: usize = 640;

/// The longest statement: tag, array, protected header, lengths, payload, 64 bytes of signature.
pub const MAX_STATEMENT: usize = MAX_PAYLOAD + 84;

/// `Signature1` structure around the longest payload.
const MAX_TO_BE_SIGNED: usize = MAX_PAYLOAD + 32;

/// What a statement says: its type number, in the range that RFC 7252 section 12.3 leaves for
/// experiments (65000 and up), carried in the protected header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// A request to act: [`crate::command`].
    Command,
    /// A statement of rights: [`crate::grant`].
    Grant,
    /// What takes ownership; a MAC, not a signature: [`crate::claim`].
    Claim,
    /// The lock's answer to a claim: [`crate::receipt`].
    Receipt,
    /// Where the lock stands: [`crate::session_info`].
    SessionInfo,
    /// What became of a command: [`crate::outcome`].
    Outcome,
    /// What the lock senses: [`crate::report`].
    Report,
    /// Leave to free log records: [`crate::audit_ack`].
    AuditAck,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Command,
        Self::Grant,
        Self::Claim,
        Self::Receipt,
        Self::SessionInfo,
        Self::Outcome,
        Self::Report,
        Self::AuditAck,
    ];

    const fn type_number(self) -> u16 {
        match self {
            Self::Command => 65_001,
            Self::Grant => 65_002,
            Self::Claim => 65_003,
            Self::Receipt => 65_004,
            Self::SessionInfo => 65_005,
            Self::Outcome => 65_006,
            Self::Report => 65_007,
            Self::AuditAck => 65_008,
        }
    }

    /// `{1: alg, 16: type}`; alg -19 is Ed25519 (RFC 9864), 5 is HMAC 256/256 (RFC 9053).
    const fn protected(self) -> [u8; 7] {
        let [high, low] = self.type_number().to_be_bytes();
        let alg = if matches!(self, Self::Claim) {
            0x05
        } else {
            0x32
        };
        [0xa2, 0x01, alg, 0x10, 0x19, high, low]
    }
}

/// An envelope that is not authentic or not an envelope of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CoseError {
    /// Not the one encoding of an envelope of this kind, or too long.
    Form,
    /// The signature or MAC does not match.
    NotAuthentic,
}

impl fmt::Display for CoseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "read a signed statement of the expected kind",
            Self::NotAuthentic => "verify the signature of a statement",
        })
    }
}

impl core::error::Error for CoseError {}

impl From<CodecError> for CoseError {
    fn from(_: CodecError) -> Self {
        Self::Form
    }
}

/// An envelope taken apart, not yet verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'b> {
    kind: Kind,
    payload: &'b [u8],
    seal: &'b [u8],
}

impl<'b> Envelope<'b> {
    /// Takes `bytes` apart: exactly one encoding is accepted, nothing may follow it.
    ///
    /// # Errors
    /// [`CoseError::Form`].
    pub fn parse(kind: Kind, bytes: &'b [u8]) -> Result<Self, CoseError> {
        let seal_len = if kind == Kind::Claim { 32 } else { 64 };
        let tag: &[u8] = if kind == Kind::Claim {
            &[0xd1]
        } else {
            &[0xd2]
        };
        let rest = bytes.strip_prefix(tag).ok_or(CoseError::Form)?;
        let rest = rest.strip_prefix(&[0x84, 0x47]).ok_or(CoseError::Form)?;
        let rest = rest
            .strip_prefix(&kind.protected())
            .ok_or(CoseError::Form)?;
        let rest = rest.strip_prefix(&[0xa0]).ok_or(CoseError::Form)?;
        let mut decoder = Decoder::new(rest);
        let payload = decoder.bytes().map_err(|_| CoseError::Form)?;
        let seal = decoder.bytes().map_err(|_| CoseError::Form)?;
        let heads = bytes_head(payload.len()) + bytes_head(seal_len);
        // The sum of shortest heads and contents: a longer head or trailing bytes do not fit it.
        let canonical = rest.len() == heads + payload.len() + seal.len();
        if payload.len() > MAX_PAYLOAD || seal.len() != seal_len || !canonical {
            return Err(CoseError::Form);
        }
        Ok(Self {
            kind,
            payload,
            seal,
        })
    }

    /// The payload, **not verified**: only to find out who is said to have signed it.
    #[must_use]
    pub const fn unverified_payload(&self) -> &'b [u8] {
        self.payload
    }

    /// The payload, if `key` signed it.
    ///
    /// # Errors
    /// [`CoseError::NotAuthentic`].
    pub fn verify(&self, key: &IdentityKey) -> Result<&'b [u8], CoseError> {
        let signature = self.seal.try_into().map_err(|_| CoseError::Form)?;
        let mut buffer = [0; MAX_TO_BE_SIGNED];
        let message = to_be_sealed(self.kind, self.payload, &mut buffer)?;
        if key.verifies(message, signature) {
            Ok(self.payload)
        } else {
            Err(CoseError::NotAuthentic)
        }
    }

    /// The payload, if whoever knows `key` made the MAC over it (compared in constant time).
    ///
    /// # Errors
    /// [`CoseError::NotAuthentic`].
    pub fn verify_mac(&self, key: &[u8; 32]) -> Result<&'b [u8], CoseError> {
        let mut buffer = [0; MAX_TO_BE_SIGNED];
        let message = to_be_sealed(self.kind, self.payload, &mut buffer)?;
        let same = hmac_sha256(key, message).ct_eq(self.seal);
        if same.into() {
            Ok(self.payload)
        } else {
            Err(CoseError::NotAuthentic)
        }
    }
}

/// Writes the statement of `kind` over `payload`, signed by `secret`, at the start of `out`.
///
/// # Errors
/// [`CodecError::TooLong`] when the payload is over [`MAX_PAYLOAD`] or `out` too small.
pub fn sign1<'o>(
    kind: Kind,
    payload: &[u8],
    secret: &IdentitySecret,
    out: &'o mut [u8],
) -> Result<&'o [u8], CodecError> {
    let mut buffer = [0; MAX_TO_BE_SIGNED];
    let signature = secret.sign(to_be_sealed(kind, payload, &mut buffer)?);
    write_envelope(kind, 18, payload, &signature, out)
}

/// Writes the statement of `kind` over `payload` with a MAC under `key`, at the start of `out`.
///
/// # Errors
/// [`CodecError::TooLong`] when the payload is over [`MAX_PAYLOAD`] or `out` too small.
pub fn mac0<'o>(
    kind: Kind,
    payload: &[u8],
    key: &[u8; 32],
    out: &'o mut [u8],
) -> Result<&'o [u8], CodecError> {
    let mut buffer = [0; MAX_TO_BE_SIGNED];
    let tag = hmac_sha256(key, to_be_sealed(kind, payload, &mut buffer)?);
    write_envelope(kind, 17, payload, &tag, out)
}

/// `Sig_structure` and `MAC_structure` (RFC 9052 sections 4.4 and 6.3), external data empty.
fn to_be_sealed<'o>(
    kind: Kind,
    payload: &[u8],
    out: &'o mut [u8; MAX_TO_BE_SIGNED],
) -> Result<&'o [u8], CodecError> {
    if payload.len() > MAX_PAYLOAD {
        return Err(CodecError::TooLong);
    }
    let context = if kind == Kind::Claim {
        "MAC0"
    } else {
        "Signature1"
    };
    written(out, |e| {
        e.array(4)?
            .str(context)?
            .bytes(&kind.protected())?
            .bytes(&[])?
            .bytes(payload)?
            .ok()
    })
}

fn write_envelope<'o>(
    kind: Kind,
    tag: u64,
    payload: &[u8],
    seal: &[u8],
    out: &'o mut [u8],
) -> Result<&'o [u8], CodecError> {
    written(out, |e| {
        e.tag(minicbor::data::Tag::new(tag))?.array(4)?;
        e.bytes(&kind.protected())?
            .map(0)?
            .bytes(payload)?
            .bytes(seal)?
            .ok()
    })
}

type SliceEncoder<'o> = Encoder<Cursor<&'o mut [u8]>>;
type SliceError = minicbor::encode::Error<minicbor::encode::write::EndOfSlice>;

fn written(
    out: &mut [u8],
    fill: impl FnOnce(&mut SliceEncoder<'_>) -> Result<(), SliceError>,
) -> Result<&[u8], CodecError> {
    let mut encoder = Encoder::new(Cursor::new(&mut *out));
    fill(&mut encoder).map_err(|_| CodecError::TooLong)?;
    let len = encoder.writer().position();
    out.get(..len).ok_or(CodecError::TooLong)
}

/// Size of the shortest head of a byte string of `len` bytes.
const fn bytes_head(len: usize) -> usize {
    match len {
        0..=23 => 1,
        24..=255 => 2,
        _ => 3,
    }
}
