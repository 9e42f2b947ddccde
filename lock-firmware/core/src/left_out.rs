//! What happened without a command and got no record because the log was full.
//!
//! **Nothing is left out unseen:** it is counted, and the count is written down once there is room.

use drawbridge_protocol::log_record::LogEvent;
use drawbridge_protocol::report::Cause;

use crate::flash::Flash;
use crate::history::{Entry, Room};
use crate::lock::Lock;

impl<F: Flash> Lock<F> {
    /// Writes down what a sensor said; what finds no room is counted.
    pub(crate) fn note_sensed(&mut self, entry: &Entry<'_>, now_ms: u64) {
        if self.note(entry, Room::Optional, now_ms).is_none() {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// Writes down how much got no record, once there is room for guests again.
    pub(crate) fn tell_left_out(&mut self, now_ms: u64) {
        if self.left_out == 0 || self.halted {
            return;
        }
        let mut entry = Entry::new(LogEvent::LeftOut, Cause::Sensor);
        entry.count = Some(self.left_out);
        if self.note(&entry, Room::Optional, now_ms).is_none() {
            return;
        }
        // Forgotten after it was told: power lost between the two has it told twice.
        if self.memory.save_left_out(0).is_err() {
            return self.halt();
        }
        self.left_out = 0;
    }
}
