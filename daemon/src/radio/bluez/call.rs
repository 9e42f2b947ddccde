//! One call to BlueZ or the bus, with a limit of our own.
//!
//! BlueZ: a dead dbus-daemon makes calls hang for 120 s. Seen: dependencies.md. So: nothing here is
//! awaited without one of these limits.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

/// A property, or a call that BlueZ answers from memory.
pub(super) const PROPERTY: Duration = Duration::from_secs(3);
/// A new connection to the bus.
pub(super) const BUS: Duration = Duration::from_secs(5);
/// Switching an adapter on or off: the controller takes part.
pub(super) const POWER: Duration = Duration::from_secs(5);
/// A connection, from its turn to the lock's first word.
pub(super) const CONNECT: Duration = Duration::from_secs(15);
/// A link as a whole, from the core's word on: turn, channel, GATT. The core waits a little longer.
pub(super) const LINK: Duration = Duration::from_secs(40);
/// The services of a connected lock.
pub(super) const SERVICES: Duration = Duration::from_secs(10);
/// One packet.
pub(super) const WRITE: Duration = Duration::from_secs(5);
/// A bond.
pub(super) const PAIR: Duration = Duration::from_secs(60);

/// A call that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// It was answered with an error.
    #[error("{act}: {reason}")]
    Refused {
        /// What was asked.
        act: &'static str,
        /// BlueZ's or the bus's words.
        reason: String,
    },
    /// It was not answered in time.
    #[error("{act}: no answer within {} ms", limit.as_millis())]
    Late {
        /// What was asked.
        act: &'static str,
        /// How long was waited.
        limit: Duration,
    },
}

/// Makes the call; gives up after `limit`.
pub(super) async fn limited<T, E: ToString>(
    act: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, CallError> {
    match timeout(limit, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(CallError::Refused {
            act,
            reason: error.to_string(),
        }),
        Err(_) => Err(CallError::Late { act, limit }),
    }
}
