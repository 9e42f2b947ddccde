//! The radio side: which lock gets a link when, and what becomes of links.
//!
//! One connect at a time, as the adapters have it. Whoever moves a bolt goes first; among equals
//! whoever has waited longest; an errand that has waited for 5 s is the equal of a command. **A lock that is out of reach costs the others nothing but its turn.**

use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::LockId;

use super::action::{HubAction, Level, Passkey, RadioAction};
use super::event::{Address, LinkFault, LinkId, RadioEvent};
use super::hub::Hub;
use super::link::{LinkStep, Trouble};
use super::lock::{Lock, Sync, Turn};
use super::now::Now;

/// How long a lock may stay away before it is called offline, in milliseconds: a resumed link is
/// back within 500.
const AWAY_MS: u64 = 3_000;
/// The same at the start of the hub, when it must be found first.
pub(super) const FIRST_LINK_MS: u64 = 15_000;
/// How long a connection that nobody waits for may keep somebody waiting who moves a bolt.
const PATIENCE_MS: u64 = 1_000;
/// How long an idle link is kept before its slot may go to a lock that merely wants to be heard.
const DWELL_MS: u64 = 10_000;
/// The same while a lock that can be reached has not been heard at all: 64 locks on 8 links are
/// known within 10 s of a start.
const FIRST_DWELL_MS: u64 = 1_000;

impl Hub {
    pub(super) fn radio(&mut self, event: RadioEvent, now: Now, entropy: &mut dyn Entropy) {
        match event {
            RadioEvent::Health(health) => self.radio_health = health,
            RadioEvent::Seen { address, beacon } => self.seen(address, &beacon, now),
            RadioEvent::LinkUp { link, packet_size } => match self.links.get(&link) {
                Some(&lock) => self.with_link(lock, now, entropy, |machine, ends| {
                    machine.link_up(packet_size, ends.now_ms);
                    Vec::new()
                }),
                // It came up after the hub had given it up.
                None => self.push(HubAction::Radio(RadioAction::Disconnect { link })),
            },
            RadioEvent::Packet { link, bytes } => {
                if let Some(&lock) = self.links.get(&link) {
                    self.with_link(lock, now, entropy, |machine, ends| {
                        machine.packet(&bytes, ends)
                    });
                }
            }
            RadioEvent::LinkDown { link, reason } | RadioEvent::ConnectFailed { link, reason } => {
                if let Some(lock) = self.links.remove(&link) {
                    if reason == LinkFault::NoSlot {
                        let others = self.slots_taken().saturating_sub(1);
                        self.slots.refused(others, now.mono_ms);
                    }
                    if reason == LinkFault::NoAdapter
                        && let Some(lock) = self.locks.get_mut(&lock)
                    {
                        // Nobody hears it there any more. The advert that an adapter hears next is
                        // news, and ends the pause.
                        lock.address = None;
                    }
                    self.with_link(lock, now, entropy, |machine, ends| {
                        machine.link_gone(reason, ends)
                    });
                }
            }
        }
    }

    fn seen(&mut self, address: Address, beacon: &Beacon, now: Now) {
        let at_address = self
            .locks
            .values()
            .find(|lock| lock.address.as_ref() == Some(&address))
            .filter(|lock| beacon.is_from(&lock.binding.beacon_key))
            .map(|lock| lock.binding.lock);
        let found = at_address.or_else(|| {
            self.locks
                .values()
                .find(|lock| lock.wants_link() && beacon.is_from(&lock.binding.beacon_key))
                .map(|lock| lock.binding.lock)
        });
        let Some(lock) = found.and_then(|lock| self.locks.get_mut(&lock)) else {
            return;
        };
        if lock.address.as_ref() != Some(&address) {
            lock.address = Some(address);
            lock.link.hurry(now.mono_ms);
        }
    }

    /// Whether slots are taken by links that are up or coming up.
    fn slots_taken(&self) -> usize {
        let taken = self
            .locks
            .values()
            .filter(|lock| lock.link.link().is_some());
        taken.count()
    }

    /// Brings up the link that is due, if there is one and room for it; keeps scanning as needed.
    pub(super) fn schedule(&mut self, now: Now, entropy: &mut dyn Entropy) {
        self.schedule_at = None;
        let mut later: Option<u64> = None;
        let mut candidates = Vec::new();
        let mut needs_scan = false;
        // An adapter that connects does not listen: whom somebody waits for is to be heard first.
        let sought = self.locks.values().filter_map(Lock::sought_until);
        let sought_until = sought.max().filter(|until| now.mono_ms < *until);
        for (id, lock) in &self.locks {
            let Some(at) = lock.link.may_connect_at().filter(|_| lock.wants_link()) else {
                continue;
            };
            needs_scan |= lock.address.is_none() || lock.link.failures() > 1;
            if lock.address.is_none() {
                continue;
            }
            let at = match sought_until {
                Some(until) if lock.turn(now.mono_ms) == Turn::Patient => at.max(until),
                _ => at,
            };
            if at > now.mono_ms {
                later = Some(later.map_or(at, |earlier| earlier.min(at)));
            } else {
                candidates.push((lock.turn(now.mono_ms), lock.waiting_since, *id));
                let overdue = lock.overdue_at().filter(|at| *at > now.mono_ms);
                later = later.into_iter().chain(overdue).min();
            }
        }
        if needs_scan != self.is_scanning {
            self.is_scanning = needs_scan;
            self.push(HubAction::Radio(RadioAction::Scan { on: needs_scan }));
        }
        if !self.make_way(candidates.iter().min(), now, entropy) {
            return;
        }
        self.schedule_at = later;
        let Some((turn, _, id)) = candidates.into_iter().min() else {
            return;
        };
        if self.slots_taken() >= self.slots.limit(now.mono_ms) {
            match self.victim(turn, now.mono_ms) {
                Ok(victim) => {
                    self.with_link(victim, now, entropy, |machine, ends| {
                        machine.release(false, ends)
                    });
                }
                Err(at) => {
                    self.schedule_at = later.into_iter().chain(at).min();
                    return;
                }
            }
        }
        self.connect(id, now);
    }

    /// Whether nobody connects just now. Whoever moves a bolt does not wait for a connection that
    /// merely wants to be made, to a lock that may be out of reach: after a moment it is given up.
    fn make_way(
        &mut self,
        next: Option<&(Turn, u64, LockId)>,
        now: Now,
        entropy: &mut dyn Entropy,
    ) -> bool {
        let mut locks = self.locks.iter();
        let busy = locks.find_map(|(id, lock)| {
            let since = lock.link.connecting_since()?;
            Some((*id, lock.turn(now.mono_ms), since))
        });
        let Some((id, turn, since)) = busy else {
            return true;
        };
        if turn == Turn::Urgent || next.is_none_or(|(next, ..)| *next != Turn::Urgent) {
            return false;
        }
        let patience_ends = since.saturating_add(PATIENCE_MS);
        if now.mono_ms < patience_ends {
            self.schedule_at = Some(patience_ends);
            return false;
        }
        self.with_link(id, now, entropy, |machine, ends| {
            machine.release(false, ends)
        });
        true
    }

    /// The idle link that was used least recently; or when there may be one.
    fn victim(&self, turn: Turn, now_ms: u64) -> Result<LockId, Option<u64>> {
        let idle = self
            .locks
            .values()
            .filter(|lock| lock.link.is_up() && lock.is_idle());
        let Some(victim) = idle.min_by_key(|lock| lock.used_at) else {
            return Err(None);
        };
        let dwell = match turn {
            Turn::Urgent => 0,
            Turn::Unheard => FIRST_DWELL_MS,
            Turn::Patient => DWELL_MS,
        };
        let ripe_at = victim.up_since.saturating_add(dwell);
        if now_ms < ripe_at {
            Err(Some(ripe_at))
        } else {
            Ok(victim.binding.lock)
        }
    }

    fn connect(&mut self, id: LockId, now: Now) {
        let link = LinkId(self.next_link);
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        let Some(address) = lock.address.clone() else {
            return;
        };
        self.next_link = self.next_link.wrapping_add(1);
        let passkey = Passkey::new(lock.binding.passkey);
        lock.link.connect(link, now.mono_ms);
        self.links.insert(link, id);
        self.push(HubAction::Radio(RadioAction::Connect {
            link,
            address,
            lock: id,
            passkey,
        }));
        self.pairing_step(id, "connecting");
    }

    /// Does what a link wants done.
    pub(super) fn run_steps(&mut self, lock: LockId, steps: Vec<LinkStep>, now: Now) {
        for step in steps {
            match step {
                LinkStep::Send { link, packet } => {
                    self.push(HubAction::Radio(RadioAction::Send { link, packet }));
                }
                LinkStep::Hangup { link } => {
                    self.links.remove(&link);
                    self.push(HubAction::Radio(RadioAction::Disconnect { link }));
                }
                LinkStep::Established { is_new } => self.established(lock, is_new, now),
                LinkStep::Proven { generation } => self.proven(lock, generation),
                LinkStep::Message(plain) => self.said(lock, &plain, now),
                LinkStep::Rejected => self.rejected(lock),
                LinkStep::Lost(trouble) => self.lost(lock, trouble, now),
            }
        }
    }

    fn established(&mut self, id: LockId, is_new: bool, now: Now) {
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        lock.up_since = now.mono_ms;
        lock.used_at = now.mono_ms;
        if lock.pairing.is_some() {
            lock.wants.pair_info = lock.claim.is_none();
        } else if lock.binding.is_claimed {
            lock.wants.grant |= is_new && lock.binding.grant().is_some();
            lock.wants.report = true;
            lock.log.barred_until = None;
        }
        self.touch(id);
    }

    /// The lock has shown that it holds the keys: now it is here.
    fn proven(&mut self, id: LockId, generation: drawbridge_protocol::psk::Generation) {
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        lock.trouble = None;
        lock.offline_at = None;
        let was_offline = lock.is_online != Some(true);
        let sent = lock.command_lane.filter(|lane| !lane.is_query);
        lock.is_online = Some(true);
        // What is older than a proven generation is dead in the lock; it need not live here.
        if lock.binding.psks.proven(generation) {
            self.save_binding(id, Vec::new());
        }
        if was_offline {
            self.journal(Level::Info, "lock_online", vec![("lock", id.to_string())]);
        }
        self.publish_link(id);
        if let Some(lane) = sent {
            self.delivered(id, lane.id);
        }
        self.touch(id);
    }

    /// The lock had forgotten the session: what was sent is sent again in the next.
    fn rejected(&mut self, id: LockId) {
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        // Its command id is known to the lock if it was read after all, so it acts once at most.
        lock.command_lane = None;
        self.requeue_sync(id);
    }

    fn lost(&mut self, id: LockId, trouble: Trouble, now: Now) {
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        lock.waiting_since = now.mono_ms;
        lock.wants.psk_kept = None;
        lock.report_at = None;
        if trouble != Trouble::Released {
            lock.trouble = Some(trouble);
            if lock.is_online == Some(true) && lock.offline_at.is_none() {
                lock.offline_at = Some(now.mono_ms.saturating_add(AWAY_MS));
            }
        }
        let failures = lock.link.failures();
        // A lock that is asked again may say more, or its log may.
        for command in &lock.queue {
            if let Some(tracked) = self.commands.tracked.get_mut(command) {
                tracked.forgotten = None;
            }
        }
        let command = lock.command_lane.take();
        let is_pairing = lock.pairing.is_some();
        self.requeue_sync(id);
        if let Some(lane) = command {
            self.unknown(id, lane.id);
        }
        let level = if failures > 1 {
            Level::Debug
        } else {
            Level::Info
        };
        let fields = vec![("lock", id.to_string()), ("reason", trouble.name().into())];
        self.journal(level, "link_lost", fields);
        self.publish_link(id);
        if is_pairing {
            self.pairing_trouble(id, trouble);
        }
        self.touch(id);
    }

    /// A request whose answer did not come is asked again, if somebody still wants it.
    fn requeue_sync(&mut self, id: LockId) {
        let Some(lock) = self.locks.get_mut(&id) else {
            return;
        };
        match lock.sync_lane.take().map(|lane| lane.what) {
            Some(Sync::Relay(relay)) => lock.relays.push_front(relay),
            Some(Sync::Grant) => lock.wants.grant = true,
            Some(Sync::Report) => lock.wants.report = true,
            Some(Sync::PairInfo) => lock.wants.pair_info = true,
            // These are still where they are taken from.
            Some(Sync::Claim | Sync::Ack | Sync::LogPull) | None => {}
        }
    }
}
