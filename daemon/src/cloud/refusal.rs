//! Why we did not talk to the broker, or it not to us, at the level of TLS.
//!
//! Each case has its own text, because "handshake failed" sends an operator in circles
//! (assurance S21).

use std::io;

use rustls::{AlertDescription, CertificateError};

use super::trust::Date;
use super::witness::Witness;

/// A refused TLS connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Signed by a CA that is not ours.
    #[error("checking the broker's certificate: it is not signed by a CA in our CA file")]
    UnknownIssuer,
    /// Signed by itself.
    #[error("checking the broker's certificate: it is self-signed and not in our CA file")]
    SelfSigned,
    /// For another host.
    #[error("checking the broker's certificate: it is not for '{expected}' but for {presented}")]
    WrongName {
        /// The name we were told to expect.
        expected: String,
        /// The names in the certificate.
        presented: String,
    },
    /// Over.
    #[error("checking the broker's certificate: it expired on {not_after}")]
    Expired {
        /// When it ended.
        not_after: Date,
    },
    /// Not begun.
    #[error("checking the broker's certificate: it is not valid before {not_before}")]
    NotYetValid {
        /// When it begins.
        not_before: Date,
    },
    /// Named in a revocation list.
    #[error("checking the broker's certificate: it has been revoked")]
    Revoked,
    /// A revocation list is configured and says nothing (or is out of date).
    #[error(
        "checking the broker's certificate: our revocation list does not cover it or is out of date"
    )]
    RevocationUnknown,
    /// Malformed, for another purpose, or with an unknown critical extension.
    #[error("checking the broker's certificate: it cannot be used for a server ({0})")]
    BadCertificate(String),
    /// The other side has no TLS 1.3.
    #[error("agreeing on TLS 1.3: the broker only speaks an older version")]
    OldTls,
    /// Nothing in common.
    #[error("agreeing on a key exchange or cipher: the broker offers none of ours")]
    NothingInCommon,
    /// The other side does not speak TLS.
    #[error("starting TLS: the other side does not speak TLS")]
    NotTls,
    /// It would let anybody in.
    #[error("proving who we are: the broker did not ask for a client certificate")]
    NoCertificateRequest,
    /// It did not like ours.
    #[error("proving who we are: the broker refused our certificate ({alert})")]
    ClientCertificate {
        /// The TLS alert that it sent.
        alert: String,
    },
    /// Broken off without a reason.
    #[error("starting TLS: the other side broke off ({0})")]
    Broken(String),
}

impl Refusal {
    /// What to do next, one sentence for an operator.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::UnknownIssuer => {
                "put the CA that signed the broker's certificate into the CA file, or look for who is intercepting the connection"
            }
            Self::SelfSigned => {
                "have the broker's certificate signed by your CA; do not trust it blindly"
            }
            Self::WrongName { .. } => {
                "set the broker's host as its certificate spells it, or have the certificate issued for this name"
            }
            Self::Expired { .. } => {
                "renew the broker's certificate; check this machine's clock too"
            }
            Self::NotYetValid { .. } => {
                "check this machine's clock first, then the broker's certificate"
            }
            Self::Revoked => "give the broker a new certificate; treat its old key as stolen",
            Self::RevocationUnknown => "fetch the CA's current revocation list",
            Self::BadCertificate(_) => "have the broker's certificate issued for server use",
            Self::OldTls => "let the broker speak TLS 1.3 (mosquitto: tls_version tlsv1.3)",
            Self::NothingInCommon => "let the broker offer X25519MLKEM768 or X25519",
            Self::NotTls => "check the port: MQTT over TLS is usually 8883, 1883 is plain",
            Self::NoCertificateRequest => {
                "make the broker require client certificates (mosquitto: require_certificate true)"
            }
            Self::ClientCertificate { .. } => {
                "check that our certificate is signed by the CA that the broker trusts, is in date and not revoked"
            }
            Self::Broken(_) => "look into the broker's log at this time",
        }
    }

    /// Whether waiting may help without anybody acting.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::NotYetValid { .. })
    }

    /// Whether the broker refused *us* (then we retry slowly).
    #[must_use]
    pub fn is_about_us(&self) -> bool {
        matches!(self, Self::ClientCertificate { .. })
    }

    /// Reads an error that came out of a TLS stream; `None` when it is not about TLS.
    pub(super) fn from_io(error: &io::Error, witness: Option<&Witness>) -> Option<Self> {
        let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(Self::from_tls(inner, witness))
    }

    fn from_tls(error: &rustls::Error, witness: Option<&Witness>) -> Self {
        match error {
            rustls::Error::InvalidCertificate(problem) => {
                let self_signed = witness
                    .and_then(Witness::shown)
                    .is_some_and(|shown| shown.self_signed);
                Self::from_certificate(problem, self_signed)
            }
            rustls::Error::AlertReceived(alert) => Self::from_alert(*alert),
            rustls::Error::PeerIncompatible(problem) => match problem {
                rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13
                | rustls::PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => Self::OldTls,
                _ => Self::NothingInCommon,
            },
            rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. } => {
                Self::NotTls
            }
            other => Self::Broken(other.to_string()),
        }
    }

    fn from_certificate(problem: &CertificateError, self_signed: bool) -> Self {
        match problem {
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired {
                not_after: Date::from_tls(*not_after),
            },
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotYetValid {
                not_before: Date::from_tls(*not_before),
            },
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => Self::WrongName {
                expected: expected.to_str().into_owned(),
                presented: presented_names(presented),
            },
            CertificateError::Revoked => Self::Revoked,
            CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => Self::RevocationUnknown,
            _ if self_signed => Self::SelfSigned,
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            other => Self::BadCertificate(super::printable(&other.to_string())),
        }
    }

    fn from_alert(alert: AlertDescription) -> Self {
        use AlertDescription as A;
        match alert {
            A::ProtocolVersion => Self::OldTls,
            A::HandshakeFailure | A::InsufficientSecurity => Self::NothingInCommon,
            A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::DecryptError
            | A::CertificateRequired => Self::ClientCertificate {
                alert: format!("{alert:?}"),
            },
            other => Self::Broken(format!("TLS alert {other:?}")),
        }
    }
}

/// The names come from the other side: at most four, cleaned of anything that is not printable.
fn presented_names(names: &[String]) -> String {
    let shown: Vec<_> = names
        .iter()
        .take(4)
        .map(|name| super::printable(name))
        .collect();
    if shown.is_empty() {
        "no name at all".to_owned()
    } else {
        shown.join(", ")
    }
}
