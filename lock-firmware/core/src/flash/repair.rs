//! Finishing after a boot what the power cut off.

use super::Flash;
use super::chain::{Chain, ChainError};
use super::frame::{COMMIT, Frame, HEAD};
use super::page::{HEADER, Mark};
use super::scan::Step;

impl<F: Flash> Chain<F> {
    /// Zeroes torn frames, completes commit words and marks, and erases again where an erase or an opening may
    /// have been cut. Everything here may itself be cut and is then done by the next repair.
    pub(crate) fn repair(&mut self) -> Result<(), ChainError> {
        let outcome = self.try_repair();
        self.stuck = outcome.is_err();
        outcome
    }

    fn try_repair(&mut self) -> Result<(), ChainError> {
        if self.high == 0 {
            return Ok(());
        }
        for number in self.low..=self.high {
            self.repair_page(number)?;
        }
        if self.high > self.low {
            self.set_mark(self.high - 1, Mark::AboveOpened)?;
        }
        let all_slots_taken = self.members() == self.slots();
        let freed = self.has_mark(self.low, Mark::BelowFreed)?;
        if freed {
            self.set_mark(self.low, Mark::BelowFreed)?;
        }
        // The very first page may have skipped slots in which an earlier opening was cut.
        let skipped = self.low > 1 && self.header(self.low)?.is_some_and(|h| h.floor == self.low);
        let erased = self.has_mark(self.low, Mark::BelowErased)?;
        if (freed || skipped) && !erased && !all_slots_taken {
            self.erase_below()?;
        }
        if self.has_mark(self.high, Mark::AboveOpening)? && !all_slots_taken {
            // Its cells may hold half an erase that reads as blank, so what they read as proves nothing.
            self.region.erase(self.slot(self.high + 1))?;
        }
        Ok(())
    }

    fn repair_page(&mut self, number: u32) -> Result<(), ChainError> {
        let mut at = HEADER;
        loop {
            match self.step(number, at)? {
                Step::Frame(frame) => {
                    self.complete_commit(&frame)?;
                    at = frame.end();
                }
                Step::Torn(from, to) => {
                    // A scan tells a torn head from a damaged one by the absence of a body, so the head goes last.
                    let body = to.min(from + HEAD);
                    self.zero(number, body, to)?;
                    return self.zero(number, from, body);
                }
                Step::Blank(_) | Step::Damaged => return Ok(()),
            }
        }
    }

    fn complete_commit(&mut self, frame: &Frame) -> Result<(), ChainError> {
        let cells = self.word(frame.page, frame.commit_at())?;
        if cells & !COMMIT == 0 {
            return Ok(());
        }
        let wanted = cells & COMMIT;
        self.write_checked(frame.page, frame.commit_at(), &wanted.to_le_bytes())
    }
}
