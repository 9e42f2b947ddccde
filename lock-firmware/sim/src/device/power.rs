//! Power: on with a running core, or off with what is left in flash.

use drawbridge_lock::{BootError, Lock};

use super::{Device, Effect};
use crate::control::Cut;

impl Device {
    /// Why the core would not start, if it would not.
    #[must_use]
    pub const fn boot_error(&self) -> Option<&BootError> {
        self.boot_error.as_ref()
    }

    /// Starts the core on what is in flash; nothing happens if it runs.
    pub(super) fn boot(&mut self, now_ms: u64) {
        if self.lock.is_some() {
            return;
        }
        self.booted_at = now_ms;
        self.driven = false;
        self.told = self.body.sensors(now_ms);
        let booted = Lock::boot(
            self.flash.clone(),
            self.factory.clone(),
            self.settings,
            self.told,
            &mut self.entropy,
        );
        self.boot_error = None;
        match booted {
            Ok(lock) => {
                self.lock = Some(Box::new(lock));
                self.effects.push_back(Effect::Appeared);
            }
            // A cut while booting is no refusal: the next power_on goes on from there.
            Err(_) if self.flash.is_dead() => {}
            Err(error) => self.boot_error = Some(error),
        }
    }

    /// Takes the power away: the motor stops where it is, the links vanish, RAM is gone.
    pub(super) fn die(&mut self, now_ms: u64) {
        self.body.lose_power(now_ms);
        self.image.keep_bolt(self.body.bolt_at(now_ms));
        self.deliver_to_hub(now_ms);
        self.lock = None;
        self.lose_links(now_ms);
    }

    /// Brings the power back, perhaps with the next cut armed.
    pub(super) fn revive(&mut self, cut: Option<Cut>, now_ms: u64) {
        self.flash.restore();
        self.arm(cut);
        self.boot(now_ms);
    }

    /// Arms a cut in flash.
    pub(super) fn arm(&mut self, cut: Option<Cut>) {
        if let Some(cut) = cut {
            self.flash.cut_after(cut.at_write - 1, cut.tear, cut.seed);
        }
    }
}
