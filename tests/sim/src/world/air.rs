//! The adapter and the air: slots, adverts, connection intervals, and whoever spoils packets.
//!
//! On a link both ends may send at connection events only, some packets at each. A link that dies
//! is noticed by the hub up to a supervision timeout later.

use std::collections::BTreeMap;

use drawbridge_daemon::core::{HubEvent, LinkFault, LinkId as HubLink, RadioAction, RadioEvent};
use drawbridge_lock::LinkId as LockLink;

use super::{Due, HOP_MS, World};
use crate::house::door::PACKET;

/// The hub's end of the air, as a lock names it.
pub(super) const HUB_LINK: LockLink = LockLink(1);
/// How often a lock without a link is heard, milliseconds.
const ADVERT_MS: u64 = 500;
/// Packets at one connection event, each way.
const PER_EVENT: u32 = 4;
/// Longest time until the hub notices that a link is dead, milliseconds.
const SUPERVISION_MS: u64 = 4_000;
/// Longest delay by somebody between hub and lock, milliseconds.
const LONGEST_MS: u64 = 4_000;

/// One direction of a link: the connection event that the next packet takes.
#[derive(Debug, Default)]
struct Way {
    event_ms: u64,
    packets: u32,
}

/// A link as the adapter knows it.
#[derive(Debug)]
struct AirLink {
    lock: usize,
    is_up: bool,
    is_closing: bool,
    interval_ms: u64,
    anchor_ms: u64,
    to_lock: Way,
    to_hub: Way,
}

impl AirLink {
    /// How long a packet handed over now is under way.
    fn delay(&mut self, to_lock: bool, now: u64) -> u64 {
        let since = now.saturating_sub(self.anchor_ms);
        let next = self.anchor_ms + (since / self.interval_ms + 1) * self.interval_ms;
        let way = if to_lock {
            &mut self.to_lock
        } else {
            &mut self.to_hub
        };
        if way.event_ms < next {
            (way.event_ms, way.packets) = (next, 1);
        } else if way.packets < PER_EVENT {
            way.packets += 1;
        } else {
            way.event_ms += self.interval_ms;
            way.packets = 1;
        }
        way.event_ms - now
    }
}

/// All links and the scan.
#[derive(Debug, Default)]
pub(crate) struct Air {
    links: BTreeMap<HubLink, AirLink>,
    is_scanning: bool,
    advert_at: u64,
}

impl World {
    pub(super) fn radio(&mut self, action: RadioAction) {
        match action {
            RadioAction::Scan { on } => {
                self.air.is_scanning = on;
                let phase = self.dice.below(ADVERT_MS);
                self.air.advert_at = self.now + phase;
            }
            RadioAction::Connect { link, address, .. } => self.connect(link, address.as_str()),
            RadioAction::Send { link, packet } => self.hub_says(link, packet),
            RadioAction::Disconnect { link } => self.disconnect(link),
            RadioAction::Forget { .. } => {}
        }
    }

    fn connect(&mut self, link: HubLink, address: &str) {
        let sites = self.sites.iter().enumerate();
        let lock = sites
            .filter(|(index, site)| {
                let here = site.address(*index);
                here.is_some_and(|here| here.as_str() == address)
            })
            .map(|(index, _)| index)
            .next();
        let taken = self.air.links.values().filter(|link| !link.is_closing);
        let reason = if self.now < self.weather.adapter_gone_until {
            Some(LinkFault::NoAdapter)
        } else if taken.count() >= self.weather.slots(self.now) {
            Some(LinkFault::NoSlot)
        } else if lock.is_none() {
            Some(LinkFault::Unreachable)
        } else {
            None
        };
        let (None, Some(lock)) = (reason, lock) else {
            let reason = reason.unwrap_or(LinkFault::Unreachable);
            let event = RadioEvent::ConnectFailed { link, reason };
            return self.tell_hub(HOP_MS, HubEvent::Radio(event));
        };
        let interval_ms = self.dice.pick(&[8, 15, 30, 50]);
        let state = AirLink {
            lock,
            is_up: false,
            is_closing: false,
            interval_ms,
            anchor_ms: self.now,
            to_lock: Way::default(),
            to_hub: Way::default(),
        };
        self.air.links.insert(link, state);
        let until_advert = self.dice.below(ADVERT_MS);
        self.after(until_advert, Due::Reach { link });
    }

    /// The lock to connect to advertises, if it is there.
    pub(super) fn reach(&mut self, link: HubLink) {
        let Some(state) = self.air.links.get(&link).filter(|state| !state.is_closing) else {
            return;
        };
        let (lock, interval_ms) = (state.lock, state.interval_ms);
        let site = &self.sites[lock];
        if !site.is_near(self.now) || !site.door.is_on() {
            let absent = site.away_until.saturating_sub(self.now);
            return self.after(absent.max(ADVERT_MS), Due::Reach { link });
        }
        if let Some(old) = self.sites[lock].link {
            self.air.links.remove(&old);
        }
        if !self.sites[lock].door.link_up(HUB_LINK, self.now) {
            self.air.links.remove(&link);
            let reason = LinkFault::Busy;
            let event = RadioEvent::ConnectFailed { link, reason };
            return self.tell_hub(HOP_MS, HubEvent::Radio(event));
        }
        if let Some(state) = self.air.links.get_mut(&link) {
            state.is_up = true;
            state.anchor_ms = self.now;
        }
        self.sites[lock].link = Some(link);
        let packet_size = PACKET;
        let event = RadioEvent::LinkUp { link, packet_size };
        self.note(|| format!("link to lock {lock} up, every {interval_ms} ms"));
        self.tell_hub(HOP_MS, HubEvent::Radio(event));
        self.settle_lock(lock);
    }

    fn disconnect(&mut self, link: HubLink) {
        let now = self.now;
        let Some(state) = self.air.links.get_mut(&link) else {
            let reason = LinkFault::Closed;
            let event = RadioEvent::LinkDown { link, reason };
            return self.tell_hub(HOP_MS, HubEvent::Radio(event));
        };
        state.is_closing = true;
        let flushed = state.to_lock.event_ms.saturating_sub(now);
        self.after(flushed + 1, Due::LinkEnds { link });
    }

    pub(super) fn link_ends(&mut self, link: HubLink) {
        self.lose_link(link, LinkFault::Closed, HOP_MS);
    }

    /// A link is gone: the lock knows at once, the hub `ms` later.
    pub(super) fn lose_link(&mut self, link: HubLink, reason: LinkFault, ms: u64) {
        let Some(state) = self.air.links.remove(&link) else {
            return;
        };
        if self.sites[state.lock].link == Some(link) {
            self.sites[state.lock].link = None;
            self.sites[state.lock].door.link_down(HUB_LINK, self.now);
        }
        let event = if state.is_up {
            RadioEvent::LinkDown { link, reason }
        } else {
            RadioEvent::ConnectFailed { link, reason }
        };
        self.tell_hub(ms, HubEvent::Radio(event));
    }

    /// A lock ends its link: mostly after what it had said was out, as a controller should.
    pub(super) fn lock_hangs_up(&mut self, lock: usize) {
        let now = self.now;
        let Some(link) = self.sites[lock].link else {
            return;
        };
        let flushes = !self.dice.chance(100);
        let last = self.air.links.get(&link).map(|link| link.to_hub.event_ms);
        let out = last.filter(|_| flushes).unwrap_or(now).saturating_sub(now);
        self.lose_link(link, LinkFault::Closed, out + HOP_MS);
    }

    /// A lock's link dies; the hub notices some time later. Says whether there was one.
    pub(super) fn cut_link(&mut self, lock: usize) -> bool {
        let link = self.sites[lock].link;
        if let Some(link) = link {
            let notice = self.dice.below(SUPERVISION_MS);
            self.lose_link(link, LinkFault::Timeout, notice);
        }
        link.is_some()
    }

    /// The adapter is gone, or the hub's process with its sockets.
    pub(super) fn drop_all_links(&mut self) {
        let links: Vec<_> = self.air.links.keys().copied().collect();
        for link in links {
            self.lose_link(link, LinkFault::NoAdapter, HOP_MS);
        }
        if self.hub.is_none() {
            self.air.is_scanning = false;
        }
    }

    fn hub_says(&mut self, link: HubLink, packet: Vec<u8>) {
        let now = self.now;
        let Some(state) = self.air.links.get_mut(&link).filter(|state| state.is_up) else {
            return;
        };
        let (lock, delay) = (state.lock, state.delay(true, now));
        self.sites[lock].remember(&packet);
        for (later, packet) in self.spoilt(lock, packet) {
            self.after(delay + later, Due::ToLock { link, packet });
        }
    }

    pub(super) fn lock_says(&mut self, lock: usize, packet: Vec<u8>) {
        let now = self.now;
        let Some(link) = self.sites[lock].link else {
            return;
        };
        let Some(state) = self.air.links.get_mut(&link) else {
            return;
        };
        let delay = state.delay(false, now);
        for (later, bytes) in self.spoilt(lock, packet) {
            let event = HubEvent::Radio(RadioEvent::Packet { link, bytes });
            self.tell_hub(delay + later, event);
        }
    }

    fn spoilt(&mut self, lock: usize, packet: Vec<u8>) -> Vec<(u64, Vec<u8>)> {
        self.mix_bytes(&packet);
        let now = self.now;
        let noise = self.sites[lock].noise.as_mut();
        match noise.and_then(|noise| noise.strike(&packet, LONGEST_MS, false, now)) {
            None => vec![(0, packet)],
            Some((mangle, copies)) => {
                self.tally.fault("packet_mangled");
                self.note(|| format!("packet at lock {lock}: {}", mangle.name()));
                copies
            }
        }
    }

    pub(super) fn lock_hears(&mut self, link: HubLink, packet: &[u8]) {
        let sites = self.sites.iter();
        let lock = sites
            .enumerate()
            .find(|(_, site)| site.link == Some(link))
            .map(|(index, _)| index);
        if let Some(lock) = lock {
            self.sites[lock].door.packet(HUB_LINK, packet, self.now);
            self.settle_lock(lock);
        }
    }

    fn is_heard(&self, lock: usize) -> bool {
        let site = &self.sites[lock];
        site.link.is_none() && site.door.is_on() && site.is_near(self.now)
    }

    /// When the next advert is heard, if the hub listens and there is one to hear.
    pub(super) fn next_advert(&self) -> Option<u64> {
        let listens = self.air.is_scanning && self.now >= self.weather.adapter_gone_until;
        let heard = (0..self.sites.len()).any(|lock| self.is_heard(lock));
        (listens && heard).then_some(self.air.advert_at.max(self.now))
    }

    /// Locks without a link advertise.
    pub(super) fn advertise(&mut self) {
        self.air.advert_at = self.now + ADVERT_MS;
        for lock in 0..self.sites.len() {
            if !self.is_heard(lock) {
                continue;
            }
            let address = self.sites[lock].address(lock);
            if let Some((beacon, address)) = self.sites[lock].door.beacon().zip(address) {
                let event = RadioEvent::Seen { address, beacon };
                self.tell_hub(HOP_MS, HubEvent::Radio(event));
            }
        }
    }
}
