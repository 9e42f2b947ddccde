//! The lock, its flash, its bolt and its clock.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use drawbridge_lock::flash::model::{Nor, Tear};
use drawbridge_lock::flash::{Flash, FlashError};
use drawbridge_lock::{BootError, Factory, LinkId, Lock, Motor, Output, Sensors, Settings, Status};
use drawbridge_protocol::report::{Door as Leaf, Position};

use crate::input::Seeded;
use crate::parties;

/// Size of the packets on the links here, bytes.
pub(crate) const PACKET: usize = 244;

/// Most things that one event may make a lock do: two links of the longest answers.
const MOST_OUTPUTS: u32 = 600;

/// A handle to the one flash, as a board would hand it out.
#[derive(Clone)]
pub(crate) struct Chip(pub(crate) Rc<RefCell<Nor>>);

impl Flash for Chip {
    const PAGE: u32 = <Nor as Flash>::PAGE;

    fn pages(&self) -> u32 {
        self.0.borrow().pages()
    }

    fn read(&self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.0.borrow().read(at, into)
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.0.borrow_mut().write(at, bytes)
    }

    fn erase(&mut self, page: u32) -> Result<(), FlashError> {
        self.0.borrow_mut().erase(page)
    }
}

/// The lock on its door.
pub(crate) struct Door {
    chip: Chip,
    lock: Lock<Chip>,
    pub(crate) sensors: Sensors,
    pub(crate) entropy: Seeded,
    /// Milliseconds since the lock's boot.
    pub(crate) now: u64,
    /// What the lock sent.
    pub(crate) packets: VecDeque<(LinkId, Vec<u8>)>,
    /// Links that the lock ended.
    pub(crate) ended: Vec<LinkId>,
    /// How often the motor was energised.
    pub(crate) starts: u32,
}

/// The lock of the examples.
pub(crate) fn factory() -> Factory {
    Factory {
        lock: parties::LOCK,
        model: 1,
        link: parties::lock_link(),
        identity: parties::lock_identity(),
        setup: parties::setup_secret(),
    }
}

impl Door {
    /// Power on with this on flash.
    pub(crate) fn new(flash: &[u8]) -> Result<Self, BootError> {
        let chip = Chip(Rc::new(RefCell::new(Nor::from_bytes(flash))));
        let sensors = Sensors {
            position: Position::Locked,
            door: Leaf::Closed,
            tamper: false,
            battery: 90,
        };
        let mut entropy = Seeded::new(1);
        let lock = Lock::boot(
            chip.clone(),
            factory(),
            Settings::default(),
            sensors,
            &mut entropy,
        )?;
        Ok(Self {
            chip,
            lock,
            sensors,
            entropy,
            now: 0,
            packets: VecDeque::new(),
            ended: Vec::new(),
            starts: 0,
        })
    }

    pub(crate) fn cells(&self) -> Vec<u8> {
        self.chip.0.borrow().as_bytes().to_vec()
    }

    pub(crate) fn status(&self) -> Status {
        self.lock.status()
    }

    /// Power off and on. Cut power and nothing else never keeps a lock from starting (F13).
    pub(crate) fn reboot(&mut self) {
        self.chip.0.borrow_mut().restore();
        let boot = self.lock.status().boot;
        let lock = Lock::boot(
            self.chip.clone(),
            factory(),
            Settings::default(),
            self.sensors,
            &mut self.entropy,
        );
        self.lock = lock.expect("a lock starts after a power cut");
        let counted = self.lock.status().boot;
        assert!(counted >= boot, "boot {counted} after {boot}");
        self.now = 0;
        self.packets.clear();
        self.ended.clear();
        self.settle();
    }

    pub(crate) fn cut_after(&mut self, operations: u64, tear: Tear, seed: u64) {
        self.chip.0.borrow_mut().cut_after(operations, tear, seed);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.chip.0.borrow().is_dead()
    }

    pub(crate) fn link_up(&mut self, link: LinkId, packet: usize) -> bool {
        let up = self.lock.link_up(link, packet, self.now, &mut self.entropy);
        self.settle();
        up
    }

    pub(crate) fn link_down(&mut self, link: LinkId) {
        self.lock.link_down(link, self.now);
        self.packets.retain(|(of, _)| *of != link);
        self.settle();
    }

    pub(crate) fn packet(&mut self, link: LinkId, packet: &[u8]) {
        self.lock
            .handle_packet(link, packet, self.now, &mut self.entropy);
        self.settle();
    }

    pub(crate) fn press_button(&mut self, held_ms: u32) {
        self.lock.press_button(held_ms, self.now, &mut self.entropy);
        self.settle();
    }

    pub(crate) fn sense(&mut self, sensors: Sensors) {
        self.sensors = sensors;
        self.lock.handle_sensors(sensors, self.now);
        self.settle();
    }

    pub(crate) fn pass_time(&mut self, milliseconds: u64) {
        self.now += milliseconds;
        self.lock.handle_time(self.now);
        self.settle();
        if let Some(next) = self.lock.next_deadline() {
            assert!(
                next > self.now || self.lock.is_halted(),
                "due at {next}, done at {}",
                self.now
            );
        }
    }

    /// Carries out what the lock orders; the bolt moves at once and the sensors say so.
    fn settle(&mut self) {
        let mut buffer = [0; PACKET];
        let mut count = 0;
        while let Some(output) = self
            .lock
            .poll_output(&mut buffer, self.now, &mut self.entropy)
        {
            count += 1;
            assert!(count < MOST_OUTPUTS, "one event, {count} outputs");
            let target = match output {
                Output::Packet { link, bytes } => {
                    self.packets.push_back((link, bytes.to_vec()));
                    continue;
                }
                Output::Disconnect { link } => {
                    self.ended.push(link);
                    continue;
                }
                Output::Motor(Motor::Stop) => continue,
                Output::Motor(Motor::Throw) => Position::Locked,
                Output::Motor(Motor::Draw) => Position::Unlocked,
            };
            self.starts += 1;
            self.sensors.position = target;
            self.lock.handle_sensors(self.sensors, self.now);
        }
    }
}
