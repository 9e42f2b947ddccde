//! Where the newest value of each key lies, in RAM.

use super::entry::Label;

/// Place of a live value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) key: u16,
    pub(super) len: u16,
    /// Number of its page.
    pub(super) page: u32,
    /// Offset of its checksum in the page.
    pub(super) at: u32,
}

impl Place {
    pub(super) const fn label(&self) -> Label {
        Label {
            key: self.key,
            len: Some(self.len),
        }
    }
}

/// At most `KEYS` places, one a key, in no order.
#[derive(Debug)]
pub(super) struct Index<const KEYS: usize> {
    places: heapless::Vec<Place, KEYS>,
}

impl<const KEYS: usize> Index<KEYS> {
    pub(super) const fn new() -> Self {
        Self {
            places: heapless::Vec::new(),
        }
    }

    pub(super) fn find(&self, key: u16) -> Option<Place> {
        self.iter().find(|place| place.key == key).copied()
    }

    /// Puts `place` in the stead of its key's old one, which is returned; `Err` if there is no space for a new key.
    pub(super) fn put(&mut self, place: Place) -> Result<Option<Place>, Place> {
        match self.places.iter_mut().find(|old| old.key == place.key) {
            Some(old) => Ok(Some(core::mem::replace(old, place))),
            None => self.places.push(place).map(|()| None),
        }
    }

    pub(super) fn remove(&mut self, key: u16) -> Option<Place> {
        let at = self.places.iter().position(|place| place.key == key)?;
        Some(self.places.swap_remove(at))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Place> {
        self.places.iter()
    }

    /// Bytes that the live entries take in a frame's body.
    pub(super) fn live_bytes(&self) -> u32 {
        self.iter().map(|place| place.label().size()).sum()
    }
}
