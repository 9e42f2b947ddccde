//! Power: on with a running core, or off with what is left in flash.

use drawbridge_lock::{BootError, Lock};

use super::{Device, Effect};
use crate::control::Cut;
use crate::image::SimFlash;

/// The supply, and what it feeds.
#[derive(Debug)]
pub(super) enum Power {
    /// The core runs.
    On(Box<Lock<SimFlash>>),
    /// It does not.
    Off {
        /// Its flash, with the power off.
        flash: SimFlash,
        /// Why the core would not start, if that is the reason.
        refused: Option<BootError>,
    },
    /// Only while a boot or a death is under way.
    Switching,
}

impl Power {
    pub(super) const fn off(flash: SimFlash) -> Self {
        Self::Off {
            flash,
            refused: None,
        }
    }

    pub(super) fn lock(&mut self) -> Option<&mut Lock<SimFlash>> {
        match self {
            Self::On(lock) => Some(lock),
            _ => None,
        }
    }

    pub(super) fn lock_ref(&self) -> Option<&Lock<SimFlash>> {
        match self {
            Self::On(lock) => Some(lock),
            _ => None,
        }
    }

    pub(super) fn flash(&self) -> Option<&SimFlash> {
        match self {
            Self::On(lock) => Some(lock.flash()),
            Self::Off { flash, .. } => Some(flash),
            Self::Switching => None,
        }
    }

    pub(super) fn flash_mut(&mut self) -> Option<&mut SimFlash> {
        match self {
            Self::On(lock) => Some(lock.flash_mut()),
            Self::Off { flash, .. } => Some(flash),
            Self::Switching => None,
        }
    }
}

impl Device {
    /// Why the core would not start, if it would not.
    #[must_use]
    pub const fn boot_error(&self) -> Option<&BootError> {
        match &self.power {
            Power::Off { refused, .. } => refused.as_ref(),
            _ => None,
        }
    }

    /// Starts the core on what is in flash; nothing happens if it runs.
    pub(super) fn boot(&mut self, now_ms: u64) {
        let flash = match std::mem::replace(&mut self.power, Power::Switching) {
            Power::Off { flash, .. } => flash,
            other => {
                self.power = other;
                return;
            }
        };
        self.booted_at = now_ms;
        self.told = self.body.sensors(now_ms);
        let booted = Lock::boot(
            flash,
            self.factory.clone(),
            self.settings,
            self.told,
            &mut self.entropy,
        );
        self.power = match booted {
            Ok(lock) => {
                self.effects.push_back(Effect::Appeared);
                Power::On(Box::new(lock))
            }
            Err((error, flash)) => Power::Off {
                // A cut while booting is no refusal: the next power_on goes on from there.
                refused: (!flash.is_dead()).then_some(error),
                flash,
            },
        };
    }

    /// Takes the power away: the motor stops where it is, the links vanish, RAM is gone.
    pub(super) fn die(&mut self, now_ms: u64) {
        self.body.lose_power(now_ms);
        self.image.keep_bolt(self.body.bolt_at(now_ms));
        self.deliver_to_hub(now_ms);
        if let Power::On(lock) = std::mem::replace(&mut self.power, Power::Switching) {
            self.power = Power::off(lock.into_flash());
        }
        self.lose_links(now_ms);
    }

    /// Brings the power back, perhaps with the next cut armed.
    pub(super) fn revive(&mut self, cut: Option<Cut>, now_ms: u64) {
        if let Some(flash) = self.power.flash_mut() {
            flash.restore();
        }
        self.arm(cut);
        self.boot(now_ms);
    }

    /// Arms a cut in flash.
    pub(super) fn arm(&mut self, cut: Option<Cut>) {
        if let (Some(cut), Some(flash)) = (cut, self.power.flash_mut()) {
            flash.cut_after(cut.at_write - 1, cut.tear, cut.seed);
        }
    }
}
