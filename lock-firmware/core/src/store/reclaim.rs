//! Copying the oldest page's live values forward, so that it can be erased.

use zeroize::Zeroizing;

use crate::flash::Flash;

use super::entry::Label;
use super::index::Place;
use super::{MAX_CHANGES, MAX_VALUE, RecordStore, StoreError};

type Group = heapless::Vec<Place, MAX_CHANGES>;

impl<F: Flash, const KEYS: usize> RecordStore<F, KEYS> {
    /// Empties and erases the lowest page.
    ///
    /// Copies go into what is left of the open page first, and then into the free one, which always takes the
    /// rest: it came out of one page. A cut leaves two equal copies, of which the next mount keeps the newer, or
    /// a page with no live value, which the next reclaim erases.
    pub(super) fn reclaim(&mut self) -> Result<(), StoreError> {
        let low = self.chain.low();
        if self.chain.high() == low {
            self.chain.open_next()?;
        }
        loop {
            let group = self.next_group(low);
            if !group.is_empty() {
                self.copy(&group)?;
            } else if self.index.iter().any(|place| place.page == low) {
                self.chain.open_next()?;
            } else {
                break;
            }
        }
        if self.chain.head_is_empty() {
            self.copy(&Group::new())?;
        }
        Ok(self.chain.free_lowest()?)
    }

    /// As many live values of page `low` as fit the open page in one frame.
    fn next_group(&self, low: u32) -> Group {
        let mut group = Group::new();
        let mut left = self.chain.room().unwrap_or(0).min(u32::from(u16::MAX));
        for place in self.index.iter().filter(|place| place.page == low) {
            let size = place.label().size();
            if size <= left && group.push(*place).is_ok() {
                left -= size;
            }
        }
        group
    }

    fn copy(&mut self, group: &Group) -> Result<(), StoreError> {
        let labels: heapless::Vec<Label, MAX_CHANGES> = group.iter().map(Place::label).collect();
        let size: u32 = labels.iter().map(|label| label.size()).sum();
        let len = u16::try_from(size).map_err(|_| StoreError::BatchTooLong)?;
        let mut writer = self.chain.begin(len, Self::labels_crc(labels.iter()))?;
        let mut buffer = Zeroizing::new([0; MAX_VALUE]);
        for place in group {
            let value = buffer
                .get_mut(..usize::from(place.len))
                .ok_or(StoreError::Corrupt)?;
            self.read_value(place, value)?;
            let label = place.label();
            self.chain.push(&mut writer, &label.encode())?;
            self.chain.push(&mut writer, &label.checksum(value))?;
            self.chain.push(&mut writer, value)?;
            self.chain.pad(&mut writer)?;
        }
        let frame = self.chain.finish(writer)?;
        let mut at = frame.body_at();
        for place in group {
            let moved = Place {
                page: frame.page,
                at: at + 4,
                ..*place
            };
            self.index.put(moved).map_err(|_| StoreError::TooManyKeys)?;
            at += place.label().size();
        }
        Ok(())
    }
}
