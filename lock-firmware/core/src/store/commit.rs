//! Committing a batch.

use crate::flash::Flash;

use super::entry::Label;
use super::index::Place;
use super::{Change, MAX_CHANGES, MAX_VALUE, RecordStore, StoreError};

impl Change<'_> {
    /// Only after its length was checked.
    fn label(&self) -> Label {
        Label {
            key: self.key(),
            len: match self {
                Self::Put(_, value) => Some(value.len() as u16),
                Self::Erase(_) => None,
            },
        }
    }
}

impl<F: Flash, const KEYS: usize> RecordStore<F, KEYS> {
    /// Makes the whole batch durable, or none of it, and zeroes the values that it replaced.
    ///
    /// Errors of the request itself ([`StoreError::ValueTooLong`] and its like, [`StoreError::Full`]) leave
    /// every record as it was, and the store usable.
    pub fn commit(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        let size = self.admit(changes)?;
        if size == 0 {
            return Ok(());
        }
        self.make_room(size)?;
        let replaced = self.write_batch(changes, size)?;
        for place in replaced {
            let end = place.at + place.label().secret_size();
            self.chain.zero(place.page, place.at, end)?;
        }
        Ok(())
    }

    /// The changes that have an effect.
    fn effective<'c>(&self, changes: &'c [Change<'c>]) -> impl Iterator<Item = &'c Change<'c>> {
        changes
            .iter()
            .filter(|change| matches!(change, Change::Put(..)) || self.contains(change.key()))
    }

    /// Checks every limit; returns the bytes of the batch's body.
    fn admit(&self, changes: &[Change<'_>]) -> Result<u32, StoreError> {
        if changes.len() > MAX_CHANGES {
            return Err(StoreError::BatchTooLong);
        }
        let mut keys_after = self.keys().count();
        let mut live_after = self.index.live_bytes();
        let mut size = 0;
        for (nth, change) in changes.iter().enumerate() {
            if changes
                .iter()
                .take(nth)
                .any(|other| other.key() == change.key())
            {
                return Err(StoreError::RepeatedKey);
            }
            if matches!(change, Change::Put(_, value) if value.len() > MAX_VALUE) {
                return Err(StoreError::ValueTooLong);
            }
            if let Some(old) = self.index.find(change.key()) {
                live_after -= old.label().size();
                keys_after -= 1;
            }
            if matches!(change, Change::Put(..)) {
                live_after += change.label().size();
                keys_after += 1;
            }
        }
        for change in self.effective(changes) {
            size += change.label().size();
        }
        if size > Self::max_batch() {
            return Err(StoreError::BatchTooLong);
        }
        if keys_after > KEYS {
            return Err(StoreError::TooManyKeys);
        }
        if live_after > self.capacity() && live_after > self.index.live_bytes() {
            return Err(StoreError::Full);
        }
        Ok(size)
    }

    /// Opens pages, and copies old ones forward, until the open page takes `size` bytes of body. One page is
    /// always left free, to copy into.
    fn make_room(&mut self, size: u32) -> Result<(), StoreError> {
        let mut rounds = 0;
        while self.chain.room().is_none_or(|room| room < size) {
            if self.chain.free_pages() >= 2 {
                self.chain.open_next()?;
                continue;
            }
            // Twice around, everything has been packed as tightly as it goes.
            if rounds > 2 * self.chain.slots() {
                return Err(StoreError::Full);
            }
            rounds += 1;
            self.reclaim()?;
        }
        Ok(())
    }

    /// Returns the places of the values that are no longer live.
    fn write_batch(
        &mut self,
        changes: &[Change<'_>],
        size: u32,
    ) -> Result<heapless::Vec<Place, KEYS>, StoreError> {
        let labels: heapless::Vec<Label, MAX_CHANGES> =
            self.effective(changes).map(Change::label).collect();
        let len = u16::try_from(size).map_err(|_| StoreError::BatchTooLong)?;
        let mut writer = self.chain.begin(len, Self::labels_crc(labels.iter()))?;
        for change in changes {
            if matches!(change, Change::Erase(key) if !self.contains(*key)) {
                continue;
            }
            let label = change.label();
            self.chain.push(&mut writer, &label.encode())?;
            if let Change::Put(_, value) = change {
                self.chain.push(&mut writer, &label.checksum(value))?;
                self.chain.push(&mut writer, value)?;
                self.chain.pad(&mut writer)?;
            }
        }
        let frame = self.chain.finish(writer)?;
        let mut replaced = heapless::Vec::new();
        let mut at = frame.body_at();
        for label in labels {
            let old = match label.len {
                None => self.index.remove(label.key),
                Some(len) => {
                    let place = Place {
                        key: label.key,
                        len,
                        page: frame.page,
                        at: at + 4,
                    };
                    self.index.put(place).map_err(|_| StoreError::TooManyKeys)?
                }
            };
            if let Some(old) = old {
                // At most one a key, and there are at most `KEYS`.
                replaced.push(old).map_err(|_| StoreError::TooManyKeys)?;
            }
            at += label.size();
        }
        Ok(replaced)
    }
}
