//! Grants whose signature this run of the lock has verified.

use drawbridge_protocol::grant::{Grant, Rights, VerifiedGrant};
use drawbridge_protocol::ids::Digest32;
use drawbridge_protocol::keys::LinkKey;
use drawbridge_protocol::reason::Reason;
use heapless::Vec;

use crate::owner::Owner;

/// How many grants are remembered; the oldest one makes room.
const KEPT: usize = 8;

/// The cache. **Being in it means "the signature was verified" and nothing more:** every use is
/// checked against owner and epoch again, by [`standing`].
#[derive(Debug, Default)]
pub(crate) struct Grants {
    kept: Vec<VerifiedGrant, KEPT>,
}

impl Grants {
    pub(crate) fn find(&self, hash: &Digest32) -> Option<&Grant> {
        self.kept
            .iter()
            .find(|kept| kept.hash == *hash)
            .map(|kept| &kept.grant)
    }

    /// Keeps a grant. When there is no room the oldest one goes whose holder `is_peer` does not
    /// know: a hub must not lose its own rights by carrying the grants of many guests.
    pub(crate) fn insert(&mut self, verified: VerifiedGrant, is_peer: impl Fn(&LinkKey) -> bool) {
        if self.find(&verified.hash).is_some() {
            return;
        }
        if self.kept.is_full() {
            let guest = self
                .kept
                .iter()
                .position(|kept| !is_peer(&kept.grant.holder_link));
            self.kept.remove(guest.unwrap_or(0));
        }
        // There is room now; were there none, the peer would have to present it again.
        let _ = self.kept.push(verified);
    }

    /// The rights that a session's peer has by the grants it presented.
    pub(crate) fn rights_of(&self, peer: &LinkKey, owner: &Owner, policy_epoch: u32) -> Rights {
        self.kept
            .iter()
            .map(|kept| &kept.grant)
            .filter(|grant| {
                grant.holder_link == *peer && standing(grant, owner, policy_epoch).is_ok()
            })
            .fold(Rights::default(), |rights, grant| {
                rights.union(grant.rights)
            })
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }
}

/// Whether the owner in force still stands behind `grant`.
///
/// The full model (delegation, floors per issuer, revoked serials, schedules, leases) has its place
/// here; until it is built, whatever needs it is refused.
pub(crate) fn standing(grant: &Grant, owner: &Owner, policy_epoch: u32) -> Result<(), Reason> {
    if grant.issuer != owner.keys.identity
        || grant.ownership != owner.ownership
        || grant.policy_epoch < policy_epoch
    {
        return Err(Reason::Revoked);
    }
    // This lock was never told the time, so it cannot know whether the moment has come.
    if grant.not_before.is_some() || grant.not_after.is_some() {
        return Err(Reason::NoTime);
    }
    Ok(())
}
