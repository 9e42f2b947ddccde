//! The lock itself: its state, its start, and what comes in from outside its sessions.

use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::bucket::Bucket;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::{LockEpoch, Nonce};
use drawbridge_protocol::log_record::LogEvent;
use drawbridge_protocol::report::Cause;
use drawbridge_protocol::secret::SetupKeys;

use crate::actuation::{Actuation, MotorOrder};
use crate::back_off::BackOff;
use crate::boot::{BootError, Memory};
use crate::decided::DecidedTable;
use crate::factory::{Factory, Settings};
use crate::flash::Flash;
use crate::grants::Grants;
use crate::history::{Entry, Room};
use crate::links::{Link, LinkId, Links};
use crate::output::Outbound;
use crate::owner::Owner;
use crate::peers::Peers;
use crate::sensors::Sensors;
use crate::window::Window;

/// Held this long, in milliseconds, the button inside means a factory reset.
pub const RESET_HOLD_MS: u32 = 10_000;

/// A lock.
///
/// Order of use: [`Self::boot`] once per power-up; then any of [`Self::link_up`],
/// [`Self::handle_packet`], [`Self::link_down`], [`Self::handle_sensors`], [`Self::press_button`]
/// and [`Self::handle_time`] (at the latest at [`Self::next_deadline`]), and after each of them
/// [`Self::poll_output`] until it has nothing more. Time is milliseconds since this boot and never
/// goes back. **The motor is ordered from one place only, and only after an intent is on flash and
/// was read back.** When flash fails the lock halts: it stays where it is and answers nothing.
pub struct Lock<F> {
    pub(crate) factory: Factory,
    pub(crate) keys: SetupKeys,
    pub(crate) settings: Settings,
    pub(crate) memory: Memory<F>,
    pub(crate) epoch: LockEpoch,
    /// The newest log record when the epoch began.
    pub(crate) epoch_from: u64,
    pub(crate) owner: Option<Owner>,
    pub(crate) policy_epoch: u32,
    pub(crate) peers: Peers,
    pub(crate) links: Links,
    pub(crate) window: Option<Window>,
    pub(crate) back_off: BackOff,
    pub(crate) grants: Grants,
    pub(crate) decided: DecidedTable,
    pub(crate) actuation: Option<Actuation>,
    pub(crate) sensors: Sensors,
    pub(crate) relock_at_ms: Option<u64>,
    /// Tries of the lock itself to throw the bolt that failed since somebody did something.
    pub(crate) relock_failures: u8,
    /// The motor stopped away from its goal: the next reading until then is of its making.
    pub(crate) coasting_until_ms: Option<u64>,
    pub(crate) motor: MotorOrder,
    /// What got no record for want of room since that was last written down.
    pub(crate) left_out: u64,
    pub(crate) handshakes: Bucket,
    pub(crate) refusals: Bucket,
    /// Refusals since the last one that was written down.
    pub(crate) refused: u64,
    /// Failures of those who proved nothing, since they were last written down.
    pub(crate) strangers: u64,
    pub(crate) strangers_noted_ms: u64,
    pub(crate) outbound: Outbound,
    pub(crate) halted: bool,
}

/// Handshakes that may follow each other without a pause.
const HANDSHAKE_BURST: u32 = 10;
/// One more is allowed every so many milliseconds.
const HANDSHAKE_REFILL_MS: u64 = 1_000;
/// Refused commands that get a record of their own without a pause; those between are counted.
const REFUSAL_BURST: u32 = 8;
/// One more every so many milliseconds: a guest must not fill the log with its failures.
const REFUSAL_REFILL_MS: u64 = 600_000;

/// How often failures of strangers are written down at the most, in milliseconds.
const STRANGERS_EVERY_MS: u64 = 600_000;

/// A lock at a glance, for displays and tests; nothing in it is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Boots so far.
    pub boot: u32,
    /// This run.
    pub epoch: LockEpoch,
    /// Whether there is an owner.
    pub owned: bool,
    /// Whether the pairing window is open.
    pub window_open: bool,
    /// What is sensed.
    pub sensors: Sensors,
    /// Whether the motor is at work.
    pub moving: bool,
    /// Number of the newest log record.
    pub log_newest: u64,
    /// Number of the oldest log record that can still be read.
    pub log_oldest: u64,
    /// How full the log is, percent.
    pub log_used: u8,
    /// Sessions whose peer has proven itself.
    pub sessions: u8,
    /// Whether the lock gave up on its flash.
    pub halted: bool,
}

impl<F> core::fmt::Debug for Lock<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Lock({}, {})", self.factory.lock, self.epoch)
    }
}

impl<F: Flash + Clone> Lock<F> {
    /// Starts the lock. `flash` is a handle to one device that the critical store and the log
    /// share. An intent without an outcome gets one here: interrupted, where the bolt is now.
    ///
    /// # Errors
    /// [`BootError`]: recovery, with the bolt left alone. Never "unowned" for want of a record.
    pub fn boot(
        flash: F,
        factory: Factory,
        settings: Settings,
        sensors: Sensors,
        entropy: &mut impl Entropy,
    ) -> Result<Self, BootError> {
        let epoch = LockEpoch(entropy.bytes());
        let restored = Memory::open(flash, &settings, sensors.position)?;
        let mut lock = Self {
            keys: factory.qr().keys(),
            factory,
            settings,
            epoch,
            epoch_from: restored.memory.history.newest(),
            owner: restored.owner,
            policy_epoch: restored.policy_epoch,
            peers: restored.peers,
            memory: restored.memory,
            links: Links::default(),
            window: None,
            back_off: BackOff::restored(restored.failures),
            grants: Grants::default(),
            decided: DecidedTable::default(),
            actuation: None,
            sensors,
            relock_at_ms: None,
            relock_failures: 0,
            coasting_until_ms: None,
            motor: MotorOrder::default(),
            left_out: restored.left_out,
            handshakes: Bucket::new(HANDSHAKE_BURST, HANDSHAKE_REFILL_MS),
            refusals: Bucket::new(REFUSAL_BURST, REFUSAL_REFILL_MS),
            refused: 0,
            strangers: restored.failures.unlogged.into(),
            strangers_noted_ms: 0,
            outbound: Outbound::default(),
            halted: false,
        };
        lock.plan_relock(0);
        lock.tell_left_out(0);
        Ok(lock)
    }
}

impl<F: Flash> Lock<F> {
    /// A beacon for the next advert.
    pub fn beacon(&self, entropy: &mut impl Entropy) -> Beacon {
        Beacon::generate(&self.keys.beacon_key, entropy)
    }

    /// A link came up that carries packets of up to `packet` bytes. `false`: no place, end it.
    pub fn link_up(
        &mut self,
        link: LinkId,
        packet: usize,
        now_ms: u64,
        entropy: &mut impl Entropy,
    ) -> bool {
        let fits = packet >= drawbridge_protocol::frame::MIN_PACKET;
        !self.halted && fits && {
            let nonce = Nonce(entropy.bytes());
            self.links.add(Link::new(link, packet, nonce, now_ms))
        }
    }

    /// A link is gone. Sessions stay.
    pub fn link_down(&mut self, link: LinkId, _now_ms: u64) {
        self.drop_link(link);
    }

    pub(crate) fn drop_link(&mut self, link: LinkId) {
        // One that the lock ended is counted already.
        let left = self.links.iter().any(|up| up.id == link && !up.closing);
        self.strangers += u64::from(left && self.peers.is_unproven_candidate(link));
        self.links.remove(link);
        self.outbound.forget_link(link);
        for (_, peer) in self.peers.iter_mut() {
            for live in [&mut peer.session, &mut peer.fresh].into_iter().flatten() {
                if live.link == Some(link) {
                    live.link = None;
                }
            }
        }
        if self.window.is_none() && !self.peers.is_candidate_here() {
            self.close_window();
        }
    }

    /// One packet from a link: one fragment.
    pub fn handle_packet(
        &mut self,
        link: LinkId,
        packet: &[u8],
        now_ms: u64,
        entropy: &mut impl Entropy,
    ) {
        if self.halted {
            return;
        }
        let Some(state) = self.links.get_mut(link) else {
            return;
        };
        if state.closing {
            return;
        }
        state.saw_frame(now_ms);
        // The message outlives the reassembler's borrow: handling it may end the link.
        let mut message = [0; drawbridge_protocol::link_message::MAX_LINK_MESSAGE];
        let len = match state.incoming.push(packet) {
            Ok(None) => return,
            Ok(Some(complete)) => {
                let Some(target) = message.get_mut(..complete.len()) else {
                    return;
                };
                target.copy_from_slice(complete);
                complete.len()
            }
            Err(_) => {
                self.refuse_link(link);
                return;
            }
        };
        self.handle_link_message(link, message.get(..len).unwrap_or(&[]), now_ms, entropy);
    }

    /// The sensors changed, or the motor's travel ended.
    pub fn handle_sensors(&mut self, sensors: Sensors, now_ms: u64) {
        if self.halted {
            return;
        }
        let before = core::mem::replace(&mut self.sensors, sensors);
        if sensors.tamper && !before.tamper {
            self.note_sensed(&Entry::new(LogEvent::Tamper, Cause::Sensor), now_ms);
        }
        let weak = |battery| battery < crate::sensors::MOTOR_BATTERY_FLOOR;
        if weak(sensors.battery) && !weak(before.battery) {
            self.note_sensed(&Entry::new(LogEvent::BatteryLow, Cause::Sensor), now_ms);
        }
        if sensors.door != before.door {
            self.relock_failures = 0;
        }
        if self.actuation.is_some() {
            self.watch_motor(true, now_ms);
        } else {
            let coasted = self
                .coasting_until_ms
                .take()
                .is_some_and(|until| now_ms < until);
            if sensors.position != before.position {
                let cause = if coasted {
                    Cause::Sensor
                } else {
                    let mut moved = Entry::new(LogEvent::MovedByHand, Cause::ByHand);
                    moved.position = Some(sensors.position);
                    self.note_sensed(&moved, now_ms);
                    self.relock_failures = 0;
                    Cause::ByHand
                };
                self.plan_relock(now_ms);
                self.announce(cause, None);
                return;
            }
        }
        if sensors.door != before.door {
            self.plan_relock(now_ms);
        }
        if sensors != before {
            self.announce(Cause::Sensor, None);
        }
    }

    /// The button inside was held for `held_ms` milliseconds: a short press opens the pairing
    /// window, one of [`RESET_HOLD_MS`] erases owner and peers.
    pub fn press_button(&mut self, held_ms: u32, now_ms: u64, entropy: &mut impl Entropy) {
        if self.halted {
            return;
        }
        if held_ms >= RESET_HOLD_MS {
            self.factory_reset(now_ms, entropy);
        } else {
            self.close_window();
            self.window = Some(Window::open(now_ms, entropy));
        }
    }

    /// Time passed: deadlines of links, window, motor and auto-relock.
    ///
    /// **Sensors that have changed are told first** ([`Self::handle_sensors`]): a caller that comes late
    /// would else have a bolt called jammed that arrived in time.
    pub fn handle_time(&mut self, now_ms: u64) {
        if self.halted {
            return;
        }
        if self
            .window
            .as_ref()
            .is_some_and(|window| !window.is_open(now_ms))
        {
            self.close_window();
        }
        let window_open = self.window.is_some();
        let overdue = |link: &&mut Link| {
            link.deadline(window_open)
                .is_some_and(|deadline| now_ms >= deadline)
        };
        let mut late = 0;
        for link in self.links.iter_mut().filter(overdue) {
            if !link.closing {
                link.closing = true;
                late += 1;
            }
        }
        self.strangers += late;
        if self.strangers > 0 && now_ms >= self.strangers_noted_ms + STRANGERS_EVERY_MS {
            let mut entry = Entry::new(LogEvent::Strangers, Cause::Sensor);
            entry.count = Some(self.strangers);
            // Without room for the record the count goes on.
            if self.note(&entry, Room::Optional, now_ms).is_some() {
                self.strangers = 0;
                self.note_logged();
                // Nobody asks a lock that nothing happens to: the alarm must not wait for a visit.
                self.announce(Cause::Sensor, None);
            }
            self.strangers_noted_ms = now_ms;
        }
        self.watch_motor(false, now_ms);
        self.relock_if_due(now_ms);
        self.tell_left_out(now_ms);
    }

    /// When [`Self::handle_time`] is due at the latest, in milliseconds since boot.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let window_open = self.window.is_some();
        let strangers =
            (self.strangers > 0).then_some(self.strangers_noted_ms + STRANGERS_EVERY_MS);
        let links = self.links.iter().filter(|link| !link.closing);
        links
            .filter_map(|link| link.deadline(window_open))
            .chain(self.window.as_ref().map(|window| window.closes_ms))
            .chain(self.actuation.as_ref().map(|act| act.deadline_ms))
            .chain(self.relock_at_ms.filter(|_| self.actuation.is_none()))
            .chain(strangers)
            .min()
    }

    /// Whether the lock gave up on its flash and needs a new boot.
    #[must_use]
    pub const fn is_halted(&self) -> bool {
        self.halted
    }

    /// The lock at a glance.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            boot: self.memory.boot,
            epoch: self.epoch,
            owned: self.owner.is_some(),
            window_open: self.window.is_some(),
            sensors: self.sensors,
            moving: self.actuation.is_some(),
            log_newest: self.memory.history.newest(),
            log_oldest: self.memory.history.oldest(),
            log_used: self.memory.history.used(),
            sessions: self
                .peers
                .iter()
                .filter(|(_, peer)| peer.session.is_some())
                .count() as u8,
            halted: self.halted,
        }
    }

    /// Writes a record; a flash that fails halts the lock.
    pub(crate) fn note(&mut self, entry: &Entry<'_>, room: Room, now_ms: u64) -> Option<u64> {
        match self.memory.history.write(entry, room, now_ms) {
            Ok(seq) => seq,
            Err(crate::log_ring::LogError::Full) => None,
            Err(_) => {
                self.halt();
                None
            }
        }
    }

    /// The pairing failures are in the log: a boot need not count them once more.
    fn note_logged(&mut self) {
        if let Some(logged) = self.back_off.logged() {
            if self.memory.save_failures(logged).is_err() {
                return self.halt();
            }
            self.back_off.set_logged();
        }
    }

    /// Flash failed: take the power off the motor and be silent. Fail closed, bolt unmoved.
    pub(crate) fn halt(&mut self) {
        self.halted = true;
        self.actuation = None;
        self.motor.stop();
    }

    /// Ends a link of somebody who has no business here, with the one code that tells nothing.
    pub(crate) fn refuse_link(&mut self, link: LinkId) {
        self.strangers += 1;
        if let Some(state) = self.links.get_mut(link) {
            state.say = Some(crate::links::Say::Denied);
            state.closing = true;
        }
    }

    pub(crate) fn close_window(&mut self) {
        self.window = None;
        if let Some(candidate) = self.peers.take_candidate() {
            for live in [candidate.session, candidate.fresh].into_iter().flatten() {
                if let Some(link) = live.link.and_then(|id| self.links.get_mut(id)) {
                    link.closing = true;
                }
            }
        }
        self.outbound.forget_place(Peers::candidate_place());
    }
}
