//! What a hub keeps about one lock.

use std::fmt;

use drawbridge_protocol::codec::{CodecError, decode_exact};
use drawbridge_protocol::grant::{Grant, VerifiedGrant};
use drawbridge_protocol::ids::{Digest32, LockId, OwnershipId};
use drawbridge_protocol::keys::{IdentityKey, LinkKey};
use drawbridge_protocol::log_record::LogCursor;
use drawbridge_protocol::psk::PskRing;
use drawbridge_protocol::secret::BeaconKey;
use drawbridge_protocol::ticket::PairingTicket;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use super::record::encoded;

/// The format this build writes; an older one would be read by its own code.
const FORMAT: u8 = 1;

/// The longest name, in characters.
pub const MAX_NAME: usize = 64;

/// One lock's keys, secrets and standing, as saved under its id.
///
/// **What is saved always holds a psk that the lock still honours:** a new generation is added
/// before the lock is told that it is kept, and an old one goes only after a session on the new.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LockBinding {
    #[n(0)]
    format: u8,
    /// Which lock.
    #[n(1)]
    pub lock: LockId,
    /// The maker's number for the model.
    #[n(2)]
    pub model: u16,
    /// The lock's end of sessions.
    #[n(3)]
    pub link: LinkKey,
    /// Signs what the lock says.
    #[n(4)]
    pub identity: IdentityKey,
    /// Pre-shared keys.
    #[n(5)]
    pub psks: PskRing,
    /// Finds the lock on the air.
    #[n(6)]
    pub beacon_key: BeaconKey,
    /// The Bluetooth passkey, 0 to 999,999.
    #[n(7)]
    pub passkey: u32,
    /// What people call it; see [`is_name`].
    #[n(8)]
    pub name: String,
    /// The ownership that the claim began.
    #[n(9)]
    pub ownership: Option<OwnershipId>,
    #[n(10)]
    grant: Option<ByteVec>,
    /// Whether a receipt for the claim was seen. Without it the lock may or may not have taken the
    /// owner: the same claim, sent again, tells.
    #[n(11)]
    pub is_claimed: bool,
    /// When it was paired, Unix seconds, if the clock could be trusted.
    #[n(12)]
    pub since: Option<u64>,
    #[n(13)]
    log_seq: u64,
    #[n(14)]
    log_head: Digest32,
    /// The grant taken apart, so that its signature is not checked again for every command.
    #[cbor(skip)]
    verified_grant: Option<VerifiedGrant>,
}

impl LockBinding {
    /// From a pairing ticket: nothing claimed, generation 0 only.
    #[must_use]
    pub fn from_ticket(ticket: &PairingTicket) -> Self {
        Self {
            format: FORMAT,
            lock: ticket.lock,
            model: ticket.model,
            link: ticket.link,
            identity: ticket.identity,
            psks: PskRing::pairing(ticket.pair_psk.clone()),
            beacon_key: ticket.beacon_key.clone(),
            passkey: ticket.passkey,
            name: ticket.lock.to_string(),
            ownership: None,
            grant: None,
            is_claimed: false,
            since: None,
            log_seq: 0,
            log_head: Digest32::ZERO,
            verified_grant: None,
        }
    }

    /// The signed grant of the hub's own rights, if it has one.
    #[must_use]
    pub fn grant(&self) -> Option<&[u8]> {
        self.grant.as_ref().map(|bytes| bytes.as_slice())
    }

    /// The same, taken apart; none if its signature does not hold.
    #[must_use]
    pub const fn verified_grant(&self) -> Option<&VerifiedGrant> {
        self.verified_grant.as_ref()
    }

    /// Replaces the grant.
    pub fn set_grant(&mut self, statement: Option<&[u8]>) {
        self.grant = statement.map(|bytes| bytes.to_vec().into());
        self.verified_grant = statement.and_then(|bytes| Grant::verify(bytes).ok());
    }

    /// How far the log was followed when this was saved: a reason to ask for more, never a reason to ask
    /// for less. The records are in the store, and a binding outlives it.
    #[must_use]
    pub const fn log_cursor(&self) -> LogCursor {
        LogCursor {
            seq: self.log_seq,
            head: self.log_head,
        }
    }

    /// Notes how far the log was followed.
    pub const fn set_log_cursor(&mut self, cursor: LogCursor) {
        self.log_seq = cursor.seq;
        self.log_head = cursor.head;
    }

    /// Encodes it.
    #[must_use]
    pub fn encode(&self) -> SecretBytes {
        SecretBytes::new(encoded(self))
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`CodecError`]; another format is [`CodecError::NotDeterministic`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut binding: Self = decode_exact(bytes)?;
        if binding.format == FORMAT {
            binding.verified_grant = binding.grant().and_then(|bytes| Grant::verify(bytes).ok());
            Ok(binding)
        } else {
            Err(CodecError::NotDeterministic)
        }
    }
}

impl fmt::Debug for LockBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockBinding")
            .field("lock", &self.lock)
            .field("name", &self.name)
            .field("generation", &self.psks.current.generation)
            .field("is_claimed", &self.is_claimed)
            .finish_non_exhaustive()
    }
}

/// Bytes that hold secrets: wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes them over.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for where secrets are stored.
    #[must_use]
    pub fn danger_as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.0.len())
    }
}

/// Whether `name` may be shown, logged and published as it is: 1 to [`MAX_NAME`] characters, none
/// of them a control or a mark that turns the reading direction (S26), no blank at either end.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let turns = |c: char| matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}'..='\u{2029}' | '\u{2066}'..='\u{2069}' | '\u{61c}' | '\u{feff}');
    (1..=MAX_NAME).contains(&name.chars().count())
        && name.trim() == name
        && !name.chars().any(|c| c.is_control() || turns(c))
}

#[cfg(test)]
mod tests {
    use drawbridge_protocol::keys::{IdentitySecret, LinkSecret, Psk, SharedSecret};
    use drawbridge_protocol::psk::PskGeneration;

    use super::*;

    fn binding() -> LockBinding {
        let mut binding = LockBinding::from_ticket(&PairingTicket {
            model: 7,
            lock: LockId([1; 8]),
            link: LinkSecret::from_bytes([2; 32]).public(),
            identity: IdentitySecret::from_bytes(&[3; 32]).public(),
            pair_psk: Psk::new([0xa5; 32]),
            passkey: 123_456,
            beacon_key: SharedSecret::new([0x5a; 16]),
        });
        binding.psks.advance(PskGeneration {
            generation: 1,
            psk: Psk::new([0xb6; 32]),
        });
        binding.set_grant(Some(&[9; 40]));
        binding
    }

    /// Guards: a binding that cannot be read back after an update of the hub.
    #[test]
    fn binding_survives_its_encoding_and_nothing_else_does() {
        let bytes = binding().encode();
        assert_eq!(LockBinding::decode(bytes.danger_as_bytes()), Ok(binding()));
        for cut in 0..bytes.danger_as_bytes().len() {
            assert!(LockBinding::decode(&bytes.danger_as_bytes()[..cut]).is_err());
        }
    }

    /// S23. Guards: a binding printed into the journal with its keys.
    #[test]
    fn s23_binding_prints_no_secret() {
        let printed = format!("{:?} {:?}", binding(), binding().encode());
        for byte in ["a5", "165", "b6", "182", "5a", "90"] {
            assert!(
                !printed.contains(&byte.repeat(2)) && !printed.contains(&format!("{byte}, {byte}")),
                "{printed}"
            );
        }
    }

    /// S26. Guards: names that rewrite a terminal line or a log entry.
    #[test]
    fn s26_hostile_names_are_refused() {
        for bad in [
            "",
            " door",
            "a\nb",
            "a\u{0}b",
            "\u{202e}kcol",
            "\u{1b}[2J",
            &"x".repeat(65),
        ] {
            assert!(!is_name(bad), "{bad:?}");
        }
        assert!(is_name("Haustür +#/ vorne"));
    }
}
