//! The lock on its door: the real core, its flash, its bolt, its power.

use drawbridge_lock::flash::model::Tear;
use drawbridge_lock::{Factory, LinkId, Lock, Motor, Output, Sensors, Settings};
use drawbridge_protocol::report::{Door as Leaf, Position};

use super::chip::Chip;
use super::dice::Dice;

/// Size of the packets on the air.
pub(crate) const PACKET: usize = 244;

/// What the lock wants of the world.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Packet {
        link: LinkId,
        bytes: Vec<u8>,
    },
    Disconnect {
        link: LinkId,
    },
    /// The motor runs towards this end. The number tells the start.
    MotorRuns {
        start: usize,
        target: Position,
    },
}

/// One start of the motor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    /// Boots before it.
    pub(crate) boot: u32,
    /// Lock time, milliseconds.
    pub(crate) at_ms: u64,
}

pub(crate) struct Door {
    pub(crate) factory: Factory,
    pub(crate) chip: Chip,
    pub(crate) position: Position,
    pub(crate) starts: Vec<Start>,
    lock: Option<Lock<Chip>>,
    booted_at: u64,
    running: Option<(usize, Position)>,
    dice: Dice,
}

impl Door {
    pub(crate) fn new(mut dice: Dice) -> Self {
        Self {
            factory: Factory::generate(7, &mut dice),
            chip: Chip::blank(),
            position: Position::Locked,
            starts: Vec::new(),
            lock: None,
            booted_at: 0,
            running: None,
            dice,
        }
    }

    fn sensors(&self) -> Sensors {
        Sensors {
            position: self.position,
            door: Leaf::Closed,
            tamper: false,
            battery: 90,
        }
    }

    pub(crate) fn power_on(&mut self, now: u64) {
        self.chip.0.borrow_mut().restore();
        let lock = Lock::boot(
            self.chip.clone(),
            self.factory.clone(),
            Settings::default(),
            self.sensors(),
            &mut self.dice,
        );
        self.lock = Some(lock.expect("the lock boots"));
        self.booted_at = now;
    }

    /// The power goes. A bolt on its way stops where it is.
    pub(crate) fn power_off(&mut self) {
        self.lock = None;
        if self.running.take().is_some() {
            self.position = Position::Unknown;
        }
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether the motor is at work.
    pub(crate) const fn is_moving(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.chip.0.borrow().is_dead()
    }

    pub(crate) fn cut_after(&self, operations: u64, tear: Tear, seed: u64) {
        self.chip.0.borrow_mut().cut_after(operations, tear, seed);
    }

    /// A cut that has not struck is called off.
    pub(crate) fn disarm(&self) {
        self.chip.0.borrow_mut().restore();
    }

    /// Does `act` with the lock, its time and its randomness; nothing while it has no power.
    fn with<R>(
        &mut self,
        now: u64,
        act: impl FnOnce(&mut Lock<Chip>, u64, &mut Dice) -> R,
    ) -> Option<R> {
        let since = now - self.booted_at;
        self.lock
            .as_mut()
            .map(|lock| act(lock, since, &mut self.dice))
    }

    pub(crate) fn link_up(&mut self, link: LinkId, now: u64) -> bool {
        let up = self.with(now, |lock, at, dice| {
            lock.link_down(link, at);
            lock.link_up(link, PACKET, at, dice)
        });
        up == Some(true)
    }

    pub(crate) fn link_down(&mut self, link: LinkId, now: u64) {
        self.with(now, |lock, at, _| lock.link_down(link, at));
    }

    pub(crate) fn packet(&mut self, link: LinkId, packet: &[u8], now: u64) {
        self.with(now, |lock, at, dice| {
            lock.handle_packet(link, packet, at, dice);
        });
    }

    pub(crate) fn press_button(&mut self, now: u64) {
        self.with(now, |lock, at, dice| lock.press_button(200, at, dice));
    }

    pub(crate) fn time_passed(&mut self, now: u64) {
        self.with(now, |lock, at, _| lock.handle_time(at));
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let lock = self.lock.as_ref()?;
        Some(lock.next_deadline()? + self.booted_at)
    }

    pub(crate) fn log_newest(&self) -> u64 {
        self.lock
            .as_ref()
            .map_or(0, |lock| lock.status().log_newest)
    }

    pub(crate) fn boots(&self) -> u32 {
        self.lock.as_ref().map_or(0, |lock| lock.status().boot)
    }

    pub(crate) fn beacon(&mut self) -> Option<drawbridge_protocol::beacon::Beacon> {
        let lock = self.lock.as_ref()?;
        Some(lock.beacon(&mut self.dice))
    }

    /// The motor's travel is over, unless it was stopped before.
    pub(crate) fn arrive(&mut self, start: usize, now: u64) {
        let Some((_, target)) = self.running.take_if(|(running, _)| *running == start) else {
            return;
        };
        self.position = target;
        self.feel(now);
    }

    fn feel(&mut self, now: u64) {
        let sensors = self.sensors();
        self.with(now, |lock, at, _| lock.handle_sensors(sensors, at));
    }

    /// What the lock wants done, in order.
    pub(crate) fn wishes(&mut self, now: u64) -> Vec<Wish> {
        let mut wishes = Vec::new();
        let mut buffer = [0; PACKET];
        loop {
            let boot = self.boots();
            let Some(lock) = self.lock.as_mut() else {
                return wishes;
            };
            let at_ms = now - self.booted_at;
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
