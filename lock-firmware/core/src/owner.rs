//! Who owns the lock, as kept in the critical record store.

use drawbridge_protocol::claim::PeerKeys;
use drawbridge_protocol::ids::{Digest32, OwnershipId};
use drawbridge_protocol::keys::IdentityKey;
use drawbridge_protocol::receipt::Receipt;
use minicbor::{Decode, Encode};

use crate::factory::Factory;

/// The owner record.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Owner {
    /// The owner root and the owner's device.
    #[n(1)]
    pub(crate) keys: PeerKeys,
    /// This ownership.
    #[n(2)]
    pub(crate) ownership: OwnershipId,
    /// SHA-256 of the claim that began it.
    #[n(3)]
    pub(crate) claim: Digest32,
    /// Whose signature tells the time; absent = the owner's own.
    #[n(4)]
    pub(crate) time_key: Option<IdentityKey>,
    /// Whose signature frees log records.
    #[n(5)]
    pub(crate) audit_key: IdentityKey,
    /// Head of the log when the claim was written, for the receipt.
    #[n(6)]
    pub(crate) log_head: Digest32,
    /// Number of that record.
    #[n(7)]
    pub(crate) log_seq: u64,
    /// When the claim was made, Unix seconds: the first floor of the lock's time.
    #[n(8)]
    pub(crate) made_at: u64,
}

impl Owner {
    /// The receipt: the same bytes for the same claim, however often it is asked for.
    pub(crate) fn receipt(&self, factory: &Factory) -> Receipt {
        Receipt {
            lock: factory.lock,
            claim: self.claim,
            log_head: self.log_head,
            log_seq: self.log_seq,
        }
    }
}
