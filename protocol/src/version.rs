//! Versions of the protocol.
//!
//! The policy: **what was released is never changed, reordered or removed.** A new field gets a new
//! key, a new message a new number, a new meaning a new version. A version that is no longer safe
//! leaves by raising [`MIN`]: its code goes with it, so that nobody can be talked back into it.

/// The oldest version this build speaks.
pub const MIN: u8 = 1;

/// The newest version this build speaks.
pub const CURRENT: u8 = 1;

/// The highest version both sides speak, or `None`.
#[must_use]
pub fn agree(peer_min: u8, peer_max: u8) -> Option<u8> {
    let highest = CURRENT.min(peer_max);
    (highest >= MIN && highest >= peer_min).then_some(highest)
}
