//! The lock on its door: the real core, its flash, its bolt, its power, its sensors.

use drawbridge_lock::flash::model::Tear;
use drawbridge_lock::{BootError, Factory, LinkId, Lock, Motor, Output, Sensors, Settings, Status};
use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::report::{Door as Leaf, Position};

use super::chip::Chip;
use crate::dice::Dice;

/// Size of the packets on the air.
pub const PACKET: usize = 244;

/// What the lock wants of the world.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// A packet is to be sent.
    Packet {
        /// On which link.
        link: LinkId,
        /// The fragment.
        bytes: Vec<u8>,
    },
    /// A link is to end.
    Disconnect {
        /// Which.
        link: LinkId,
    },
    /// The motor runs towards this end. The number tells the start.
    MotorRuns {
        /// Index in [`Door::starts`].
        start: usize,
        /// Where the bolt is to go.
        target: Position,
    },
}

/// One start of the motor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Boots before it.
    pub boot: u32,
    /// Lock time, milliseconds.
    pub at_ms: u64,
}

/// The lock and its body.
#[derive(Debug)]
pub struct Door {
    /// Its name and keys.
    pub factory: Factory,
    /// Its flash.
    pub chip: Chip,
    /// Where the bolt is.
    pub position: Position,
    /// Whether the door is open.
    pub leaf: Leaf,
    /// Whether the case is open.
    pub tamper: bool,
    /// Charge left, percent.
    pub battery: u8,
    /// Whether the bolt meets something on its way.
    pub is_blocked: bool,
    /// Every start of the motor.
    pub starts: Vec<Start>,
    settings: Settings,
    lock: Option<Lock<Chip>>,
    booted_at: u64,
    running: Option<(usize, Position)>,
    dice: Dice,
}

impl Door {
    /// A new lock as it comes from the factory, without power.
    #[must_use]
    pub fn new(dice: Dice) -> Self {
        Self::with_settings(dice, Settings::default())
    }

    /// The same with settings of its own.
    #[must_use]
    pub fn with_settings(mut dice: Dice, settings: Settings) -> Self {
        Self {
            factory: Factory::generate(7, &mut dice),
            chip: Chip::blank(),
            position: Position::Locked,
            leaf: Leaf::Closed,
            tamper: false,
            battery: 90,
            is_blocked: false,
            starts: Vec::new(),
            settings,
            lock: None,
            booted_at: 0,
            running: None,
            dice,
        }
    }

    /// What the lock draws from now on.
    pub const fn reseed(&mut self, dice: Dice) {
        self.dice = dice;
    }

    fn sensors(&self) -> Sensors {
        Sensors {
            position: self.position,
            door: self.leaf,
            tamper: self.tamper,
            battery: self.battery,
        }
    }

    /// The power comes, and no cut is armed.
    ///
    /// # Panics
    /// When the lock does not boot.
    pub fn power_on(&mut self, now: u64) {
        self.chip.restore();
        self.boot(now).expect("the lock boots");
    }

    /// The lock starts, with whatever cut is armed.
    ///
    /// # Errors
    /// Why it did not.
    pub fn boot(&mut self, now: u64) -> Result<(), BootError> {
        let lock = Lock::boot(
            self.chip.clone(),
            self.factory.clone(),
            self.settings,
            self.sensors(),
            &mut self.dice,
        )?;
        self.lock = Some(lock);
        self.booted_at = now;
        Ok(())
    }

    /// The power goes. A bolt on its way stops where it is.
    pub fn power_off(&mut self) {
        self.lock = None;
        if self.running.take().is_some() {
            self.position = Position::Unknown;
        }
    }

    /// Whether it has power and runs.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether the motor is at work.
    #[must_use]
    pub const fn is_moving(&self) -> bool {
        self.running.is_some()
    }

    /// Whether a power cut has struck.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.chip.is_dead()
    }

    /// Arms a power cut, see [`Chip::cut_after`].
    pub fn cut_after(&self, operations: u64, tear: Tear, seed: u64) {
        self.chip.cut_after(operations, tear, seed);
    }

    /// A cut that has not struck is called off.
    pub fn disarm(&self) {
        self.chip.restore();
    }

    /// Does `act` with the lock, its time and its randomness; nothing while it has no power.
    fn with<R>(
        &mut self,
        now: u64,
        act: impl FnOnce(&mut Lock<Chip>, u64, &mut Dice) -> R,
    ) -> Option<R> {
        let since = self.lock_time(now);
        self.lock
            .as_mut()
            .map(|lock| act(lock, since, &mut self.dice))
    }

    /// Milliseconds since the boot.
    #[must_use]
    pub const fn lock_time(&self, now: u64) -> u64 {
        now.saturating_sub(self.booted_at)
    }

    /// A link comes up; `false`: the lock has no place for it.
    pub fn link_up(&mut self, link: LinkId, now: u64) -> bool {
        let up = self.with(now, |lock, at, dice| {
            lock.link_down(link, at);
            lock.link_up(link, PACKET, at, dice)
        });
        up == Some(true)
    }

    /// A link is gone.
    pub fn link_down(&mut self, link: LinkId, now: u64) {
        self.with(now, |lock, at, _| lock.link_down(link, at));
    }

    /// A packet comes.
    pub fn packet(&mut self, link: LinkId, packet: &[u8], now: u64) {
        self.with(now, |lock, at, dice| {
            lock.handle_packet(link, packet, at, dice);
        });
    }

    /// Somebody inside presses the button, shortly.
    pub fn press_button(&mut self, now: u64) {
        self.with(now, |lock, at, dice| lock.press_button(200, at, dice));
    }

    /// A deadline has come.
    pub fn time_passed(&mut self, now: u64) {
        self.with(now, |lock, at, _| lock.handle_time(at));
    }

    /// When the next deadline comes, in world time.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let lock = self.lock.as_ref()?;
        Some(lock.next_deadline()? + self.booted_at)
    }

    /// The lock at a glance, while it has power.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.lock.as_ref().map(Lock::status)
    }

    /// Number of the newest log record; 0 without power.
    #[must_use]
    pub fn log_newest(&self) -> u64 {
        self.status().map_or(0, |status| status.log_newest)
    }

    /// Boots so far; 0 without power.
    #[must_use]
    pub fn boots(&self) -> u32 {
        self.status().map_or(0, |status| status.boot)
    }

    /// What an advert carries.
    pub fn beacon(&mut self) -> Option<Beacon> {
        let lock = self.lock.as_ref()?;
        Some(lock.beacon(&mut self.dice))
    }

    /// The motor's travel is over, unless it was stopped before.
    pub fn arrive(&mut self, start: usize, now: u64) {
        let Some((_, target)) = self.running.take_if(|(running, _)| *running == start) else {
            return;
        };
        self.position = if self.is_blocked {
            Position::Jammed
        } else {
            target
        };
        self.feel(now);
    }

    /// A hand turns the bolt from the inside, unless the motor holds it.
    pub fn turn_by_hand(&mut self, now: u64) {
        if self.running.is_none() {
            self.position = match self.position {
                Position::Locked => Position::Unlocked,
                _ => Position::Locked,
            };
            self.feel(now);
        }
    }

    /// The lock senses how things are.
    pub fn feel(&mut self, now: u64) {
        let sensors = self.sensors();
        self.with(now, |lock, at, _| lock.handle_sensors(sensors, at));
    }

    /// What the lock wants done, in order.
    pub fn wishes(&mut self, now: u64) -> Vec<Wish> {
        let mut wishes = Vec::new();
        let mut buffer = [0; PACKET];
        loop {
            let boot = self.boots();
            let at_ms = self.lock_time(now);
            let Some(lock) = self.lock.as_mut() else {
                return wishes;
            };
            let target = match lock.poll_output(&mut buffer, at_ms, &mut self.dice) {
                None => return wishes,
                Some(Output::Packet { link, bytes }) => {
                    let bytes = bytes.to_vec();
                    wishes.push(Wish::Packet { link, bytes });
                    continue;
                }
                Some(Output::Disconnect { link }) => {
                    wishes.push(Wish::Disconnect { link });
                    continue;
                }
                Some(Output::Motor(Motor::Stop)) => {
                    if self.running.take().is_some() {
                        self.position = Position::Unknown;
                    }
                    continue;
                }
                Some(Output::Motor(Motor::Throw)) => Position::Locked,
                Some(Output::Motor(Motor::Draw)) => Position::Unlocked,
            };
            let start = self.starts.len();
            self.starts.push(Start { boot, at_ms });
            self.running = Some((start, target));
            self.position = Position::Moving;
            wishes.push(Wish::MotorRuns { start, target });
            self.feel(now);
        }
    }
}
