//! What carries links: adapters between the hub's core and some air.
//!
//! An adapter is told what to do by [`RadioAction`]s and tells what happened by [`RadioEvent`]s,
//! over bounded channels. Its contract: every `Connect` is answered by exactly one `LinkUp` or
//! `ConnectFailed`; every `LinkUp` is followed by exactly one `LinkDown`; packets of a link keep
//! their order and come only between the two. **Nothing that one lock does or fails to do delays
//! another lock's packets.**

use tokio::sync::mpsc;

pub use crate::core::{Address, LinkFault, LinkId, Passkey, RadioAction, RadioEvent, RadioHealth};

#[cfg(feature = "bluez")]
pub mod bluez;
mod handle;
pub mod virtual_air;

use virtual_air::VirtualAir;

/// Messages that may wait between the core and the air.
const QUEUE: usize = 1_024;

/// Why there is no air.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RadioError {
    /// The configuration names none that this build has.
    #[error(
        "find an air: set `virtual_air` under [radio], or `bluez = true` in a build with BlueZ"
    )]
    None,
}

/// Both ends of a running air.
#[derive(Debug)]
pub struct RadioHandle {
    /// What it is told.
    pub actions: mpsc::Sender<RadioAction>,
    /// What it tells.
    pub events: mpsc::Receiver<RadioEvent>,
}

/// Starts the air that is configured, on the current tokio runtime. A virtual air excludes
/// Bluetooth, so that a test never reaches a real lock.
///
/// # Errors
/// [`RadioError::None`].
pub fn spawn(config: &crate::config::Config) -> Result<RadioHandle, RadioError> {
    let (actions, queue) = mpsc::channel(QUEUE);
    let (tell, events) = mpsc::channel(QUEUE);
    if let Some(dir) = &config.radio.virtual_air {
        tokio::spawn(VirtualAir::new(dir).run(queue, tell));
        return Ok(RadioHandle { actions, events });
    }
    #[cfg(feature = "bluez")]
    if config.radio.bluez {
        let radio = bluez::Bluez::new(&config.radio, &config.hub.state_dir);
        tokio::spawn(radio.run(queue, tell));
        return Ok(RadioHandle { actions, events });
    }
    Err(RadioError::None)
}
