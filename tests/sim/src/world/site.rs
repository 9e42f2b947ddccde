//! One lock of the house, with its owner, its auditor and the air around it.

use std::collections::{BTreeMap, VecDeque};

use drawbridge_daemon::core::{Address, LinkId as HubLink};
use drawbridge_lock::Settings;
use drawbridge_protocol::ids::{CommandId, Digest32, LockEpoch};

use super::noise::Noise;
use crate::dice::Dice;
use crate::house::auditor::Auditor;
use crate::house::door::Door;
use crate::house::owner::Owner;

/// Packets of the hub that a stranger remembers.
const REMEMBERED: usize = 48;

/// One lock and what belongs to it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) door: Door,
    pub(crate) owner: Owner,
    pub(crate) auditor: Auditor,
    /// The hub's grant for it, by its hash.
    pub(crate) grant: Option<Digest32>,
    /// The hub's link to it, as long as both have it.
    pub(crate) link: Option<HubLink>,
    pub(crate) noise: Option<Noise>,
    pub(crate) away_until: u64,
    /// Counts private addresses: a lock takes a new one with each start.
    pub(crate) address: u32,
    /// For whom the motor runs, if for a command.
    pub(crate) driving: Option<(usize, CommandId)>,
    /// Intents that were on flash when the motor started, by number.
    pub(crate) intents: BTreeMap<u64, Digest32>,
    /// Boot, epoch and newest record when last looked at.
    pub(crate) last_boot: u32,
    pub(crate) last_epoch: Option<LockEpoch>,
    pub(crate) last_log: u64,
    /// Up to which record the owner has freed the log.
    pub(crate) freed: u64,
    /// A second cut that waits for the next start.
    pub(crate) cut_at_boot: Option<super::deeds::Cut>,
    pub(crate) dark_ms: u64,
    on_air: VecDeque<Vec<u8>>,
}

impl Site {
    pub(crate) fn new(relock_ms: Option<u32>, dice: &mut Dice) -> Self {
        let settings = Settings {
            auto_relock_ms: relock_ms,
            ..Settings::default()
        };
        Self {
            owner: Owner::new(dice),
            door: Door::with_settings(Dice::new(dice.next()), settings),
            auditor: Auditor::new(),
            grant: None,
            link: None,
            noise: None,
            away_until: 0,
            address: 0,
            driving: None,
            intents: BTreeMap::new(),
            last_boot: 0,
            last_epoch: None,
            last_log: 0,
            freed: 0,
            cut_at_boot: None,
            dark_ms: 0,
            on_air: VecDeque::new(),
        }
    }

    /// Where it is heard now.
    pub(crate) fn address(&self, index: usize) -> Option<Address> {
        Address::new(format!("{index}-{}", self.address))
    }

    /// Whether its adverts can be heard, if it sends any.
    pub(crate) const fn is_near(&self, now: u64) -> bool {
        self.away_until <= now
    }

    pub(crate) fn remember(&mut self, packet: &[u8]) {
        if self.on_air.len() >= REMEMBERED {
            self.on_air.pop_front();
        }
        self.on_air.push_back(packet.to_vec());
    }

    pub(crate) const fn remembered(&self) -> &VecDeque<Vec<u8>> {
        &self.on_air
    }
}
