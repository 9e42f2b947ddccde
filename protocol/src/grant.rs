//! Grants: signed statements of rights.
//!
//! This version of the lock honours grants signed by the owner root itself. The fields that
//! delegation, schedules, leases and uses need have their keys reserved here; a lock that cannot
//! check a field refuses the grant that has it.

use minicbor::{Decode, Encode};

use crate::codec::{CodecError, decode_exact, encode};
use crate::cose::{CoseError, Envelope, Kind, MAX_PAYLOAD, sign1};
use crate::ids::{Digest32, LockId, OwnershipId};
use crate::keys::{IdentityKey, IdentitySecret, LinkKey};

/// A set of rights, each separate: may-lock-but-never-unlock is a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Rights(#[n(0)] u16);

impl Rights {
    /// See the lock's state, log position and handshakes.
    pub const VIEW: Self = Self(1);
    /// Throw the bolt.
    pub const LOCK: Self = Self(1 << 1);
    /// Draw the bolt.
    pub const UNLOCK: Self = Self(1 << 2);
    /// Draw the latch.
    pub const OPEN: Self = Self(1 << 3);
    /// Change the configuration.
    pub const CONFIGURE: Self = Self(1 << 4);
    /// Manage users and codes.
    pub const MANAGE_USERS: Self = Self(1 << 5);
    /// Authorize an update.
    pub const UPDATE: Self = Self(1 << 6);
    /// Pull the log.
    pub const READ_AUDIT: Self = Self(1 << 7);
    /// Issue grants below this one.
    pub const DELEGATE: Self = Self(1 << 8);
    /// What the owner root has.
    pub const ALL: Self = Self((1 << 9) - 1);

    const NAMES: [(Self, &'static str); 9] = [
        (Self::VIEW, "view"),
        (Self::LOCK, "lock"),
        (Self::UNLOCK, "unlock"),
        (Self::OPEN, "open"),
        (Self::CONFIGURE, "configure"),
        (Self::MANAGE_USERS, "manage_users"),
        (Self::UPDATE, "update"),
        (Self::READ_AUDIT, "read_audit"),
        (Self::DELEGATE, "delegate"),
    ];

    /// Whether every right in `wanted` is in `self`.
    #[must_use]
    pub const fn contains(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// The rights in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The names of the rights in `self`, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(right, _)| self.contains(*right))
            .map(|(_, name)| name)
    }

    /// The right with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .into_iter()
            .find(|(_, known)| *known == name)
            .map(|(right, _)| right)
    }
}

/// What a grant says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Grant {
    /// Who grants.
    #[n(1)]
    pub issuer: IdentityKey,
    /// Who may sign commands under it.
    #[n(2)]
    pub holder: IdentityKey,
    /// The holder's end of a session; "direct" means that this key is the session's peer.
    #[n(3)]
    pub holder_link: LinkKey,
    /// Which lock.
    #[n(4)]
    pub lock: LockId,
    /// What the holder may do.
    #[n(5)]
    pub rights: Rights,
    /// First moment, Unix seconds. A lock that was never told the time refuses such a grant.
    #[n(6)]
    pub not_before: Option<u64>,
    /// Last moment, Unix seconds.
    #[n(7)]
    pub not_after: Option<u64>,
    /// Number of this grant among the issuer's, rising.
    #[n(13)]
    pub serial: u32,
    /// Dead once the lock's policy epoch is above it.
    #[n(14)]
    pub policy_epoch: u32,
    /// The ownership it belongs to; dead with it.
    #[n(15)]
    pub ownership: OwnershipId,
}

/// A grant that verified, and the hash that commands name it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedGrant {
    /// What it says.
    pub grant: Grant,
    /// SHA-256 of the whole statement.
    pub hash: Digest32,
}

impl Grant {
    /// Signs the grant.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] when `out` is too small.
    pub fn sign<'o>(
        &self,
        issuer: &IdentitySecret,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], CodecError> {
        let mut payload = [0; MAX_PAYLOAD];
        sign1(Kind::Grant, encode(self, &mut payload)?, issuer, out)
    }

    /// Reads and verifies a grant under the issuer that it names. Whether that issuer may grant
    /// anything is for the caller to decide.
    ///
    /// # Errors
    /// [`CoseError`].
    pub fn verify(bytes: &[u8]) -> Result<VerifiedGrant, CoseError> {
        let envelope = Envelope::parse(Kind::Grant, bytes)?;
        let grant: Self = decode_exact(envelope.unverified_payload())?;
        envelope.verify(&grant.issuer)?;
        Ok(VerifiedGrant {
            grant,
            hash: Digest32::of(bytes),
        })
    }
}
