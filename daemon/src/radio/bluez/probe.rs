//! Which adapters BlueZ has, for `doctor`.
//!
//! BlueZ: a dead dbus-daemon makes calls hang for 120 s. Seen: dependencies.md. So: each call has a
//! limit of our own. **Nothing is changed: no adapter is powered, no discovery started.**

use std::future::Future;
use std::time::Duration;

use bluer::Session;
use tokio::time::timeout;

/// For one property or one call.
const CALL: Duration = Duration::from_secs(3);

/// One adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// Such as `hci0`; changes from boot to boot.
    pub name: String,
    /// Such as `00:11:22:33:44:55`: by this it is known.
    pub address: String,
    /// Whether it is switched on.
    pub powered: bool,
}

/// BlueZ could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The call was answered with an error.
    #[error("{act}: {reason}")]
    Refused {
        /// What was asked.
        act: &'static str,
        /// BlueZ's or the bus's words.
        reason: String,
    },
    /// The call was not answered.
    #[error("{act}: no answer within {} s", CALL.as_secs())]
    Late {
        /// What was asked.
        act: &'static str,
    },
}

impl ProbeError {
    /// Nothing is ever changed by asking.
    #[must_use]
    pub fn may_have_succeeded(&self) -> bool {
        false
    }

    /// Whether asking again may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Late { .. })
    }
}

/// Asks BlueZ for its adapters. None is an answer, not an error.
///
/// # Errors
/// [`ProbeError`]; adapters that vanish meanwhile are one.
pub async fn adapters() -> Result<Vec<Adapter>, ProbeError> {
    let session = limited("connect to BlueZ on the system bus", Session::new()).await?;
    let names = limited("list the adapters", session.adapter_names()).await?;
    let mut adapters = Vec::with_capacity(names.len());
    for name in names {
        let adapter = session
            .adapter(&name)
            .map_err(|error| refused("open an adapter", &error))?;
        let address = limited("read an adapter's address", adapter.address()).await?;
        let powered = limited("read whether an adapter is on", adapter.is_powered()).await?;
        adapters.push(Adapter {
            name,
            address: address.to_string(),
            powered,
        });
    }
    Ok(adapters)
}

async fn limited<T>(
    act: &'static str,
    call: impl Future<Output = bluer::Result<T>>,
) -> Result<T, ProbeError> {
    match timeout(CALL, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(refused(act, &error)),
        Err(_) => Err(ProbeError::Late { act }),
    }
}

fn refused(act: &'static str, error: &bluer::Error) -> ProbeError {
    ProbeError::Refused {
        act,
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards (F24): a dead bus that holds doctor for two minutes.
    #[test]
    fn f24_a_call_that_is_not_answered_ends() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let never = std::future::pending::<bluer::Result<()>>();
        let error = runtime.block_on(limited("wait", never)).unwrap_err();
        assert_eq!(error, ProbeError::Late { act: "wait" });
        assert!(error.is_temporary());
    }
}
