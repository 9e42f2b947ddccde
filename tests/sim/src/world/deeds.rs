//! The schedule's entries, carried out.

use drawbridge_lock::flash::model::Tear;
use drawbridge_protocol::report::Door as Leaf;

use super::noise::Noise;
use super::{Due, World};
use crate::schedule::Deed;

/// How long a crash may wait for the hub to do something, milliseconds.
const FUSE_MS: u64 = 5_000;

/// A power cut that waits for a lock's start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) after: u64,
    pub(crate) tear: Tear,
    pub(crate) seed: u64,
}

impl World {
    pub(super) fn carry(&mut self, deed: Deed) {
        let now = self.now;
        self.note(|| format!("> {deed:?}"));
        match deed {
            Deed::Command(plan) => {
                self.wish(plan);
            }
            Deed::HubCrash { after, away_ms } => self.light_fuse(after, away_ms),
            Deed::LinkCut { lock } => {
                if self.cut_link(lock) {
                    self.tally.fault("link_cut");
                }
            }
            Deed::Away { lock, for_ms } => {
                self.tally.fault("lock_away");
                self.sites[lock].away_until = now + for_ms;
                self.cut_link(lock);
            }
            Deed::AirNoise { lock, noise } => {
                self.sites[lock].noise = Some(Noise::new(&noise, now));
            }
            Deed::AdapterGone { for_ms } => {
                self.tally.fault("adapter_gone");
                self.weather.adapter_gone_until = now + for_ms;
                self.drop_all_links();
            }
            Deed::SlotsTaken { left, for_ms } => {
                self.tally.fault("slots_taken");
                self.weather.slots = (left, now + for_ms);
            }
            Deed::Reboot { lock, dark_ms } => {
                if self.sites[lock].door.is_on() {
                    self.tally.fault("lock_reboot");
                    self.sites[lock].dark_ms = dark_ms;
                    self.go_dark(lock);
                }
            }
            Deed::PowerCut {
                lock,
                after,
                tear,
                dark_ms,
                again,
                seed,
            } => {
                self.arm_cut(lock, after, tear, seed);
                let site = &mut self.sites[lock];
                site.dark_ms = dark_ms;
                site.cut_at_boot = again.map(|after| Cut {
                    after,
                    tear,
                    seed: seed.rotate_left(17),
                });
            }
            Deed::BrokerBreak { away_ms, forgets } => self.broker_breaks(away_ms, forgets),
            Deed::CloudNoise { noise } => {
                self.weather.cloud_noise = Some(Noise::new(&noise, now));
            }
            Deed::BrokerRefuses { for_ms } => self.weather.broker_refuses_until = now + for_ms,
            Deed::Disk { ill, for_ms } => self.weather.disk = Some((ill, now + for_ms)),
            Deed::Clock(wall) => {
                self.tally.fault("wall_clock");
                self.weather.wall = wall;
            }
            Deed::Block { .. }
            | Deed::Swing { .. }
            | Deed::Drain { .. }
            | Deed::Tamper { .. }
            | Deed::Hand { .. }
            | Deed::Button { .. }
            | Deed::Stranger { .. } => self.at_the_door(deed),
        }
    }

    fn at_the_door(&mut self, deed: Deed) {
        match deed {
            Deed::Block { lock, for_ms } => {
                self.tally.fault("bolt_blocked");
                self.sites[lock].door.is_blocked = true;
                self.after(for_ms, Due::Clear { lock });
            }
            Deed::Swing { lock } => {
                let door = &mut self.sites[lock].door;
                door.leaf = match door.leaf {
                    Leaf::Open => Leaf::Closed,
                    _ => Leaf::Open,
                };
                self.feel(lock);
            }
            Deed::Drain { lock, for_ms } => {
                self.tally.fault("battery_empty");
                self.sites[lock].door.battery = 1;
                self.feel(lock);
                self.after(for_ms, Due::Charge { lock });
            }
            Deed::Tamper { lock } => {
                let door = &mut self.sites[lock].door;
                door.tamper = !door.tamper;
                self.feel(lock);
            }
            Deed::Hand { lock } => {
                self.sites[lock].door.turn_by_hand(self.now);
                self.settle_lock(lock);
            }
            Deed::Button { lock } => {
                self.sites[lock].door.press_button(self.now);
                self.settle_lock(lock);
            }
            Deed::Stranger { lock, seed } => self.stranger_comes(lock, seed),
            _ => {}
        }
    }

    fn light_fuse(&mut self, after: u32, away_ms: u64) {
        if self.hub.is_none() {
            return;
        }
        self.hub_away_ms = away_ms;
        self.fuse = Some(after);
        self.fuses += 1;
        let number = self.fuses;
        self.after(FUSE_MS, Due::Fuse { number });
    }

    fn broker_breaks(&mut self, away_ms: u64, forgets: bool) {
        self.tally.fault("broker_break");
        let until = self.now + away_ms;
        self.weather.broker_down_until = self.weather.broker_down_until.max(until);
        if forgets {
            self.tally.fault("session_forgotten");
            self.broker.forget();
            self.weather.broker_forgot = true;
        }
        self.break_broker();
    }
}
