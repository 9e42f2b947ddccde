//! Commands: signed requests to act.

use minicbor::{Decode, Encode};

use crate::codec::{CodecError, cbor_number, decode_exact, encode};
use crate::cose::{CoseError, Envelope, Kind, MAX_PAYLOAD, sign1};
use crate::grant::Rights;
use crate::ids::{CommandId, Digest32, LockEpoch, LockId};
use crate::keys::{IdentityKey, IdentitySecret};

/// How far ahead of lock time a command may expire when a hub carries it, in milliseconds.
pub const MAX_AHEAD_VIA_HUB_MS: u64 = 60_000;

/// The same for a command whose holder is the session's peer, in milliseconds.
pub const MAX_AHEAD_DIRECT_MS: u64 = 10_000;

/// The longest signed command, in bytes.
pub const MAX_COMMAND: usize = 256;

/// What a command asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Throw the bolt.
    Lock,
    /// Draw the bolt.
    Unlock,
}

cbor_number!(Action { Lock = 1, Unlock = 2 });

impl Action {
    /// The right it needs.
    #[must_use]
    pub const fn right(self) -> Rights {
        match self {
            Self::Lock => Rights::LOCK,
            Self::Unlock => Rights::UNLOCK,
        }
    }

    /// The stable name, as in MQTT payloads and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Unlock => "unlock",
        }
    }
}

/// What a command says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Command {
    /// Which lock.
    #[n(1)]
    pub lock: LockId,
    /// What to do.
    #[n(2)]
    pub action: Action,
    /// The run of the lock it was signed for.
    #[n(3)]
    pub epoch: LockEpoch,
    /// Above every counter that this holder used in this epoch.
    #[n(4)]
    pub counter: u64,
    /// Newest log record in the `session_info` it was signed on: how far back an answer must reach.
    #[n(5)]
    pub log_position: u64,
    /// Lock time after which it is dead, in milliseconds since the lock's boot.
    #[n(6)]
    pub expiry_ms: u64,
    /// SHA-256 of the grant it is signed under; absent when the owner root signs.
    #[n(7)]
    pub grant: Option<Digest32>,
}

/// A command's envelope, read but **not verified**.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadCommand<'b> {
    envelope: Envelope<'b>,
    /// What it claims to say.
    pub command: Command,
    /// Its id, whoever signed it.
    pub id: CommandId,
    /// SHA-256 of the whole statement: tells the same bytes from other bytes under the same id.
    pub digest: Digest32,
}

impl Command {
    /// Signs the command.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] when `out` is too small.
    pub fn sign<'o>(
        &self,
        holder: &IdentitySecret,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], CodecError> {
        let mut payload = [0; MAX_PAYLOAD];
        sign1(Kind::Command, encode(self, &mut payload)?, holder, out)
    }

    /// Reads a command without verifying it: form only.
    ///
    /// # Errors
    /// [`CoseError::Form`].
    pub fn read(bytes: &[u8]) -> Result<ReadCommand<'_>, CoseError> {
        if bytes.len() > MAX_COMMAND {
            return Err(CoseError::Form);
        }
        let envelope = Envelope::parse(Kind::Command, bytes)?;
        let payload = envelope.unverified_payload();
        Ok(ReadCommand {
            envelope,
            command: decode_exact(payload)?,
            id: CommandId::of_payload(payload),
            digest: Digest32::of(bytes),
        })
    }
}

impl ReadCommand<'_> {
    /// Whether `holder` signed it.
    ///
    /// # Errors
    /// [`CoseError::NotAuthentic`].
    pub fn verify(&self, holder: &IdentityKey) -> Result<(), CoseError> {
        self.envelope.verify(holder).map(|_| ())
    }
}
