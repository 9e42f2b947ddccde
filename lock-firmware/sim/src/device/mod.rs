//! One lock: the core, the body that it drives, its flash and its links, without sockets or a clock.

mod knobs;
mod links;
mod power;

use std::collections::{BTreeMap, VecDeque};

use drawbridge_lock::{BootError, Factory, LinkId, Lock, Motor, Output, Sensors, Settings};
use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::link_message::MAX_LINK_MESSAGE;

use crate::body::Body;
use crate::entropy::Randomness;
use crate::flash_handle::FlashHandle;
use crate::image::{Image, ImageError};
use crate::lane::{Drops, Lane};
use crate::message_ends::MessageEnds;
pub use links::Refusal;

/// A connection of the air, for as long as the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What the device wants from the world.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Put this packet on a link.
    Packet {
        /// Whose link.
        connection: ConnectionId,
        /// The packet.
        bytes: Vec<u8>,
    },
    /// Take a link down, after what was put on it before.
    Close {
        /// Whose link.
        connection: ConnectionId,
    },
    /// The lock started: it appears on the air under a new address.
    Appeared,
    /// Something that a person would notice changed.
    Noticed(View),
}

/// What a person who stands before the lock notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Bolt, door, case, battery.
    pub sensors: Sensors,
    /// How often the motor was energised.
    pub actuations: u64,
    /// Whether the lock is alive.
    pub alive: bool,
}

/// Faults of the links.
#[derive(Debug, Default)]
struct Faults {
    delay_ms: u32,
    to_hub: Drops,
    to_lock: Drops,
    /// All links go down when this many more packets passed.
    loss_after: Option<u32>,
    /// All links go down when this many more messages passed.
    hang_up_after: Option<u32>,
    /// How many messages passed.
    messages: u64,
}

#[derive(Debug)]
struct Link {
    id: LinkId,
    /// The largest packet, in bytes, either way.
    packet: usize,
    inbound: Lane,
    outbound: Lane,
    arriving: MessageEnds,
    leaving: MessageEnds,
    opened_at: u64,
    /// The core ended it: it goes down when what it said before has arrived.
    closing: bool,
}

/// The simulated lock.
///
/// Contract: tell it what happened (a method of this or of its submodules), then
/// [`advance`](Self::advance), then take [`effects`](Self::take_effect) until there is none; call
/// `advance` again when [`next_deadline`](Self::next_deadline) is due. `now_ms` counts from the
/// process's start and never goes back. **Only [`Output::Motor`] of the core reaches the motor.**
#[derive(Debug)]
pub struct Device {
    lock: Option<Box<Lock<FlashHandle>>>,
    flash: FlashHandle,
    boot_error: Option<BootError>,
    factory: Factory,
    settings: Settings,
    body: Body,
    image: Image,
    entropy: Randomness,
    links: BTreeMap<ConnectionId, Link>,
    faults: Faults,
    effects: VecDeque<Effect>,
    /// What the core was told last, and since which moment its clock runs.
    told: Sensors,
    /// Whether the motor was started and the core was not told of an end yet.
    driven: bool,
    booted_at: u64,
    shown: Option<View>,
    buffer: Vec<u8>,
}

impl Device {
    /// Puts a lock together and starts it.
    #[must_use]
    pub fn new(
        image: Image,
        factory: Factory,
        settings: Settings,
        motor_ms: u32,
        entropy: Randomness,
    ) -> Self {
        let body = Body::new(motor_ms, image.bolt_at());
        let mut device = Self {
            lock: None,
            flash: FlashHandle::new(image.flash()),
            boot_error: None,
            told: body.sensors(0),
            driven: false,
            factory,
            settings,
            body,
            image,
            entropy,
            links: BTreeMap::new(),
            faults: Faults::default(),
            effects: VecDeque::new(),
            booted_at: 0,
            shown: None,
            buffer: vec![0; MAX_LINK_MESSAGE],
        };
        device.boot(0);
        device
    }

    /// The factory's data of this lock.
    #[must_use]
    pub const fn factory(&self) -> &Factory {
        &self.factory
    }

    /// What the lock advertises; `None` while it is dead.
    pub fn beacon(&mut self) -> Option<Beacon> {
        let lock = self.lock.as_mut()?;
        Some(lock.beacon(&mut self.entropy))
    }

    /// The next effect.
    pub fn take_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`advance`](Self::advance) is due again although nothing happens.
    #[must_use]
    pub fn next_deadline(&self, now_ms: u64) -> Option<u64> {
        let core = self
            .lock
            .as_deref()
            .and_then(Lock::next_deadline)
            .map(|deadline| deadline.saturating_add(self.booted_at));
        let lanes = self
            .links
            .values()
            .flat_map(|link| [link.inbound.next_due(), link.outbound.next_due()]);
        lanes
            .chain([core, self.body.next_change(now_ms)])
            .flatten()
            .min()
    }

    /// Lets everything happen that is due.
    ///
    /// # Errors
    /// [`ImageError`] when the flash image could not be written: the lock must not run on.
    pub fn advance(&mut self, now_ms: u64) -> Result<(), ImageError> {
        // A process that stood still finds bolt and clock both due: it looks at the bolt first.
        self.sense(now_ms);
        let lock_ms = now_ms - self.booted_at;
        if let Some(lock) = self.lock.as_mut()
            && lock.next_deadline().is_some_and(|due| due <= lock_ms)
        {
            lock.handle_time(lock_ms);
        }
        loop {
            self.deliver_to_lock(now_ms);
            self.sense(now_ms);
            let drove = self.drain_core(now_ms);
            if !drove && !self.has_arrived(now_ms) {
                break;
            }
        }
        self.deliver_to_hub(now_ms);
        self.show(now_ms);
        self.image.check()
    }

    fn sense(&mut self, now_ms: u64) {
        let sensors = self.body.sensors(now_ms);
        // The end of a travel is told even when nothing else changed: a bolt that was driven to
        // where it stood already has arrived too.
        let arrived =
            self.driven && sensors.position != drawbridge_protocol::report::Position::Moving;
        if sensors == self.told && !arrived {
            return;
        }
        self.told = sensors;
        self.driven &= !arrived;
        if let Some(lock) = self.lock.as_mut() {
            lock.handle_sensors(sensors, now_ms - self.booted_at);
        }
    }

    /// Carries out what the core wants; answers whether that may have changed anything for it.
    fn drain_core(&mut self, now_ms: u64) -> bool {
        let mut drove = false;
        loop {
            let Some(lock) = self.lock.as_mut() else {
                return false;
            };
            let lock_ms = now_ms - self.booted_at;
            let output = lock.poll_output(&mut self.buffer, lock_ms, &mut self.entropy);
            match output {
                Some(Output::Packet { link, bytes }) => {
                    let packet = bytes.to_vec();
                    self.send(link, &packet, now_ms);
                }
                Some(Output::Disconnect { link }) => self.end(link),
                Some(Output::Motor(order)) => {
                    self.drive(order, now_ms);
                    drove = true;
                }
                None => break,
            }
        }
        if self.lock.as_deref().is_some_and(Lock::is_halted) {
            self.die(now_ms);
            return false;
        }
        drove
    }

    fn drive(&mut self, order: Motor, now_ms: u64) {
        self.body.drive(order, now_ms);
        self.driven = order != Motor::Stop;
        // A process killed while the motor runs leaves the bolt somewhere between its ends.
        let between = crate::body::FULL_TRAVEL / 2;
        let kept = if order == Motor::Stop {
            self.body.bolt_at(now_ms)
        } else {
            between
        };
        self.image.keep_bolt(kept);
    }

    fn show(&mut self, now_ms: u64) {
        let view = View {
            sensors: self.body.sensors(now_ms),
            actuations: self.body.actuations(),
            alive: self.lock.is_some(),
        };
        if self.shown != Some(view) {
            self.shown = Some(view);
            self.effects.push_back(Effect::Noticed(view));
        }
    }
}

impl Faults {
    /// Counts a packet; answers whether all links go down with it.
    fn count_packet(&mut self) -> bool {
        let left = self.loss_after.map(|left| left.saturating_sub(1));
        self.loss_after = left.filter(|left| *left > 0);
        left == Some(0)
    }

    /// Counts a message that has passed whole; answers whether all links go down behind it.
    fn count_message(&mut self) -> bool {
        self.messages += 1;
        let left = self.hang_up_after.map(|left| left.saturating_sub(1));
        self.hang_up_after = left.filter(|left| *left > 0);
        left == Some(0)
    }
}
