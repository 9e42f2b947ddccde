//! Where a lock was seen: by which adapter, under which address.

use bluer::{Address as Bdaddr, AddressType};

use crate::radio::Address;

/// A lock's place, `ADAPTER/LOCK/r` as text (`p` for a public address): 37 bytes. Both are
/// addresses, never `hciN`, which another adapter may have after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The adapter that heard it.
    pub(super) adapter: Bdaddr,
    /// The lock's own address; of a lock without a bond it lives for minutes.
    pub(super) lock: Bdaddr,
    /// Random or public.
    pub(super) kind: AddressType,
}

impl Place {
    /// The core's name for it.
    pub(super) fn address(&self) -> Option<Address> {
        let kind = match self.kind {
            AddressType::LePublic => 'p',
            AddressType::LeRandom => 'r',
            AddressType::BrEdr => return None,
        };
        Address::new(format!("{}/{}/{kind}", self.adapter, self.lock))
    }

    /// Reads what [`Self::address`] wrote; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let adapter = parts.next()?.parse().ok()?;
        let lock = parts.next()?.parse().ok()?;
        let kind = match parts.next()? {
            "p" => AddressType::LePublic,
            "r" => AddressType::LeRandom,
            _ => return None,
        };
        parts.next().is_none().then_some(Self {
            adapter,
            lock,
            kind,
        })
    }
}

/// `public` and `random`, as BlueZ writes them.
pub(super) fn kind_of(text: &str) -> Option<AddressType> {
    match text {
        "public" => Some(AddressType::LePublic),
        "random" => Some(AddressType::LeRandom),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards: an address that the core hands back and the radio no longer understands.
    #[test]
    fn a_place_survives_the_core_and_nothing_else_is_one() {
        for (kind, end) in [(AddressType::LePublic, "/p"), (AddressType::LeRandom, "/r")] {
            let place = Place {
                adapter: Bdaddr::new([0xa0, 1, 2, 3, 4, 5]),
                lock: Bdaddr::new([0x7f, 1, 2, 3, 4, 5]),
                kind,
            };
            let address = place.address().unwrap();
            assert!(address.as_str().ends_with(end) && address.as_str().len() <= Address::MAX);
            assert_eq!(Place::parse(address.as_str()), Some(place));
        }
        for text in [
            "",
            "A0:01:02:03:04:05",
            "A0:01:02:03:04:05/7F:01:02:03:04:05",
            "A0:01:02:03:04:05/7F:01:02:03:04:05/x",
            "A0:01:02:03:04:05/7F:01:02:03:04:05/r/",
            "hci0/7F:01:02:03:04:05/r",
        ] {
            assert_eq!(Place::parse(text), None, "{text:?}");
        }
    }
}
