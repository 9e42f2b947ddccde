//! No statement of one kind passes for another.
//!
//! Guards: a signature over the right bytes in the wrong place (a report taken for an outcome, an
//! audit acknowledgement for a command), the classic of untyped signed formats.

use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::claim::Claim;
use drawbridge_protocol::codec::CodecError;
use drawbridge_protocol::command::Command;
use drawbridge_protocol::cose::{CoseError, Envelope, Kind, mac0, sign1};
use drawbridge_protocol::grant::Grant;
use drawbridge_protocol::ids::Digest32;
use drawbridge_protocol::keys::{IdentityKey, IdentitySecret};
use drawbridge_protocol::log_record::LogRecord;
use drawbridge_protocol::outcome::Outcome;
use drawbridge_protocol::receipt::Receipt;
use drawbridge_protocol::report::Report;
use drawbridge_protocol::secret::ClaimKey;
use drawbridge_protocol::session_info::SessionInfo;

use crate::examples;
use crate::fixture::{self, Shape};

/// Verifies `bytes` as `kind` under one key for all, and says only whether and why not.
pub(crate) fn verify(
    kind: Kind,
    bytes: &[u8],
    key: &IdentityKey,
    claim_key: &ClaimKey,
) -> Result<(), CoseError> {
    match kind {
        Kind::Command => Command::read(bytes).and_then(|read| read.verify(key)),
        Kind::Grant => Grant::verify(bytes).and_then(|verified| {
            if verified.grant.issuer == *key {
                Ok(())
            } else {
                Err(CoseError::NotAuthentic)
            }
        }),
        Kind::Claim => Claim::verify(bytes, claim_key).map(drop),
        Kind::Receipt => Receipt::verify(bytes, key).map(drop),
        Kind::SessionInfo => SessionInfo::verify(bytes, key).map(drop),
        Kind::Outcome => Outcome::verify(bytes, key).map(drop),
        Kind::Report => Report::verify(bytes, key).map(drop),
        Kind::AuditAck => AuditAck::verify(bytes, key).map(drop),
        other => panic!("{other:?} has no verifier here"),
    }
}

/// Whose key signs a statement of `kind` in the fixture.
pub(crate) fn signer(kind: Kind) -> IdentitySecret {
    match kind {
        Kind::Command | Kind::Grant | Kind::Claim => fixture::owner_identity(),
        Kind::AuditAck => fixture::audit_identity(),
        _ => fixture::lock_identity(),
    }
}

/// The same payload as a statement of `kind`, sealed with every key that the kind asks for.
pub(crate) fn reseal(kind: Kind, payload: &[u8], secret: &IdentitySecret) -> Vec<u8> {
    if kind == Kind::Claim {
        let key = fixture::claim_key();
        fixture::bytes(|out| mac0(kind, payload, key.danger_as_bytes(), out))
    } else {
        fixture::bytes(|out| sign1(kind, payload, secret, out))
    }
}

/// The payload of the fixture's statement of `kind`.
pub(crate) fn payload(kind: Kind, shape: Shape) -> Vec<u8> {
    let statement = examples::statement(kind, shape);
    let envelope = Envelope::parse(kind, &statement).expect("our own");
    envelope.unverified_payload().to_vec()
}

#[test]
fn no_kind_is_read_as_another() {
    for shape in [Shape::Plain, Shape::Full] {
        for made in Kind::ALL {
            let statement = examples::statement(made, shape);
            let key = signer(made).public();
            for read in Kind::ALL {
                let verdict = verify(read, &statement, &key, &fixture::claim_key());
                if read == made {
                    assert_eq!(verdict, Ok(()), "{made:?}");
                } else {
                    assert_eq!(verdict, Err(CoseError::Form), "{made:?} as {read:?}");
                }
            }
        }
    }
}

#[test]
fn a_seal_does_not_move_to_another_kind() {
    // The attacker takes payload and seal of one kind and writes the header of another around them.
    for made in Kind::ALL {
        let statement = examples::statement(made, Shape::Plain);
        let payload = payload(made, Shape::Plain);
        let seal_len = if made == Kind::Claim { 32 } else { 64 };
        let seal = &statement[statement.len() - seal_len..];
        for other in Kind::ALL.into_iter().filter(|other| *other != made) {
            let mut forged = reseal(other, &payload, &fixture::hub_identity());
            let at = forged.len() - if other == Kind::Claim { 32 } else { 64 };
            let same_size = forged.len() - at == seal_len;
            forged.truncate(at);
            forged.extend(seal);
            let envelope = Envelope::parse(other, &forged);
            if !same_size {
                assert_eq!(envelope.unwrap_err(), CoseError::Form);
                continue;
            }
            let envelope = envelope.expect("the form is right");
            assert_eq!(
                envelope.verify(&signer(made).public()).unwrap_err(),
                CoseError::NotAuthentic,
                "{made:?} as {other:?}"
            );
        }
    }
}

#[test]
fn a_payload_signed_as_another_kind_is_no_statement_of_it() {
    // Even the right key over the right header: the fields are not those of the kind. The maps
    // differ in keys or types, so that no payload means something twice.
    let mut accepted = Vec::new();
    for made in Kind::ALL {
        for shape in [Shape::Plain, Shape::Full] {
            let payload = payload(made, shape);
            for other in Kind::ALL.into_iter().filter(|other| *other != made) {
                let secret = signer(made);
                let resealed = reseal(other, &payload, &secret);
                let verdict = verify(other, &resealed, &secret.public(), &fixture::claim_key());
                if verdict.is_ok() {
                    accepted.push((made, other));
                }
            }
        }
    }
    assert_eq!(accepted, []);
}

#[test]
fn a_mac_is_no_signature_and_a_signature_no_mac() {
    let claim = examples::statement(Kind::Claim, Shape::Plain);
    let envelope = Envelope::parse(Kind::Claim, &claim).unwrap();
    assert!(
        envelope
            .verify(&fixture::owner_identity().public())
            .is_err()
    );
    let signed = fixture::bytes(|out| {
        sign1(
            Kind::Claim,
            &payload(Kind::Claim, Shape::Plain),
            &fixture::owner_identity(),
            out,
        )
    });
    assert_eq!(
        Claim::verify(&signed, &fixture::claim_key()).unwrap_err(),
        CoseError::Form
    );
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Claim) {
        let statement = examples::statement(kind, Shape::Plain);
        let envelope = Envelope::parse(kind, &statement).unwrap();
        assert!(envelope.verify_mac(&[0x11; 32]).is_err());
    }
}

#[test]
fn a_statement_is_no_log_record_and_a_log_record_no_statement() {
    for shape in [Shape::Plain, Shape::Full] {
        for kind in Kind::ALL {
            assert!(LogRecord::decode(&examples::statement(kind, shape)).is_err());
            assert!(LogRecord::decode(&payload(kind, shape)).is_err());
        }
    }
    for record in examples::chain() {
        for kind in Kind::ALL {
            let key = fixture::lock_identity().public();
            assert!(verify(kind, &record, &key, &fixture::claim_key()).is_err());
        }
    }
}

#[test]
fn a_stranger_signs_nothing_that_verifies() {
    let stranger = IdentitySecret::from_bytes(&[0x51; 32]);
    let wrong_claim_key = ClaimKey::new([0x51; 32]);
    for kind in Kind::ALL {
        let forged = reseal(kind, &payload(kind, Shape::Plain), &stranger);
        let key = signer(kind).public();
        assert_eq!(
            verify(kind, &forged, &key, &wrong_claim_key).unwrap_err(),
            CoseError::NotAuthentic,
            "{kind:?}"
        );
    }
}

#[test]
fn a_statement_over_its_bound_is_neither_made_nor_read() {
    use drawbridge_protocol::cose::MAX_PAYLOAD;
    let secret = fixture::owner_identity();
    let mut out = [0; 2_048];
    let at_bound = sign1(Kind::Grant, &[0; MAX_PAYLOAD], &secret, &mut out).unwrap();
    assert!(Envelope::parse(Kind::Grant, at_bound).is_ok());
    let over = sign1(Kind::Grant, &[0; MAX_PAYLOAD + 1], &secret, &mut out);
    assert_eq!(over.unwrap_err(), CodecError::TooLong);
    let mut small = [0; 100];
    assert_eq!(
        sign1(Kind::Grant, &[0; 60], &secret, &mut small).unwrap_err(),
        CodecError::TooLong
    );
    assert_eq!(Digest32::of(b"").0[0], 0xe3, "SHA-256 of nothing");
}
