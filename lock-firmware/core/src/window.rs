//! The pairing window: opened by a button inside, and only then is an unknown key listened to.

use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::Nonce;

/// How long it stays open, in milliseconds.
pub const WINDOW_MS: u64 = 120_000;

/// Handshakes of unknown keys that one window allows.
const ATTEMPTS: u8 = 8;

/// An open window.
#[derive(Debug)]
pub(crate) struct Window {
    /// A claim must name it.
    pub(crate) nonce: Nonce,
    pub(crate) closes_ms: u64,
    attempts: u8,
}

impl Window {
    pub(crate) fn open(now_ms: u64, entropy: &mut impl Entropy) -> Self {
        Self {
            nonce: Nonce(entropy.bytes()),
            closes_ms: now_ms + WINDOW_MS,
            attempts: ATTEMPTS,
        }
    }

    pub(crate) const fn is_open(&self, now_ms: u64) -> bool {
        now_ms < self.closes_ms
    }

    /// Counts one attempt; `false` when this window has had enough.
    pub(crate) const fn attempt(&mut self) -> bool {
        match self.attempts.checked_sub(1) {
            Some(left) => {
                self.attempts = left;
                true
            }
            None => false,
        }
    }
}
