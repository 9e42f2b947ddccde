//! Whom the hub believes, and who the hub is: the CA file, our certificate and our key.
//!
//! The CA file is the only trust root; the system's store is never looked at. TLS 1.3 only, the
//! key exchange is X25519MLKEM768 first and X25519 second (draft-ietf-tls-ecdhe-mlkem), sessions
//! are never resumed, so that each connection shows its certificates anew.
//!
//! Call [`Trust::load`] before each connection attempt: files replaced meanwhile are then in use
//! from the next connection on. A loaded `Trust` never changes.
//!
//! **No byte of MQTT is sent unless the broker proved its name under our CA and asked for, and
//! got, our certificate.**

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime,
};
use x509_parser::parse_x509_certificate;
use zeroize::Zeroizing;

use super::witness::{AskedFor, Witness};

/// Largest PEM file that is read, in bytes: a chain or a revocation list of a home is far smaller.
const MAX_PEM: u64 = 1 << 20;

/// Where the files of trust are, all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPaths {
    /// The CA certificates that may sign the broker's certificate. Nothing else is trusted.
    pub ca: PathBuf,
    /// Our certificate, leaf first, then its intermediates.
    pub cert: PathBuf,
    /// The key of our certificate (PKCS#8, SEC1 or PKCS#1), not readable by others.
    pub key: PathBuf,
    /// Revocation lists; when given, a broker whose status they do not tell is refused.
    pub crl: Option<PathBuf>,
}

/// Which of the files an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustFile {
    /// The trust anchors.
    Ca,
    /// Our certificate chain.
    Cert,
    /// Our private key.
    Key,
    /// The revocation lists.
    Crl,
}

impl fmt::Display for TrustFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ca => "CA certificate",
            Self::Cert => "client certificate",
            Self::Key => "client key",
            Self::Crl => "revocation list",
        })
    }
}

/// Why the hub has nothing to show or nothing to trust. All of these are found before a
/// connection is made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// A file is missing or unreadable.
    #[error("reading the {what} file {path}", path = path.display())]
    Read {
        /// Which file.
        what: TrustFile,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds nothing of the kind it should hold, or damaged PEM.
    #[error("parsing the {what} file {path}: {detail}", path = path.display())]
    Parse {
        /// Which file.
        what: TrustFile,
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// Everybody on this machine can read the private key.
    #[error("reading the client key file {path}: its mode {mode:04o} lets every local user read it", path = path.display())]
    KeyExposed {
        /// Where.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// The key does not belong to the certificate.
    #[error("matching the client key {key} with the certificate {cert}: they do not belong together", key = key.display(), cert = cert.display())]
    KeyMismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// Our own certificate or every CA has expired.
    #[error("checking the {what} {path}: it expired on {not_after}", path = path.display())]
    Expired {
        /// Which file.
        what: TrustFile,
        /// Where.
        path: PathBuf,
        /// When it ended.
        not_after: Date,
    },
    /// Our own certificate or every CA begins in the future.
    #[error("checking the {what} {path}: it is not valid before {not_before}", path = path.display())]
    NotYetValid {
        /// Which file.
        what: TrustFile,
        /// Where.
        path: PathBuf,
        /// When it begins.
        not_before: Date,
    },
    /// The name to verify is neither a DNS name nor an IP address.
    #[error("reading the broker's name: '{0}' is neither a DNS name nor an address")]
    ServerName(String),
    /// The cryptographic library refused the combination.
    #[error("preparing TLS: {0}")]
    Setup(&'static str),
}

impl TrustError {
    /// What to do next, one sentence for an operator.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Read { .. } => {
                "check the path in the configuration and that the daemon's user may read the file"
            }
            Self::Parse {
                what: TrustFile::Key,
                ..
            } => "give an unencrypted PEM key (PKCS#8, SEC1 or PKCS#1)",
            Self::Parse { .. } => "give the file in PEM form, complete",
            Self::KeyExposed { .. } => {
                "run chmod 600 on the key file; if others had access, have a new certificate issued"
            }
            Self::KeyMismatch { .. } => {
                "point cert and key at files that were issued together, or install a new certificate"
            }
            Self::Expired {
                what: TrustFile::Ca,
                ..
            } => "get the CA's current certificate",
            Self::Expired { .. } => "have a new certificate issued for this hub and install it",
            Self::NotYetValid { .. } => {
                "check this machine's clock first, then when the certificate was made to begin"
            }
            Self::ServerName(_) => "set the broker's host name as its certificate spells it",
            Self::Setup(_) => "report this with the output of drawbridge doctor",
        }
    }

    /// Whether waiting may help: only a clock that is still being set.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::NotYetValid { .. })
    }
}

/// A moment in UTC, to the second, as certificates state it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(i64);

impl Date {
    /// From seconds since 1970-01-01.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970-01-01, negative before.
    #[must_use]
    pub fn unix(self) -> i64 {
        self.0
    }

    /// As system time; times before 1970 become 1970.
    #[must_use]
    pub fn system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(u64::try_from(self.0).unwrap_or(0))
    }

    pub(super) fn from_tls(time: UnixTime) -> Self {
        Self(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(time) = x509_parser::time::ASN1Time::from_timestamp(self.0).ok() else {
            return write!(f, "{} s after 1970", self.0);
        };
        let t = time.to_datetime();
        let (year, month, day) = (t.year(), u8::from(t.month()), t.day());
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
            t.hour(),
            t.minute(),
            t.second()
        )
    }
}

/// When a certificate begins and ends, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertDates {
    /// Valid from.
    pub not_before: Date,
    /// Valid until.
    pub not_after: Date,
    /// The subject, for people.
    pub subject: String,
}

impl CertDates {
    pub(super) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, cert) = parse_x509_certificate(der).ok()?;
        let validity = cert.validity();
        Some(Self {
            not_before: Date(validity.not_before.timestamp()),
            not_after: Date(validity.not_after.timestamp()),
            subject: cert.subject().to_string(),
        })
    }
}

/// The loaded files, checked against each other and against the clock.
pub struct Trust {
    name: ServerName<'static>,
    name_text: String,
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
    identity: Arc<CertifiedKey>,
    own: CertDates,
    anchors: Vec<CertDates>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("server_name", &self.name_text)
            .field("own", &self.own)
            .field("anchors", &self.anchors)
            .finish_non_exhaustive()
    }
}

impl Trust {
    /// Reads and checks everything; `server_name` is what the broker's certificate must carry.
    ///
    /// # Errors
    /// [`TrustError`] names the file and the reason.
    pub fn load(
        paths: &TrustPaths,
        server_name: &str,
        now: SystemTime,
    ) -> Result<Self, TrustError> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| TrustError::ServerName(server_name.to_owned()))?;
        let provider = Arc::new(provider());
        let now = unix(now);

        let ca = certificates(TrustFile::Ca, &paths.ca)?;
        let (roots, anchors) = anchors(&paths.ca, ca, now)?;
        let chain = certificates(TrustFile::Cert, &paths.cert)?;
        let own = chain
            .first()
            .and_then(CertDates::of)
            .ok_or_else(|| TrustError::Parse {
                what: TrustFile::Cert,
                path: paths.cert.clone(),
                detail: "the first certificate is not X.509",
            })?;
        check_dates(TrustFile::Cert, &paths.cert, &own, now)?;
        let key = private_key(&paths.key)?;
        let identity =
            CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TrustError::KeyMismatch {
                    cert: paths.cert.clone(),
                    key: paths.key.clone(),
                },
                _ => TrustError::Parse {
                    what: TrustFile::Key,
                    path: paths.key.clone(),
                    detail: "this kind of key is not supported",
                },
            })?;

        let mut builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        if let Some(path) = &paths.crl {
            builder = builder
                .with_crls(revocation_lists(path)?)
                .enforce_revocation_expiration();
        }
        let verifier = builder.build().map_err(|_| match &paths.crl {
            Some(path) => TrustError::Parse {
                what: TrustFile::Crl,
                path: path.clone(),
                detail: "a revocation list is malformed",
            },
            None => TrustError::Setup("no verifier for these trust anchors"),
        })?;
        Ok(Self {
            name,
            name_text: server_name.to_owned(),
            provider,
            verifier,
            identity: Arc::new(identity),
            own,
            anchors,
        })
    }

    /// Our own certificate.
    #[must_use]
    pub fn own(&self) -> &CertDates {
        &self.own
    }

    /// The common name in our certificate: our user name at the broker.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        let (_, cert) = parse_x509_certificate(self.identity.cert.first()?).ok()?;
        let name = cert.subject().iter_common_name().next()?.as_str().ok()?;
        Some(name.to_owned())
    }

    /// The trust anchors that are valid now.
    #[must_use]
    pub fn anchors(&self) -> &[CertDates] {
        &self.anchors
    }

    /// The first moment at which our certificate or the last of the CAs ends.
    #[must_use]
    pub fn good_until(&self) -> Date {
        let ca = self.anchors.iter().map(|anchor| anchor.not_after).max();
        ca.map_or(self.own.not_after, |ca| ca.min(self.own.not_after))
    }

    /// The name that the broker must prove.
    #[must_use]
    pub fn server_name(&self) -> &str {
        &self.name_text
    }

    pub(super) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    /// TLS settings for exactly one connection, and what that connection will have noticed.
    pub(super) fn one_connection(
        &self,
    ) -> Result<(ClientConfig, Arc<Witness>, Arc<AskedFor>), TrustError> {
        let witness = Arc::new(Witness::new(Arc::clone(&self.verifier)));
        let asked = Arc::new(AskedFor::new(Arc::clone(&self.identity)));
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_| TrustError::Setup("TLS 1.3 is not available"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&witness) as _)
            .with_client_cert_resolver(Arc::clone(&asked) as _);
        // A resumed TLS 1.3 session carries no CertificateRequest, so we could not see that the
        // broker still wants our certificate.
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        Ok((config, witness, asked))
    }
}

fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519];
    provider
}

fn unix(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

fn read(what: TrustFile, path: &Path) -> Result<Zeroizing<Vec<u8>>, TrustError> {
    let fail = |source| TrustError::Read {
        what,
        path: path.to_path_buf(),
        source,
    };
    let meta = fs::metadata(path).map_err(fail)?;
    if !meta.is_file() || meta.len() > MAX_PEM {
        let detail = "not a file, or larger than 1 MiB";
        return Err(TrustError::Parse {
            what,
            path: path.to_path_buf(),
            detail,
        });
    }
    let mode = meta.permissions().mode() & 0o7777;
    if what == TrustFile::Key && mode & 0o007 != 0 {
        return Err(TrustError::KeyExposed {
            path: path.to_path_buf(),
            mode,
        });
    }
    fs::read(path).map(Zeroizing::new).map_err(fail)
}

fn certificates(what: TrustFile, path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let pem = read(what, path)?;
    let parse = |detail| TrustError::Parse {
        what,
        path: path.to_path_buf(),
        detail,
    };
    let found = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| parse("damaged PEM"))?;
    if found.is_empty() {
        return Err(parse("no certificate in it"));
    }
    Ok(found)
}

fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TrustError> {
    let pem = read(TrustFile::Crl, path)?;
    let parse = |detail| TrustError::Parse {
        what: TrustFile::Crl,
        path: path.to_path_buf(),
        detail,
    };
    let found = CertificateRevocationListDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| parse("damaged PEM"))?;
    if found.is_empty() {
        return Err(parse("no revocation list in it"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TrustError> {
    let pem = read(TrustFile::Key, path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TrustError::Parse {
        what: TrustFile::Key,
        path: path.to_path_buf(),
        detail: "no private key in it",
    })
}

/// Keeps the anchors that are valid now (webpki ignores an anchor's dates, we do not); more than
/// one lets a CA be replaced without a gap.
fn anchors(
    path: &Path,
    certs: Vec<CertificateDer<'static>>,
    now: i64,
) -> Result<(RootCertStore, Vec<CertDates>), TrustError> {
    let parse = |detail| TrustError::Parse {
        what: TrustFile::Ca,
        path: path.to_path_buf(),
        detail,
    };
    let mut roots = RootCertStore::empty();
    let mut good = Vec::new();
    let mut last_problem = None;
    for cert in certs {
        let dates = CertDates::of(&cert).ok_or_else(|| parse("a certificate is not X.509"))?;
        if let Err(problem) = check_dates(TrustFile::Ca, path, &dates, now) {
            last_problem = Some(problem);
            continue;
        }
        roots
            .add(cert)
            .map_err(|_| parse("a certificate cannot be a trust anchor"))?;
        good.push(dates);
    }
    if good.is_empty() {
        return Err(last_problem.unwrap_or_else(|| parse("no certificate in it")));
    }
    Ok((roots, good))
}

fn check_dates(
    what: TrustFile,
    path: &Path,
    dates: &CertDates,
    now: i64,
) -> Result<(), TrustError> {
    let path = path.to_path_buf();
    if now > dates.not_after.unix() {
        return Err(TrustError::Expired {
            what,
            path,
            not_after: dates.not_after,
        });
    }
    if now < dates.not_before.unix() {
        return Err(TrustError::NotYetValid {
            what,
            path,
            not_before: dates.not_before,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Date, provider};

    // Guards: a provider default that changes with an upgrade would silently drop the hybrid
    // exchange or let a weaker group in.
    #[test]
    fn hybrid_exchange_comes_first_and_only_one_other_is_offered() {
        let names: Vec<_> = provider()
            .kx_groups
            .iter()
            .map(|group| group.name())
            .collect();
        assert_eq!(
            names,
            [
                rustls::NamedGroup::X25519MLKEM768,
                rustls::NamedGroup::X25519
            ],
        );
    }

    // Guards: an operator cannot act on "expired" without the date.
    #[test]
    fn dates_read_as_dates() {
        assert_eq!(
            Date::from_unix(1_609_459_200).to_string(),
            "2021-01-01 00:00:00 UTC"
        );
    }
}
