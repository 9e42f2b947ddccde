//! The locks' side: power, motor, strangers, and what a look at each of them must show.

use drawbridge_lock::flash::model::Tear;
use drawbridge_lock::{BootError, LinkId as LockLink};
use drawbridge_protocol::report::Position;

use super::air::HUB_LINK;
use super::{Due, World};
use crate::dice::Dice;
use crate::house::door::Wish;

/// The link of somebody who is not the hub.
const STRANGER: LockLink = LockLink(2);
/// Packets that a stranger sends.
const PLAYED: u64 = 6;

impl World {
    /// Does everything that a lock wants, until it wants nothing or has lost its power over it.
    pub(super) fn settle_lock(&mut self, lock: usize) {
        let wishes = self.sites[lock].door.wishes(self.now);
        for wish in wishes {
            match wish {
                Wish::MotorRuns { start, target } => {
                    self.motor_starts(lock, target);
                    let travel = self.dice.between(250, 2_500);
                    self.after(travel, Due::Arrive { lock, start });
                }
                Wish::Packet { link, bytes } if link == HUB_LINK => self.lock_says(lock, bytes),
                Wish::Packet { .. } => {}
                Wish::Disconnect { link } if link == HUB_LINK => {
                    self.lock_hangs_up(lock);
                }
                Wish::Disconnect { .. } => {}
            }
        }
        if self.sites[lock].door.is_on() && self.sites[lock].door.is_dead() {
            self.tally.fault("lock_power_cut");
            self.go_dark(lock);
        }
        self.look_at_lock(lock);
    }

    /// I5: boots and log numbers of a lock never go back, and no run of it is like another.
    fn look_at_lock(&mut self, lock: usize) {
        let site = &mut self.sites[lock];
        let Some(status) = site.door.status() else {
            return;
        };
        let went_back = status.boot < site.last_boot || status.log_newest < site.last_log;
        (site.last_boot, site.last_log) = (status.boot, status.log_newest);
        if went_back {
            self.violate(5, format!("lock {lock} went back: {status:?}"));
        }
    }

    /// The power is gone until some time later.
    pub(super) fn go_dark(&mut self, lock: usize) {
        let site = &mut self.sites[lock];
        site.door.power_off();
        site.driving = None;
        let dark = site.dark_ms.max(50);
        self.note(|| format!("lock {lock} has no power for {dark} ms"));
        self.cut_link(lock);
        self.after(dark, Due::PowerOn { lock });
    }

    pub(super) fn power_on(&mut self, lock: usize) {
        let now = self.now;
        let site = &mut self.sites[lock];
        if site.door.is_on() {
            return;
        }
        site.door.disarm();
        if let Some(cut) = site.cut_at_boot.take() {
            site.door.cut_after(cut.after, cut.tear, cut.seed);
        }
        // A controller takes a new private address with each start.
        site.address += 1;
        match site.door.boot(now) {
            Ok(()) => self.booted(lock),
            Err(BootError::PowerLost) if self.sites[lock].door.is_dead() => {
                self.tally.fault("lock_power_cut_in_boot");
                self.note(|| format!("lock {lock} loses its power as it starts"));
                self.after(200, Due::PowerOn { lock });
            }
            Err(error) => self.violate(4, format!("lock {lock} does not start: {error}")),
        }
    }

    fn booted(&mut self, lock: usize) {
        self.tally.lock_boots += u64::from(self.began > 0);
        let site = &mut self.sites[lock];
        let Some(status) = site.door.status() else {
            return;
        };
        let is_same = site.last_epoch == Some(status.epoch) || status.boot == site.last_boot;
        site.last_epoch = Some(status.epoch);
        let lost_owner = self.began > 0 && !status.owned;
        self.note(|| format!("lock {lock} starts, boot {}", status.boot));
        if is_same {
            self.violate(5, format!("lock {lock} began a run that was before"));
        }
        if lost_owner {
            self.violate(4, format!("lock {lock} forgot its owner"));
        }
        self.settle_lock(lock);
    }

    pub(super) fn arrive(&mut self, lock: usize, start: usize) {
        let site = &mut self.sites[lock];
        let was_moving = site.door.is_moving();
        site.door.arrive(start, self.now);
        if was_moving && !site.door.is_moving() {
            let is_there = site.door.position != Position::Jammed;
            if let Some((_, id)) = site.driving.take()
                && is_there
            {
                self.users.arrived(id);
            }
        }
        self.settle_lock(lock);
    }

    /// The sensors of a lock have changed.
    pub(super) fn feel(&mut self, lock: usize) {
        self.sites[lock].door.feel(self.now);
        self.settle_lock(lock);
    }

    /// Somebody else links to a lock and plays what he has.
    pub(super) fn stranger_comes(&mut self, lock: usize, seed: u64) {
        let now = self.now;
        let mut dice = Dice::new(seed);
        if !self.sites[lock].door.is_on() {
            return;
        }
        self.tally.fault("stranger");
        self.sites[lock].door.link_up(STRANGER, now);
        self.settle_lock(lock);
        for _ in 0..PLAYED {
            let known = self.sites[lock].remembered();
            let packet = match known.len() as u64 {
                0 => Vec::new(),
                len => known[dice.below(len) as usize].clone(),
            };
            let mut packet = if dice.chance(250) {
                (0..dice.below(64)).map(|_| dice.next() as u8).collect()
            } else {
                packet
            };
            if let Some(first) = packet.first_mut()
                && dice.chance(500)
            {
                // As the first packet of a link, which the lock reads.
                *first &= 0x80;
            }
            self.sites[lock].door.packet(STRANGER, &packet, now);
            self.settle_lock(lock);
        }
        let stays = dice.below(5_000);
        self.after(stays, Due::StrangerLeaves { lock });
    }

    pub(super) fn stranger_leaves(&mut self, lock: usize) {
        self.sites[lock].door.link_down(STRANGER, self.now);
        self.settle_lock(lock);
    }

    /// A power cut is armed: it strikes in the flash operation after so many.
    pub(super) fn arm_cut(&mut self, lock: usize, after: u64, tear: Tear, seed: u64) {
        let site = &mut self.sites[lock];
        if site.door.is_on() {
            site.door.cut_after(after, tear, seed);
        }
    }
}
