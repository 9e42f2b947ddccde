//! Everything that is going to happen in a run, drawn from its seed before it begins.
//!
//! A schedule is a list: an entry can be taken out without changing the others, and so a failing
//! run can be made short.

mod draw;
mod mangle;

use drawbridge_lock::flash::model::Tear;
use drawbridge_protocol::command::Action;

pub(crate) use self::draw::{CALM_EVERY_MS, CALM_MS};
pub(crate) use self::mangle::Copies;
pub use self::mangle::Mangle;

/// A run before it begins.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// What it was drawn from.
    pub seed: u64,
    /// How long the run is, milliseconds.
    pub length_ms: u64,
    /// What does not change during the run.
    pub house: House,
    /// What happens, in order.
    pub items: Vec<Item>,
}

/// Bounds and settings of one run.
#[derive(Debug, Clone)]
pub struct House {
    /// Links that the hub may hold at a time; fewer than locks in some houses.
    pub slots: usize,
    /// Bounds of the hub's queues are small, so that runs meet them.
    pub is_narrow: bool,
    /// When each lock throws its bolt by itself, milliseconds.
    pub relock_ms: [Option<u32>; LOCKS],
}

/// Locks of a house.
pub const LOCKS: usize = 3;

/// One entry.
#[derive(Debug, Clone)]
pub struct Item {
    /// When, milliseconds after the locks were paired.
    pub at_ms: u64,
    /// What.
    pub deed: Deed,
}

/// What somebody or something does.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Somebody wants the bolt moved, or pretends to.
    Command(Plan),
    /// The hub dies after `after` more of its actions, or 5 s later.
    HubCrash {
        /// Actions that are still carried out.
        after: u32,
        /// How long it is away, milliseconds.
        away_ms: u64,
    },
    /// A link dies.
    LinkCut {
        /// Whose.
        lock: usize,
    },
    /// A lock is out of reach.
    Away {
        /// Which.
        lock: usize,
        /// How long, milliseconds.
        for_ms: u64,
    },
    /// Somebody between hub and lock spoils packets.
    AirNoise {
        /// Whose.
        lock: usize,
        /// How, how often, how long.
        noise: NoisePlan,
    },
    /// The adapter is unplugged.
    AdapterGone {
        /// How long, milliseconds.
        for_ms: u64,
    },
    /// The adapter has fewer slots than the hub believes.
    SlotsTaken {
        /// What is left.
        left: usize,
        /// How long, milliseconds.
        for_ms: u64,
    },
    /// A lock starts anew.
    Reboot {
        /// Which.
        lock: usize,
        /// How long it is dark, milliseconds.
        dark_ms: u64,
    },
    /// A lock loses its power in a flash operation.
    PowerCut {
        /// Which.
        lock: usize,
        /// Operations that still finish.
        after: u64,
        /// What the torn one leaves.
        tear: Tear,
        /// How long it is dark, milliseconds.
        dark_ms: u64,
        /// A second cut in the start that follows, after so many operations.
        again: Option<u64>,
        /// Of the torn bits.
        seed: u64,
    },
    /// The hub's connection to the broker breaks.
    BrokerBreak {
        /// How long it takes at least until the next one, milliseconds.
        away_ms: u64,
        /// The broker loses the session and what it held for it.
        forgets: bool,
    },
    /// The broker, or somebody in its place, spoils publications.
    CloudNoise {
        /// How, how often, how long.
        noise: NoisePlan,
    },
    /// The broker takes no publications.
    BrokerRefuses {
        /// How long, milliseconds.
        for_ms: u64,
    },
    /// The hub's disk misbehaves.
    Disk {
        /// How.
        ill: DiskIll,
        /// How long, milliseconds.
        for_ms: u64,
    },
    /// The hub's wall clock is set.
    Clock(Wall),
    /// Something is in the bolt's way.
    Block {
        /// Which lock.
        lock: usize,
        /// How long, milliseconds.
        for_ms: u64,
    },
    /// The door is opened or closed.
    Swing {
        /// Which lock.
        lock: usize,
    },
    /// The battery is empty, until it is changed.
    Drain {
        /// Which lock.
        lock: usize,
        /// How long, milliseconds.
        for_ms: u64,
    },
    /// The case is opened or closed.
    Tamper {
        /// Which lock.
        lock: usize,
    },
    /// A hand turns the bolt.
    Hand {
        /// Which lock.
        lock: usize,
    },
    /// The button inside: the pairing window opens.
    Button {
        /// Which lock.
        lock: usize,
    },
    /// Somebody else links to the lock and plays back what was on the air, or noise.
    Stranger {
        /// Which lock.
        lock: usize,
        /// Of what is played.
        seed: u64,
    },
}

/// A command from the wish to the last byte sent.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which lock.
    pub lock: usize,
    /// Who signs.
    pub who: Who,
    /// What for.
    pub action: Action,
    /// What is done with the signed bytes.
    pub how: How,
    /// Over the control socket; else over the broker.
    pub is_local: bool,
    /// How long it is good for, milliseconds of lock time.
    pub lasts_ms: u64,
}

/// Who signs a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The owner root.
    Owner,
    /// The hub's own key under its grant: may lock, must not unlock.
    Hub,
    /// A key that the lock does not know.
    Stranger,
}

/// What is done with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is sent.
    Plain,
    /// It is sent twice.
    Twice {
        /// Time between, milliseconds.
        gap_ms: u64,
    },
    /// It is held back for some time within its life.
    Held {
        /// How long, milliseconds.
        for_ms: u64,
    },
    /// It is sent only after its end.
    Late,
    /// It is published retained: never to be obeyed.
    Retained,
    /// One bit of it is wrong.
    Flipped {
        /// Which, modulo its length.
        bit: u64,
    },
    /// The bytes of an earlier command to that lock are sent.
    Replay {
        /// Which, modulo how many there are.
        nth: u64,
    },
    /// It is sent to another lock.
    WrongLock,
    /// It lives longer than the lock lets it.
    FarAhead,
    /// Other bytes under the same id go along.
    SameId,
}

/// What spoils messages.
#[derive(Debug, Clone)]
pub struct NoisePlan {
    /// How.
    pub mangle: Mangle,
    /// How many of 1,000.
    pub per_mille: u64,
    /// How long, milliseconds.
    pub for_ms: u64,
    /// Of what is spoilt.
    pub seed: u64,
}

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskIll {
    /// No space: nothing is written, and the error says so.
    Full,
    /// Input and output errors: nobody knows whether it was written.
    Broken,
    /// Each write takes this long, milliseconds.
    Slow(u64),
}

/// What the wall clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wall {
    /// The truth and so many seconds.
    Off(i64),
    /// The time since the start of the run, as a board without a battery believes.
    Epoch,
    /// It is not to be trusted, and the hub knows.
    Unknown,
}
