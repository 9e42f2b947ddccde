//! The lock's history on flash: records with numbers that never come back, in a ring of pages.
//!
//! What a record says, and the hash chain through them, is the business of whoever appends. The ring keeps them
//! in order until somebody who may has them freed; it overwrites nothing on its own account
//! (docs/decisions/0002 tells why it has framing of its own).

use crate::flash::chain::Chain;
use crate::flash::crc::crc32;
use crate::flash::frame::Frame;
use crate::flash::page::{HEADER, Kind};
use crate::flash::scan::Findings;
use crate::flash::{Flash, Region};

mod error;

pub use error::LogError;

/// Longest record in bytes.
pub const MAX_RECORD: usize = 512;
/// Share of the ring in percent from which on the lock warns that its history should be pulled.
pub const WARN_PERCENT: u8 = 70;

/// The log.
///
/// Contract: [`mount`](Self::mount) once per boot, then any order of calls. An [`append`](Self::append) that
/// returns `Ok` is durable and read back. After one that failed on flash, the ring answers
/// [`LogError::NeedsMount`] until it is mounted again. Space comes back by whole pages, oldest first, through
/// [`free_to`](Self::free_to) or [`overwrite_oldest`](Self::overwrite_oldest) and in no other way.
/// **No number is given to two acknowledged records, and the newest record is never freed.**
#[derive(Debug)]
pub struct LogRing<F> {
    chain: Chain<F>,
    found: Findings,
    /// Number of the first record in the lowest page.
    oldest: u64,
    newest: Option<u64>,
}

impl<F: Flash> LogRing<F> {
    /// Reads the ring. Blank flash is a new log that starts at 1.
    ///
    /// A record whose append was cut is dropped ([`torn_tail`](Self::torn_tail)). Damage that no cut explains
    /// costs the records under it and is counted ([`damage`](Self::damage)); numbering then goes on above every
    /// number that they can have had. [`LogError::Damaged`] if nothing is readable.
    pub fn mount(region: Region<F>) -> Result<Self, LogError> {
        Self::check_size(&region)?;
        let (mut chain, found) = Chain::scan(region, Kind::Log)?;
        if chain.high() == 0 && found.damage > 0 {
            return Err(LogError::Damaged);
        }
        chain.repair()?;
        let mut ring = Self {
            chain,
            found,
            oldest: 0,
            newest: found.newest,
        };
        ring.oldest = ring.base_of(ring.chain.low())?;
        Ok(ring)
    }

    /// Erases the region and goes on at number `first_seq`, which must lie above every number ever acknowledged.
    pub fn format(region: Region<F>, first_seq: u64) -> Result<Self, LogError> {
        Self::check_size(&region)?;
        Ok(Self {
            chain: Chain::format(region, Kind::Log, first_seq)?,
            found: Findings::default(),
            oldest: first_seq,
            newest: None,
        })
    }

    /// Adds a record and returns its number. [`LogError::Full`] leaves the ring as it was.
    pub fn append(&mut self, record: &[u8]) -> Result<u64, LogError> {
        if record.len() > MAX_RECORD {
            return Err(LogError::TooLong);
        }
        let len = record.len() as u16;
        if self.chain.room().is_none_or(|room| room < u32::from(len)) {
            self.chain.open_next()?;
        }
        let mut writer = self.chain.begin(len, crc32([record]))?;
        self.chain.push(&mut writer, record)?;
        let frame = self.chain.finish(writer)?;
        if self.newest.is_none() {
            self.oldest = frame.seq;
        }
        self.newest = Some(frame.seq);
        Ok(frame.seq)
    }

    /// Copies record `seq` into the front of `into` and returns its length in bytes; `None` if it was freed, lost
    /// to damage or not written yet.
    pub fn read(&self, seq: u64, into: &mut [u8]) -> Result<Option<usize>, LogError> {
        let Some(frame) = self.find(seq)? else {
            return Ok(None);
        };
        let len = usize::from(frame.len);
        let into = into.get_mut(..len).ok_or(LogError::BufferTooSmall(len))?;
        self.chain.read(frame.page, frame.body_at(), into)?;
        if crc32([&*into]) != frame.body_crc {
            into.fill(0);
            return Err(LogError::DamagedRecord(seq));
        }
        Ok(Some(len))
    }

    /// Number of the oldest record, if there is one.
    #[must_use]
    pub const fn oldest(&self) -> Option<u64> {
        match self.newest {
            Some(_) => Some(self.oldest),
            None => None,
        }
    }

    /// Number of the newest record, if there is one.
    #[must_use]
    pub const fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Number that the next record gets.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.chain.next_seq()
    }

    /// Whether the mount dropped a record whose append had been cut.
    #[must_use]
    pub const fn torn_tail(&self) -> bool {
        self.found.torn
    }

    /// Places at mount that no power cut explains. Anything above zero is worth an alarm.
    #[must_use]
    pub const fn damage(&self) -> u32 {
        self.found.damage
    }

    /// Gives up records up to and including `seq`, by whole pages; the rest of them stay readable. Returns how many
    /// records went. The page with the newest record stays whatever `seq` says.
    pub fn free_to(&mut self, seq: u64) -> Result<u64, LogError> {
        let mut freed = 0;
        while let Some(next) = self.oldest_after_lowest()? {
            if next > seq.saturating_add(1) {
                break;
            }
            freed += self.drop_lowest(next)?;
        }
        Ok(freed)
    }

    /// Gives up the oldest page for an owner who must act on a full lock; returns how many records are lost.
    pub fn overwrite_oldest(&mut self) -> Result<u64, LogError> {
        let next = self.oldest_after_lowest()?.ok_or(LogError::OnlyNewest)?;
        self.drop_lowest(next)
    }

    /// Share of the ring in use, in percent. The unused end of a page that is no longer written counts as used.
    #[must_use]
    pub fn usage(&self) -> u8 {
        let all = self.chain.slots() * F::PAGE;
        let free = self.chain.free_pages() * F::PAGE;
        let open = match self.chain.high() {
            0 => 0,
            _ => F::PAGE.saturating_sub(self.chain.tail()),
        };
        let used = u64::from(all.saturating_sub(free + open));
        u8::try_from(used * 100 / u64::from(all.max(1))).unwrap_or(100)
    }

    /// Whether a record of [`MAX_RECORD`] bytes would be refused.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let room = self.chain.room().unwrap_or(0);
        self.chain.free_pages() == 0 && room < MAX_RECORD as u32
    }

    fn check_size(region: &Region<F>) -> Result<(), LogError> {
        if region.pages() < 2 || F::PAGE < 1024 || F::PAGE > 32_768 {
            return Err(LogError::RegionTooSmall);
        }
        Ok(())
    }

    fn base_of(&self, page: u32) -> Result<u64, LogError> {
        if self.chain.high() == 0 {
            return Ok(self.chain.next_seq());
        }
        let header = self.chain.header(page)?.ok_or(LogError::Damaged)?;
        Ok(header.base_seq)
    }

    /// What the oldest number would be without the lowest page, if that page can be given up.
    fn oldest_after_lowest(&self) -> Result<Option<u64>, LogError> {
        let low = self.chain.low();
        if low >= self.chain.high() {
            return Ok(None);
        }
        let next = self.base_of(low + 1)?;
        Ok(self
            .newest
            .is_some_and(|newest| newest >= next)
            .then_some(next))
    }

    fn drop_lowest(&mut self, next: u64) -> Result<u64, LogError> {
        self.chain.free_lowest()?;
        let lost = next.saturating_sub(self.oldest);
        self.oldest = next;
        Ok(lost)
    }

    fn find(&self, seq: u64) -> Result<Option<Frame>, LogError> {
        if self.newest.is_none_or(|newest| seq > newest) || seq < self.oldest {
            return Ok(None);
        }
        let mut page = self.chain.high();
        while page > self.chain.low() && self.base_of(page)? > seq {
            page -= 1;
        }
        let mut at = HEADER;
        while let Some(frame) = self.chain.frame_from(page, at)? {
            if frame.seq >= seq {
                return Ok((frame.seq == seq).then_some(frame));
            }
            at = frame.end();
        }
        Ok(None)
    }
}
