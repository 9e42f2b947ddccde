//! From flash to index, and finishing what a power cut left open.

use zeroize::Zeroizing;

use crate::flash::chain::Chain;
use crate::flash::frame::Frame;
use crate::flash::page::{HEADER, Kind};
use crate::flash::{Flash, Region};

use super::entry::{Entries, Next};
use super::index::{Index, Place};
use super::{MAX_VALUE, RecordStore, StoreError};

impl<F: Flash, const KEYS: usize> RecordStore<F, KEYS> {
    /// Reads the store. Blank flash is a new store; flash that holds something else is [`StoreError::Corrupt`].
    ///
    /// Nothing is written before everything has been found consistent. Then torn frames, and values that a
    /// committed batch has replaced, are zeroed, and an erase that was cut is done again.
    pub fn mount(region: Region<F>) -> Result<Self, StoreError> {
        Self::check_size(&region)?;
        let (chain, found) = Chain::scan(region, Kind::Store)?;
        if found.damage > 0 {
            return Err(StoreError::Corrupt);
        }
        let mut store = Self {
            chain,
            index: Index::new(),
        };
        store.build_index()?;
        store.check_values()?;
        store.chain.repair()?;
        store.scrub()?;
        if store.chain.high() > 0 && store.chain.free_pages() == 0 {
            store.reclaim()?;
        }
        Ok(store)
    }

    fn build_index(&mut self) -> Result<(), StoreError> {
        let mut cursor = Cursor::start(&self.chain);
        while let Some(frame) = cursor.next(&self.chain)? {
            if !Entries::are_intact(frame, &self.chain)? {
                return Err(StoreError::Corrupt);
            }
            let mut entries = Entries::of(frame);
            while let Next::Entry(entry) = entries.next(&self.chain)? {
                let key = entry.label.key;
                match entry.label.len {
                    None => {
                        self.index.remove(key);
                    }
                    Some(len) => {
                        let place = Place {
                            key,
                            len,
                            page: frame.page,
                            at: entry.at,
                        };
                        self.index.put(place).map_err(|_| StoreError::TooManyKeys)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn check_values(&self) -> Result<(), StoreError> {
        let mut value = Zeroizing::new([0; MAX_VALUE]);
        for place in self.index.iter() {
            let value = value
                .get_mut(..usize::from(place.len))
                .ok_or(StoreError::Corrupt)?;
            self.read_value(place, value)?;
        }
        Ok(())
    }

    /// Zeroes every value that is not the newest of its key.
    fn scrub(&mut self) -> Result<(), StoreError> {
        let mut cursor = Cursor::start(&self.chain);
        while let Some(frame) = cursor.next(&self.chain)? {
            let mut entries = Entries::of(frame);
            while let Next::Entry(entry) = entries.next(&self.chain)? {
                let live = self
                    .index
                    .find(entry.label.key)
                    .is_some_and(|place| place.page == frame.page && place.at == entry.at);
                if !live {
                    let end = entry.at + entry.label.secret_size();
                    self.chain.zero(frame.page, entry.at, end)?;
                }
            }
        }
        Ok(())
    }
}

/// Steps through all committed frames, oldest first.
struct Cursor {
    page: u32,
    at: u32,
}

impl Cursor {
    fn start<F: Flash>(chain: &Chain<F>) -> Self {
        Self {
            page: chain.low(),
            at: HEADER,
        }
    }

    fn next<F: Flash>(&mut self, chain: &Chain<F>) -> Result<Option<Frame>, StoreError> {
        while self.page <= chain.high() {
            if let Some(frame) = chain.frame_from(self.page, self.at)? {
                self.at = frame.end();
                return Ok(Some(frame));
            }
            self.page += 1;
            self.at = HEADER;
        }
        Ok(None)
    }
}
