//! Reading a chain back after a boot: what is whole, what was torn, and what no torn write explains.

use super::chain::Chain;
use super::frame::{ERASED, Frame, HEAD, OVERHEAD};
use super::page::{HEADER, Header, Kind, Mark};
use super::{Flash, FlashError, Region};

/// What lies at a place in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A committed frame.
    Frame(Frame),
    /// Nothing from this offset to the end of the page.
    Blank(u32),
    /// The remains of a write that was cut, from the first to past the last word; nothing after them.
    Torn(u32, u32),
    /// Something that no cut leaves.
    Damaged,
}

/// What a scan has to tell besides the chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Places that no torn write explains.
    pub(crate) damage: u32,
    /// Whether a write was cut before it was committed.
    pub(crate) torn: bool,
    /// Sequence number of the last frame that is there.
    pub(crate) newest: Option<u64>,
}

impl<F: Flash> Chain<F> {
    /// Finds the chain of this kind in `region`. Writes nothing.
    ///
    /// With damage, the chain is what can still be reached, and its next sequence number lies above every
    /// number that the unreadable part can have used (no page holds more frames than its size allows).
    pub(crate) fn scan(region: Region<F>, kind: Kind) -> Result<(Self, Findings), FlashError> {
        let mut chain = Self {
            region,
            kind,
            low: 1,
            high: 0,
            tail: 0,
            head_base: 1,
            next_seq: 1,
            stuck: true,
        };
        let mut found = Findings::default();
        match chain.highest()? {
            Some(high) => chain.high = high.number,
            None => {
                chain.check_unused(&mut found)?;
                chain.stuck = false;
                return Ok((chain, found));
            }
        }
        chain.step_back_from_empty_head()?;
        chain.find_low(&mut found)?;
        chain.walk(&mut found)?;
        Ok((chain, found))
    }

    fn highest(&self) -> Result<Option<Header>, FlashError> {
        let mut highest: Option<Header> = None;
        for slot in 0..self.slots() {
            let mut bytes = [0; 24];
            self.read(slot, 0, &mut bytes)?;
            let header = Header::decode(&bytes, self.kind)
                .filter(|header| self.slot(header.number) == slot)
                .filter(|header| highest.is_none_or(|best| best.number < header.number));
            highest = header.or(highest);
        }
        Ok(highest)
    }

    /// No page says who it is. That is a new device only if none has content either: a page is opened before
    /// its first frame, and an opening that was cut leaves the rest of the page erased.
    fn check_unused(&self, found: &mut Findings) -> Result<(), FlashError> {
        for slot in 0..self.slots() {
            if !self.is_blank(slot, HEADER)? {
                found.damage += 1;
            } else if !self.is_blank(slot, 0)? {
                found.torn = true;
            }
        }
        Ok(())
    }

    /// A page that was opened and got no frame does not count yet, except the very first. What else it holds may
    /// be half of the erase that an earlier repair began, and no frame in it was acknowledged before its mark.
    fn step_back_from_empty_head(&mut self) -> Result<(), FlashError> {
        let first = self
            .header(self.high)?
            .is_none_or(|header| header.floor == header.number);
        if first || matches!(self.step(self.high, HEADER)?, Step::Frame(_)) {
            return Ok(());
        }
        let below = self.high - 1;
        if self.header(below)?.is_some() && !self.has_mark(below, Mark::AboveOpened)? {
            self.high = below;
        }
        Ok(())
    }

    fn find_low(&mut self, found: &mut Findings) -> Result<(), FlashError> {
        self.low = self.high;
        loop {
            let Some(header) = self.header(self.low)? else {
                return Ok(());
            };
            if header.floor == self.low || self.has_mark(self.low, Mark::BelowFreed)? {
                return Ok(());
            }
            if self.members() == self.slots() || self.header(self.low - 1)?.is_none() {
                found.damage += 1;
                return Ok(());
            }
            self.low -= 1;
        }
    }

    fn walk(&mut self, found: &mut Findings) -> Result<(), FlashError> {
        let mut expected = None;
        for number in self.low..=self.high {
            let base = self.header(number)?.map_or(0, |header| header.base_seq);
            if expected.is_some_and(|expected| expected != base) {
                found.damage += 1;
            }
            self.head_base = base;
            self.next_seq = base;
            let whole = self.walk_page(number, found)?;
            let emptied = self.head_is_empty()
                && number > self.low
                && self.has_mark(number - 1, Mark::AboveOpened)?;
            if !whole || emptied {
                self.skip_damaged_page(found);
            }
            // After damage inside a page the next page's own base is the better witness.
            expected = (whole && !emptied).then_some(self.next_seq);
        }
        if self.has_mark(self.high, Mark::AboveOpened)? {
            self.skip_damaged_page(found);
        }
        Ok(())
    }

    /// Whether every frame of the page could be read.
    fn walk_page(&mut self, number: u32, found: &mut Findings) -> Result<bool, FlashError> {
        let mut at = HEADER;
        loop {
            match self.step(number, at)? {
                Step::Frame(frame) if frame.seq == self.next_seq => {
                    found.newest = Some(frame.seq);
                    self.next_seq += 1;
                    at = frame.end();
                }
                Step::Blank(end) => {
                    self.tail = end;
                    return Ok(true);
                }
                Step::Torn(_, end) => {
                    found.torn = true;
                    self.tail = end;
                    return Ok(true);
                }
                Step::Frame(_) | Step::Damaged => return Ok(false),
            }
        }
    }

    /// Numbers go on behind all those that an unreadable page can have used, in a page of their own.
    fn skip_damaged_page(&mut self, found: &mut Findings) {
        found.damage += 1;
        self.next_seq = self.next_seq.saturating_add(u64::from(F::PAGE / OVERHEAD));
        self.tail = F::PAGE;
    }

    /// What lies at the first word at or after `at` that is not zero.
    pub(super) fn step(&self, number: u32, mut at: u32) -> Result<Step, FlashError> {
        while at + 4 <= F::PAGE && self.word(number, at)? == 0 {
            at += 4;
        }
        if at + OVERHEAD > F::PAGE {
            let used = self.last_used(number, at)?;
            return Ok(if used == at {
                Step::Blank(at)
            } else {
                Step::Torn(at, used)
            });
        }
        let mut head = [0; HEAD as usize];
        self.read(number, at, &mut head)?;
        if let Some(frame) = Frame::decode(&head, self.kind, number, at) {
            if frame.end() > F::PAGE {
                return Ok(Step::Damaged);
            }
            if self.word(number, frame.commit_at())? != ERASED {
                return Ok(Step::Frame(frame));
            }
            // Nothing follows a frame that was cut; more than its own extent is something else.
            let used = self.last_used(number, at)?;
            return Ok(if used > frame.end() {
                Step::Damaged
            } else {
                Step::Torn(at, used)
            });
        }
        let used = self.last_used(number, at)?;
        if used == at {
            return Ok(Step::Blank(at));
        }
        // A head that was cut has no body yet; one that is being zeroed has a zero body.
        let untouched = head.iter().all(|byte| *byte == 0xFF);
        if untouched || self.is_zero(number, at + HEAD, used)? {
            Ok(Step::Torn(at, used))
        } else {
            Ok(Step::Damaged)
        }
    }

    fn is_zero(&self, number: u32, from: u32, to: u32) -> Result<bool, FlashError> {
        let mut at = from;
        while at < to {
            if self.word(number, at)? != 0 {
                return Ok(false);
            }
            at += 4;
        }
        Ok(true)
    }
}
