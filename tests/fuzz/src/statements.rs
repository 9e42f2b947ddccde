//! Signed statements of every kind: envelopes as they come, and payloads under a right signature.
//!
//! The first byte chooses the kind (low three bits) and whether the rest is a whole statement or a
//! payload that is sealed here (high bit): a fuzzer never guesses a signature.

use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::claim::Claim;
use drawbridge_protocol::codec::CodecError;
use drawbridge_protocol::command::Command;
use drawbridge_protocol::cose::{
    CoseError, Envelope, Kind, MAX_PAYLOAD, MAX_STATEMENT, mac0, sign1,
};
use drawbridge_protocol::grant::Grant;
use drawbridge_protocol::keys::IdentitySecret;
use drawbridge_protocol::outcome::Outcome;
use drawbridge_protocol::receipt::Receipt;
use drawbridge_protocol::report::Report;
use drawbridge_protocol::session_info::SessionInfo;

use crate::parties;

/// Statements may only be taken in their one encoding, only under the right key, and no flipped bit
/// may leave them authentic.
///
/// # Panics
/// When one of that does not hold.
pub fn statements(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    let kind = Kind::ALL[usize::from(choice & 7)];
    if choice & 0x80 == 0 {
        whole(kind, bytes);
    } else if let Some(sealed) = seal(kind, bytes) {
        assert!(bytes.len() <= MAX_PAYLOAD && sealed.len() <= MAX_STATEMENT);
        whole(kind, &sealed);
    } else {
        assert!(bytes.len() > MAX_PAYLOAD);
    }
}

fn whole(kind: Kind, bytes: &[u8]) {
    let envelope = Envelope::parse(kind, bytes);
    let read = read(kind, bytes);
    let Ok(envelope) = envelope else {
        assert_eq!(read, Err(CoseError::Form));
        return;
    };
    // One encoding: everything before the seal is what we would have written ourselves.
    let sealed = seal(kind, envelope.unverified_payload()).expect("it fitted once");
    let head = bytes.len() - if kind == Kind::Claim { 32 } else { 64 };
    assert_eq!(bytes[..head], sealed[..head]);
    for other in Kind::ALL {
        assert!(other == kind || Envelope::parse(other, bytes).is_err());
    }
    let Ok(again) = read else { return };
    // What verifies was sealed with the one right key, hence is what we would have sealed.
    assert_eq!(bytes, sealed);
    if may_grow(kind) {
        let value = self::read(kind, &again).expect("our own encoding");
        assert_eq!(value, again);
    } else {
        assert_eq!(again, bytes);
    }
    // Some bit, another one for other bytes.
    let sum = bytes.iter().fold(bytes.len(), |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    let bit = sum % (bytes.len() * 8);
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    assert!(self::read(kind, &flipped).is_err(), "bit {bit} is free");
}

/// Whether a later version's keys are skipped.
fn may_grow(kind: Kind) -> bool {
    matches!(kind, Kind::SessionInfo | Kind::Outcome | Kind::Report)
}

fn signer(kind: Kind) -> IdentitySecret {
    match kind {
        Kind::Command | Kind::Grant | Kind::Claim => parties::owner_identity(),
        Kind::AuditAck => parties::audit_identity(),
        _ => parties::lock_identity(),
    }
}

fn seal(kind: Kind, payload: &[u8]) -> Option<Vec<u8>> {
    let mut out = [0; MAX_STATEMENT];
    let sealed = if kind == Kind::Claim {
        mac0(
            kind,
            payload,
            parties::claim_key().danger_as_bytes(),
            &mut out,
        )
    } else {
        sign1(kind, payload, &signer(kind), &mut out)
    };
    sealed.ok().map(<[u8]>::to_vec)
}

/// Reads and verifies; what was understood is sealed again.
fn read(kind: Kind, bytes: &[u8]) -> Result<Vec<u8>, CoseError> {
    let secret = signer(kind);
    let key = secret.public();
    let mut out = [0; MAX_STATEMENT];
    let again: Result<&[u8], CodecError> = match kind {
        Kind::Command => {
            let read = Command::read(bytes)?;
            read.verify(&key)?;
            read.command.sign(&secret, &mut out)
        }
        Kind::Grant => {
            let verified = Grant::verify(bytes)?;
            if verified.grant.issuer != key {
                return Err(CoseError::NotAuthentic);
            }
            verified.grant.sign(&secret, &mut out)
        }
        Kind::Claim => {
            Claim::verify(bytes, &parties::claim_key())?.seal(&parties::claim_key(), &mut out)
        }
        Kind::Receipt => Receipt::verify(bytes, &key)?.sign(&secret, &mut out),
        Kind::SessionInfo => SessionInfo::verify(bytes, &key)?.sign(&secret, &mut out),
        Kind::Outcome => Outcome::verify(bytes, &key)?.sign(&secret, &mut out),
        Kind::Report => Report::verify(bytes, &key)?.sign(&secret, &mut out),
        Kind::AuditAck => AuditAck::verify(bytes, &key)?.sign(&secret, &mut out),
        other => panic!("{other:?} has no reader here"),
    };
    Ok(again
        .expect("what was read fits what it was read from")
        .to_vec())
}
