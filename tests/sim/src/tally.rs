//! What a run counts.

use std::collections::BTreeMap;

/// Numbers of one run, or of many added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Commands handed to the hub, by what was done with them.
    pub commands: BTreeMap<&'static str, u64>,
    /// Faults that struck, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Final results that senders learned, by status.
    pub finals: BTreeMap<String, u64>,
    /// Things that happened: deliveries, deadlines, entries of the schedule.
    pub steps: u64,
    /// Starts of motors.
    pub motor_starts: u64,
    /// Ends of the hub's process.
    pub hub_crashes: u64,
    /// Starts of locks after the first.
    pub lock_boots: u64,
    /// Calms in which everything came to rest.
    pub calms: u64,
}

impl Tally {
    /// Commands of all kinds.
    #[must_use]
    pub fn all_commands(&self) -> u64 {
        self.commands.values().sum()
    }

    /// Faults of all kinds.
    #[must_use]
    pub fn all_faults(&self) -> u64 {
        self.faults.values().sum()
    }

    pub(crate) fn command(&mut self, kind: &'static str) {
        *self.commands.entry(kind).or_default() += 1;
    }

    pub(crate) fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        fn merge<K: Ord + Clone>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
            for (key, count) in from {
                *into.entry(key.clone()).or_default() += count;
            }
        }
        merge(&mut self.commands, &other.commands);
        merge(&mut self.faults, &other.faults);
        merge(&mut self.finals, &other.finals);
        self.steps += other.steps;
        self.motor_starts += other.motor_starts;
        self.hub_crashes += other.hub_crashes;
        self.lock_boots += other.lock_boots;
        self.calms += other.calms;
    }
}
