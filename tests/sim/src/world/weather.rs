//! What is wrong around the cores at the moment.

use super::noise::Noise;
use crate::schedule::{DiskIll, Wall};

/// Until when what is wrong; everything that is past is well.
#[derive(Debug)]
pub(crate) struct Weather {
    pub(crate) broker_down_until: u64,
    pub(crate) broker_forgot: bool,
    pub(crate) broker_refuses_until: u64,
    pub(crate) cloud_noise: Option<Noise>,
    pub(crate) adapter_gone_until: u64,
    pub(crate) slots: (usize, u64),
    pub(crate) disk: Option<(DiskIll, u64)>,
    pub(crate) wall: Wall,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            broker_down_until: 0,
            broker_forgot: false,
            broker_refuses_until: 0,
            cloud_noise: None,
            adapter_gone_until: 0,
            slots: (usize::MAX, 0),
            disk: None,
            wall: Wall::Off(0),
        }
    }
}

impl Weather {
    /// What the hub's wall clock says, if it is trusted.
    pub(crate) fn wall(&self, began_s: u64, now: u64) -> Option<u64> {
        let run_s = now / 1_000;
        match self.wall {
            Wall::Off(seconds) => (began_s + run_s).checked_add_signed(seconds),
            Wall::Epoch => Some(run_s),
            Wall::Unknown => None,
        }
    }

    /// What is wrong with the disk now.
    pub(crate) fn disk_ill(&self, now: u64) -> Option<DiskIll> {
        self.disk
            .filter(|(_, until)| now < *until)
            .map(|(ill, _)| ill)
    }

    /// Slots that the adapter has now.
    pub(crate) const fn slots(&self, now: u64) -> usize {
        let (slots, until) = self.slots;
        if now < until { slots } else { usize::MAX }
    }

    /// The broker is reached and its session lost.
    pub(crate) const fn take_forgotten(&mut self) -> bool {
        std::mem::replace(&mut self.broker_forgot, false)
    }
}
