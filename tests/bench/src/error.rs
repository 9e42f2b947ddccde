//! Why a guest could not show anything.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use drawbridge_support::household::HouseholdError;
use drawbridge_support::pki::PkiError;

/// What failed on the host. What failed in the guest is told by its [`Report`](crate::Report).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The guest could not be built.
    #[error("build the guest ({status}): {said}")]
    Build {
        /// How the recipe ended.
        status: ExitStatus,
        /// The end of what it said.
        said: String,
    },
    /// The product's programs could not be built.
    #[error("build the programs")]
    Programs(#[from] HouseholdError),
    /// The certificates of the house could not be made.
    #[error("make the certificates of the house")]
    Certificates(#[from] PkiError),
    /// A file or process.
    #[error("{act} ({})", path.display())]
    Io {
        /// What failed.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl BenchError {
    pub(crate) fn io(
        act: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { act, path, source }
    }
}
