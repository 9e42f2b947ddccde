//! What is set when a lock is made, and never again.

use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::qr::QrCode;
use drawbridge_protocol::secret::SetupSecret;

/// The lock's name and keys. Its public halves and the setup secret are on the code on the device.
#[derive(Debug, Clone)]
pub struct Factory {
    /// Which lock this is.
    pub lock: LockId,
    /// The maker's number for the model.
    pub model: u16,
    /// This end of sessions.
    pub link: LinkSecret,
    /// Signs what the lock says.
    pub identity: IdentitySecret,
    /// Proves that whoever pairs has seen the code.
    pub setup: SetupSecret,
}

impl Factory {
    /// A new lock. Nothing in it derives from anything public.
    pub fn generate(model: u16, entropy: &mut impl Entropy) -> Self {
        Self {
            lock: LockId(entropy.bytes()),
            model,
            link: LinkSecret::generate(entropy),
            identity: IdentitySecret::generate(entropy),
            setup: SetupSecret::generate(entropy),
        }
    }

    /// The code for its label.
    #[must_use]
    pub fn qr(&self) -> QrCode {
        QrCode {
            model: self.model,
            lock: self.lock,
            link: self.link.public(),
            identity: self.identity.public(),
            secret: self.setup.clone(),
        }
    }
}

/// What a board or an owner may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// After how many milliseconds an unlocked bolt is thrown again; `None` = never.
    pub auto_relock_ms: Option<u32>,
    /// How long the motor may run before the bolt counts as jammed, in milliseconds.
    pub motor_timeout_ms: u32,
    /// Where the L2CAP channel listens; 0 where there is none.
    pub psm: u16,
    /// Flash pages of the critical record store; all others hold the log.
    pub store_pages: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auto_relock_ms: None,
            motor_timeout_ms: 5_000,
            psm: 0,
            store_pages: 4,
        }
    }
}
