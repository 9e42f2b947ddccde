//! Bonds as bytes.

use trouble_host::connection::SecurityLevel;
use trouble_host::prelude::{AddrKind, BdAddr, BondInformation};
use trouble_host::{Address, IdentityResolvingKey, LongTermKey};

/// Bonds kept; with one more the oldest goes. trouble-host's table holds one more than this, and would
/// take no new bond once it is full.
pub const MAX_BONDS: usize = 9;

/// A bond made with the passkey over LE Secure Connections, as it is kept. Secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bond([u8; Self::LEN]);

impl core::fmt::Debug for Bond {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Bond(..)")
    }
}

impl Bond {
    /// Size in bytes: kind of the peer's address, address, key that resolves its addresses (zeros:
    /// none), long-term key; little-endian.
    pub const LEN: usize = 39;

    /// Reads the kept form; `None` if it is no bond.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Option<Self> {
        (bytes[0] <= 1).then_some(Self(bytes))
    }

    /// The kept form.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// What the host holds, unless it is weaker than what this lock takes.
    pub(crate) fn from_host(held: &BondInformation) -> Option<Self> {
        if !held.is_bonded || held.security_level != SecurityLevel::EncryptedAuthenticated {
            return None;
        }
        let irk = held
            .identity
            .irk
            .map_or([0; 16], IdentityResolvingKey::to_le_bytes);
        let ltk = held.ltk.to_le_bytes();
        let kind = held.identity.addr.kind.into_inner() & 1;
        let address = held.identity.addr.addr.into_inner();
        let mut bytes = [0; Self::LEN];
        let from = [kind].into_iter().chain(address).chain(irk).chain(ltk);
        for (to, from) in bytes.iter_mut().zip(from) {
            *to = from;
        }
        Some(Self(bytes))
    }

    pub(crate) fn to_host(self) -> Option<BondInformation> {
        let ([kind], rest) = self.0.split_first_chunk::<1>()?;
        let (address, rest) = rest.split_first_chunk::<6>()?;
        let (irk, rest) = rest.split_first_chunk::<16>()?;
        let ltk: [u8; 16] = rest.try_into().ok()?;
        let kind = if *kind == 0 {
            AddrKind::PUBLIC
        } else {
            AddrKind::RANDOM
        };
        let identity = trouble_host::Identity {
            addr: Address::new(kind, BdAddr::new(*address)),
            irk: IdentityResolvingKey::from_le_bytes(*irk),
        };
        Some(BondInformation::new(
            identity,
            LongTermKey::from_le_bytes(ltk),
            SecurityLevel::EncryptedAuthenticated,
            true,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards: a lock that is started again and knows its hub no more.
    #[test]
    fn bond_survives_being_kept() {
        let bytes: [u8; Bond::LEN] = core::array::from_fn(|at| at as u8);
        for kind in [0, 1] {
            let mut bytes = bytes;
            bytes[0] = kind;
            let bond = Bond::from_bytes(bytes).unwrap();
            let held = bond.to_host().unwrap();
            assert_eq!(Bond::from_host(&held), Some(bond));
        }
        assert_eq!(Bond::from_bytes([2; Bond::LEN]), None);
    }

    /// S12. Guards: a bond without a passkey that is kept and believed from then on.
    #[test]
    fn s12_weak_bond_is_never_kept() {
        let mut held = Bond([1; Bond::LEN]).to_host().unwrap();
        held.security_level = SecurityLevel::Encrypted;
        assert_eq!(Bond::from_host(&held), None);
        held.security_level = SecurityLevel::EncryptedAuthenticated;
        held.is_bonded = false;
        assert_eq!(Bond::from_host(&held), None);
    }
}
