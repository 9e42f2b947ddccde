//! A throw-away certificate authority, and every broken certificate an attacker or a tired
//! operator could present.
//!
//! Keys are ECDSA P-256, files are PEM with mode 0600, dates are fixed so that a test never ages.
//!
//! **Everything issued here is trusted by nobody but the test that made it.**
//!
//! # Identities
//! A hub's certificate carries the bare hub id as its common name (`h1`), every other role carries
//! its role before a colon (`app:a1`, `operator:o1`, `issuer:i1`). A colon cannot appear in a hub
//! id, so mosquitto's `pattern ... drawbridge/%u/#` gives each hub its own tree and gives the
//! other roles nothing by accident.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, RevokedCertParams, SerialNumber, date_time_ymd,
};

/// What went wrong while making certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A certificate or key could not be made.
    #[error("making a certificate for '{name}'")]
    Issue {
        /// Whose certificate.
        name: String,
        /// What the generator said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A PEM file could not be written.
    #[error("writing {path}", path = path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// A certificate chain and its key, as files.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The common name.
    pub name: String,
    /// PEM certificate.
    pub cert: PathBuf,
    /// PEM private key (PKCS#8), mode 0600.
    pub key: PathBuf,
    serial: u64,
}

/// Ways in which a server's certificate can be wrong (assurance S21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadServer {
    /// Signed by a CA that the client does not trust.
    OtherCa,
    /// Its `notAfter` has passed.
    Expired,
    /// Its `notBefore` has not come.
    NotYetValid,
    /// Good, but for another host.
    WrongName,
    /// Signed by itself.
    SelfSigned,
}

/// Ways in which a client's certificate can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadClient {
    /// Signed by a CA that the broker does not trust.
    OtherCa,
    /// Its `notAfter` has passed.
    Expired,
    /// Its `notBefore` has not come.
    NotYetValid,
    /// Signed by itself.
    SelfSigned,
}

#[derive(Clone, Copy)]
enum Life {
    Good,
    Past,
    Future,
}

#[derive(Clone, Copy)]
enum Side {
    Server,
    Client,
}

struct Authority {
    params: CertificateParams,
    key_pem: String,
    cert_pem: String,
}

/// A certificate authority whose files live in one folder.
pub struct Pki {
    dir: PathBuf,
    ca_file: PathBuf,
    ours: Authority,
    other: Authority,
    serial: AtomicU64,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Pki {
    /// Makes a CA in `dir` (which must exist) and writes its certificate to `ca.pem`.
    ///
    /// # Errors
    /// When a key cannot be made or a file cannot be written.
    pub fn create(dir: &Path) -> Result<Self, PkiError> {
        let ours = authority("Drawbridge throw-away CA")?;
        let other = authority("Somebody else's CA")?;
        let ca_file = dir.join("ca.pem");
        write_private(&ca_file, &ours.cert_pem)?;
        write_private(&dir.join("other-ca.pem"), &other.cert_pem)?;
        Ok(Self {
            dir: dir.to_path_buf(),
            ca_file,
            ours,
            other,
            serial: AtomicU64::new(0x1000),
        })
    }

    /// The trust anchor, PEM.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// The trust anchor of a CA that nobody in the test should trust, PEM.
    #[must_use]
    pub fn other_ca_file(&self) -> PathBuf {
        self.dir.join("other-ca.pem")
    }

    /// Where the files are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A good server certificate for `localhost`, `127.0.0.1` and `::1`.
    ///
    /// # Errors
    /// See [`PkiError`].
    pub fn server(&self) -> Result<Identity, PkiError> {
        self.issue(
            &self.ours,
            "localhost",
            &LOOPBACK,
            Life::Good,
            Side::Server,
            false,
        )
    }

    /// A server certificate that a client must refuse.
    ///
    /// # Errors
    /// See [`PkiError`].
    pub fn bad_server(&self, how: BadServer) -> Result<Identity, PkiError> {
        let (by, names, life, own): (_, &[&str], _, _) = match how {
            BadServer::OtherCa => (&self.other, &LOOPBACK, Life::Good, false),
            BadServer::Expired => (&self.ours, &LOOPBACK, Life::Past, false),
            BadServer::NotYetValid => (&self.ours, &LOOPBACK, Life::Future, false),
            BadServer::WrongName => (&self.ours, &["broker.example"], Life::Good, false),
            BadServer::SelfSigned => (&self.ours, &LOOPBACK, Life::Good, true),
        };
        self.issue(by, "localhost", names, life, Side::Server, own)
    }

    /// A good client certificate whose common name is `name` (`h1`, `app:a1`, ...).
    ///
    /// # Errors
    /// See [`PkiError`].
    pub fn client(&self, name: &str) -> Result<Identity, PkiError> {
        self.issue(&self.ours, name, &[], Life::Good, Side::Client, false)
    }

    /// A client certificate that a broker must refuse.
    ///
    /// # Errors
    /// See [`PkiError`].
    pub fn bad_client(&self, name: &str, how: BadClient) -> Result<Identity, PkiError> {
        let (by, life, own) = match how {
            BadClient::OtherCa => (&self.other, Life::Good, false),
            BadClient::Expired => (&self.ours, Life::Past, false),
            BadClient::NotYetValid => (&self.ours, Life::Future, false),
            BadClient::SelfSigned => (&self.ours, Life::Good, true),
        };
        self.issue(by, name, &[], life, Side::Client, own)
    }

    /// Writes a revocation list (`crl.pem`) naming `revoked`, good until 2049.
    ///
    /// # Errors
    /// See [`PkiError`].
    pub fn revoke(&self, revoked: &[&Identity]) -> Result<PathBuf, PkiError> {
        let number = self.serial.fetch_add(1, Ordering::Relaxed);
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2049, 12, 31),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|identity| RevokedCertParams {
                    serial_number: SerialNumber::from(identity.serial),
                    revocation_time: date_time_ymd(2024, 1, 2),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let name = "revocation list";
        let pem = params
            .signed_by(&self.ours.issuer(name)?)
            .and_then(|list| list.pem())
            .map_err(|e| issue_error(name, e))?;
        let path = self.dir.join("crl.pem");
        write_private(&path, &pem)?;
        Ok(path)
    }

    fn issue(
        &self,
        by: &Authority,
        name: &str,
        san: &[&str],
        life: Life,
        side: Side,
        self_signed: bool,
    ) -> Result<Identity, PkiError> {
        let fail = |e| issue_error(name, e);
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let names: Vec<String> = san.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).map_err(fail)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match side {
            Side::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Side::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = !self_signed;
        (params.not_before, params.not_after) = match life {
            Life::Good => (date_time_ymd(2024, 1, 1), date_time_ymd(2049, 12, 31)),
            Life::Past => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
            Life::Future => (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1)),
        };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(fail)?;
        let cert = if self_signed {
            params.self_signed(&key).map_err(fail)?
        } else {
            params.signed_by(&key, &by.issuer(name)?).map_err(fail)?
        };
        let stem = format!("{}-{serial:x}", name.replace([':', '/'], "_"));
        let identity = Identity {
            name: name.to_owned(),
            cert: self.dir.join(format!("{stem}.pem")),
            key: self.dir.join(format!("{stem}.key")),
            serial,
        };
        write_private(&identity.cert, &cert.pem())?;
        write_private(&identity.key, &key.serialize_pem())?;
        Ok(identity)
    }
}

impl Authority {
    fn issuer(&self, name: &str) -> Result<Issuer<'_, KeyPair>, PkiError> {
        let key = KeyPair::from_pem(&self.key_pem).map_err(|e| issue_error(name, e))?;
        Ok(Issuer::from_params(&self.params, key))
    }
}

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

fn authority(name: &str) -> Result<Authority, PkiError> {
    let fail = |e| issue_error(name, e);
    let mut params = CertificateParams::new(Vec::new()).map_err(fail)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(fail)?;
    let cert_pem = params.self_signed(&key).map_err(fail)?.pem();
    Ok(Authority {
        params,
        key_pem: key.serialize_pem(),
        cert_pem,
    })
}

fn issue_error(name: &str, source: rcgen::Error) -> PkiError {
    PkiError::Issue {
        name: name.to_owned(),
        source: Box::new(source),
    }
}

fn write_private(path: &Path, text: &str) -> Result<(), PkiError> {
    let fail = |source| PkiError::Write {
        path: path.to_path_buf(),
        source,
    };
    if path.exists() {
        fs::remove_file(path).map_err(fail)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(fail)?;
    file.write_all(text.as_bytes()).map_err(fail)
}
