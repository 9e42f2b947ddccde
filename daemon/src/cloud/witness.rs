//! Two observers inside one TLS handshake: what the broker showed, and whether it asked for us.
//!
//! Both exist because rustls tells the outcome but not these facts. One pair serves one
//! connection.
//!
//! **Neither ever turns a refusal of the real verifier into an acceptance.**

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::parse_x509_certificate;

use super::trust::CertDates;

/// What the broker's certificate said, whether or not it was believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) dates: Option<CertDates>,
    pub(super) self_signed: bool,
}

/// Remembers the certificate that it hands to the real verifier.
#[derive(Debug)]
pub(super) struct Witness {
    real: Arc<WebPkiServerVerifier>,
    shown: Mutex<Option<Shown>>,
}

impl Witness {
    pub(super) fn new(real: Arc<WebPkiServerVerifier>) -> Self {
        Self {
            real,
            shown: Mutex::new(None),
        }
    }

    pub(super) fn shown(&self) -> Option<Shown> {
        self.shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let self_signed = parse_x509_certificate(end_entity)
            .is_ok_and(|(_, cert)| cert.issuer().as_raw() == cert.subject().as_raw());
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(Shown {
            dates: CertDates::of(end_entity),
            self_signed,
        });
        self.real
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.real.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.real.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.real.supported_verify_schemes()
    }
}

/// Gives our certificate when asked, and remembers having been asked.
#[derive(Debug)]
pub(super) struct AskedFor {
    identity: Arc<CertifiedKey>,
    given: AtomicBool,
}

impl AskedFor {
    pub(super) fn new(identity: Arc<CertifiedKey>) -> Self {
        Self {
            identity,
            given: AtomicBool::new(false),
        }
    }

    /// Whether the broker asked and our certificate went out.
    pub(super) fn given(&self) -> bool {
        self.given.load(Ordering::Acquire)
    }
}

impl ResolvesClientCert for AskedFor {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        // rustls answers with an empty certificate when no scheme fits: that is not "given".
        self.identity.key.choose_scheme(schemes)?;
        self.given.store(true, Ordering::Release);
        Some(Arc::clone(&self.identity))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
