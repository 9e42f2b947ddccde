//! Who a lock is to those it is bonded with, and the addresses under which nobody else knows it.

use rand_core::{CryptoRng, RngCore};
use trouble_host::prelude::BdAddr;
use trouble_host::{Address, IdentityResolvingKey};

/// A lock's Bluetooth identity. A factory reset makes a new one: nobody who knew the old finds it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    irk: IdentityResolvingKey,
    address: [u8; 6],
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl Identity {
    /// Size of the kept form, bytes.
    pub const LEN: usize = 22;

    /// A new identity; `fill` gives secure random bytes.
    pub fn generate(mut fill: impl FnMut(&mut [u8])) -> Self {
        loop {
            let mut bytes = [0; Self::LEN];
            fill(&mut bytes);
            if let Some(last) = bytes.last_mut() {
                *last |= 0xc0;
            }
            // Refused are the key of zeros and the two addresses that the standard excludes.
            if let Some(identity) = Self::from_bytes(bytes) {
                return identity;
            }
        }
    }

    /// The kept form: identity resolving key, then the static random address, little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let from = self.irk.to_le_bytes();
        for (to, from) in bytes.iter_mut().zip(from.iter().chain(&self.address)) {
            *to = *from;
        }
        bytes
    }

    /// Reads the kept form; `None` if it is no identity.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Option<Self> {
        let (key, address) = bytes.split_first_chunk::<16>()?;
        let address: [u8; 6] = address.try_into().ok()?;
        let [a, b, c, d, e, top] = address;
        let random = [a, b, c, d, e, top & 0x3f];
        if top & 0xc0 != 0xc0 || random == [0; 6] || random == [0xff, 0xff, 0xff, 0xff, 0xff, 0x3f]
        {
            return None;
        }
        Some(Self {
            irk: IdentityResolvingKey::from_le_bytes(*key)?,
            address,
        })
    }

    pub(crate) fn irk(&self) -> IdentityResolvingKey {
        self.irk
    }

    pub(crate) fn address(&self) -> Address {
        Address::random(self.address)
    }

    /// A fresh resolvable private address, little-endian.
    ///
    /// trouble-host: the address that it generates has both halves in the wrong byte order, and its own
    /// key does not resolve it. Seen: 0.8.0. So: whichever order resolves is taken, and the random
    /// half is of the right form at both of its ends.
    pub(crate) fn private_address(&self, mut fill: impl FnMut(&mut [u8])) -> [u8; 6] {
        let mut source = Filled(|into: &mut [u8]| {
            fill(into);
            if let Some(first) = into.first_mut() {
                *first = *first & 0x3f | 0x40;
            }
        });
        let [a, b, c, d, e, f] = self.irk.generate_resolvable_address(&mut source);
        let turned = [c, b, a, f, e, d];
        if self.irk.resolve_address(&BdAddr::new(turned)) {
            turned
        } else {
            [a, b, c, d, e, f]
        }
    }
}

/// The port's random bytes as the host's crate wants them.
struct Filled<F>(F);

impl<F: FnMut(&mut [u8])> RngCore for Filled<F> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        (self.0)(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        (self.0)(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, into: &mut [u8]) {
        (self.0)(into);
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), rand_core::Error> {
        (self.0)(into);
        Ok(())
    }
}

impl<F: FnMut(&mut [u8])> CryptoRng for Filled<F> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting() -> impl FnMut(&mut [u8]) {
        let mut next = 1u8;
        move |into| {
            for byte in into {
                *byte = next;
                next = next.wrapping_mul(5).wrapping_add(3);
            }
        }
    }

    /// Guards: an identity that comes back from its file as another one, so that every bond is lost.
    #[test]
    fn identity_survives_being_kept() {
        let identity = Identity::generate(counting());
        assert_eq!(Identity::from_bytes(identity.to_bytes()), Some(identity));
        assert_eq!(identity.to_bytes()[21] & 0xc0, 0xc0);
    }

    /// Guards: an address on the air that the bonded hub cannot resolve, or that everybody can.
    #[test]
    fn private_addresses_resolve_with_the_key_only_and_change() {
        let mut fill = counting();
        let [mine, other] = [(); 2].map(|()| Identity::generate(&mut fill));
        let [first, second] = [(); 2].map(|()| mine.private_address(&mut fill));
        assert_ne!(first, second);
        for address in [first, second].map(|address| Address::random(address).addr) {
            assert!(mine.irk().resolve_address(&address));
            assert!(!other.irk().resolve_address(&address));
        }
    }

    /// Guards: a damaged file taken for an identity.
    #[test]
    fn what_is_no_identity_is_refused() {
        let good = Identity::generate(counting()).to_bytes();
        let mut no_key = good;
        no_key[..16].fill(0);
        let mut not_static = good;
        not_static[21] &= 0x7f;
        let mut zeros = good;
        zeros[16..].copy_from_slice(&[0, 0, 0, 0, 0, 0xc0]);
        for bytes in [no_key, not_static, zeros] {
            assert_eq!(Identity::from_bytes(bytes), None);
        }
    }
}
