//! The lock, its flash, its bolt and its clock.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use drawbridge_lock::flash::model::{Nor, Tear};
use drawbridge_lock::flash::{Flash, FlashError};
use drawbridge_lock::{BootError, Factory, LinkId, Lock, Motor, Output, Sensors, Settings};
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::report::{Door, Position};

/// Size of the packets on the test's links.
pub(crate) const PACKET: usize = 244;

/// A seeded stream (xorshift64*): tests repeat, nothing else may use it.
#[derive(Clone)]
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        u64::from_le_bytes(self.bytes()) % limit
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, into: &mut [u8]) {
        for byte in into {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            *byte = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8;
        }
    }
}

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

/// The bolt itself, which survives every reboot. `starts` counts how often the motor was energised.
pub(crate) struct Bolt {
    pub(crate) position: Position,
    pub(crate) starts: u32,
    /// The motor was started and not told to stop since.
    pub(crate) driven: bool,
    pub(crate) jammed: bool,
}

/// The lock, its flash, its bolt and its clock.
pub(crate) struct Home {
    pub(crate) factory: Factory,
    pub(crate) settings: Settings,
    pub(crate) chip: Chip,
    pub(crate) bolt: Bolt,
    pub(crate) battery: u8,
    pub(crate) door: Door,
    /// The motor runs and the sensors say nothing.
    pub(crate) stalled: bool,
    pub(crate) lock: Option<Lock<Chip>>,
    pub(crate) now: u64,
    pub(crate) entropy: Seeded,
    pub(crate) packets: VecDeque<(LinkId, Vec<u8>)>,
    pub(crate) dropped_links: Vec<LinkId>,
}

impl Home {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_pages(seed, 20)
    }

    pub(crate) fn with_pages(seed: u64, pages: u32) -> Self {
        let mut entropy = Seeded::new(seed);
        let factory = Factory::generate(7, &mut entropy);
        let mut home = Self {
            factory,
            settings: Settings::default(),
            chip: Chip(Rc::new(RefCell::new(Nor::new(pages)))),
            bolt: Bolt {
                position: Position::Locked,
                starts: 0,
                driven: false,
                jammed: false,
            },
            battery: 90,
            door: Door::Closed,
            stalled: false,
            lock: None,
            now: 0,
            entropy,
            packets: VecDeque::new(),
            dropped_links: Vec::new(),
        };
        home.boot().unwrap();
        home
    }

    pub(crate) fn sensors(&self) -> Sensors {
        Sensors {
            position: self.bolt.position,
            door: self.door,
            tamper: false,
            battery: self.battery,
        }
    }

    /// Power on. Whatever the links carried is gone.
    pub(crate) fn boot(&mut self) -> Result<(), BootError> {
        self.chip.0.borrow_mut().restore();
        self.start()
    }

    /// Power on, and off again after so many flash operations.
    pub(crate) fn boot_with_cut(
        &mut self,
        operations: u64,
        tear: Tear,
        seed: u64,
    ) -> Result<(), BootError> {
        self.chip.0.borrow_mut().restore();
        self.cut_after(operations, tear, seed);
        self.start()
    }

    fn start(&mut self) -> Result<(), BootError> {
        self.lock = None;
        self.packets.clear();
        self.now = 0;
        let lock = Lock::boot(
            self.chip.clone(),
            self.factory.clone(),
            self.settings,
            self.sensors(),
            &mut self.entropy,
        )?;
        self.lock = Some(lock);
        Ok(())
    }

    pub(crate) fn cut_after(&mut self, operations: u64, tear: Tear, seed: u64) {
        self.chip.0.borrow_mut().cut_after(operations, tear, seed);
    }

    pub(crate) fn lock(&mut self) -> &mut Lock<Chip> {
        self.lock.as_mut().unwrap()
    }

    /// Carries out what the lock orders. The bolt moves at once; the sensors say so.
    pub(crate) fn settle(&mut self) {
        let mut buffer = [0; PACKET];
        loop {
            let mut moved = None;
            let lock = self.lock.as_mut().unwrap();
            match lock.poll_output(&mut buffer, self.now, &mut self.entropy) {
                Some(Output::Packet { link, bytes }) => {
                    self.packets.push_back((link, bytes.to_vec()));
                }
                Some(Output::Disconnect { link }) => self.dropped_links.push(link),
                Some(Output::Motor(Motor::Throw)) => moved = Some(Position::Locked),
                Some(Output::Motor(Motor::Draw)) => moved = Some(Position::Unlocked),
                Some(Output::Motor(Motor::Stop)) => self.bolt.driven = false,
                None => return,
            }
            if let Some(target) = moved {
                self.bolt.starts += 1;
                self.bolt.driven = true;
                if self.stalled {
                    continue;
                }
                self.bolt.position = if self.bolt.jammed {
                    Position::Jammed
                } else {
                    target
                };
                let sensors = self.sensors();
                let now = self.now;
                self.lock().handle_sensors(sensors, now);
            }
        }
    }

    pub(crate) fn press_button(&mut self) {
        let now = self.now;
        let mut entropy = self.entropy.clone();
        self.lock().press_button(200, now, &mut entropy);
        self.entropy = entropy;
        self.settle();
    }

    /// Held long enough for a factory reset.
    pub(crate) fn reset(&mut self) {
        let now = self.now;
        let mut entropy = self.entropy.clone();
        self.lock()
            .press_button(drawbridge_lock::RESET_HOLD_MS, now, &mut entropy);
        self.entropy = entropy;
        self.settle();
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.chip.0.borrow().is_dead()
    }

    pub(crate) fn link_up(&mut self, link: LinkId) -> bool {
        let (now, mut entropy) = (self.now, self.entropy.clone());
        let up = self.lock().link_up(link, PACKET, now, &mut entropy);
        self.entropy = entropy;
        self.settle();
        up
    }

    pub(crate) fn packet(&mut self, link: LinkId, packet: &[u8]) {
        let (now, mut entropy) = (self.now, self.entropy.clone());
        self.lock().handle_packet(link, packet, now, &mut entropy);
        self.entropy = entropy;
        self.settle();
    }

    pub(crate) fn pass_time(&mut self, milliseconds: u64) {
        self.now += milliseconds;
        let now = self.now;
        self.lock().handle_time(now);
        self.settle();
    }
}
