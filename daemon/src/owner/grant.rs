//! What the owner lets a hub do.

use drawbridge_protocol::claim::PeerKeys;
use drawbridge_protocol::codec::CodecError;
use drawbridge_protocol::cose::MAX_STATEMENT;
use drawbridge_protocol::grant::{Grant, Rights};
use drawbridge_protocol::ids::{LockId, OwnershipId};

use super::keys::OwnerKeys;
use super::lock_record::HubGrant;

/// What a hub may do unless the owner says otherwise: lock and look, never unlock (protocol.md, 3).
pub const HUB_DEFAULT: Rights = Rights::VIEW.union(Rights::LOCK);

/// The highest policy epoch that a grant is signed for.
///
/// A lock raises its epoch by one at each factory reset, and this owner never did; so a higher one is
/// not believed. **The hub is the one who tells it**, and a grant of an epoch that the lock has not
/// reached would outlive every later revocation by epoch.
pub const MAX_POLICY_EPOCH: u32 = 100;

/// Signs the default grant of a hub for one lock and one ownership, in the lock's `policy_epoch`.
///
/// # Errors
/// [`CodecError::TooLong`], which no grant of this shape reaches.
pub fn for_hub(
    keys: &OwnerKeys,
    serial: u32,
    hub: Option<&str>,
    holder: PeerKeys,
    lock: LockId,
    ownership: OwnershipId,
    policy_epoch: u32,
) -> Result<HubGrant, CodecError> {
    let grant = Grant {
        issuer: keys.identity.public(),
        holder: holder.identity,
        holder_link: holder.link,
        lock,
        rights: HUB_DEFAULT,
        not_before: None,
        not_after: None,
        serial,
        policy_epoch,
        ownership,
    };
    let mut out = [0; MAX_STATEMENT];
    let bytes = grant.sign(&keys.identity, &mut out)?.to_vec();
    Ok(HubGrant {
        hub: hub.map(str::to_owned),
        holder,
        rights: HUB_DEFAULT,
        serial,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::super::keys::Kernel;
    use super::*;

    // Guards (S25): a default that would make every hub a key.
    #[test]
    fn s25_a_hub_is_given_lock_and_view_and_nothing_else() {
        let keys = OwnerKeys::generate(&mut Kernel);
        let hub = OwnerKeys::generate(&mut Kernel).public();
        let issued = for_hub(&keys, 3, None, hub, LockId([1; 8]), OwnershipId([2; 8]), 4).unwrap();
        let grant = Grant::verify(&issued.bytes).unwrap().grant;
        assert_eq!(grant.rights.names().collect::<Vec<_>>(), ["view", "lock"]);
        assert_eq!(
            (grant.issuer, grant.holder),
            (keys.identity.public(), hub.identity)
        );
        assert_eq!((grant.serial, grant.ownership), (3, OwnershipId([2; 8])));
        assert_eq!(grant.policy_epoch, 4);
    }
}
