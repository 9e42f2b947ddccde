//! Fuzz targets: one function of bytes for everything that strangers can hand to hub, lock or owner.
//!
//! The same functions are run by cargo-fuzz (`tests/run fuzz`, wrappers in `cargo-fuzz/`) and over
//! every committed input on stable Rust (`tests/replay.rs`). **A target is a function of its bytes
//! alone**: no clock, no chance, so that an input that fails once fails always. ([`radio()`] has a clock, and is one
//! with feature `virtual-time`, which the fuzzer builds; in the tests of the workspace that clock is this machine's.)
//!
//! | target | fed by |
//! | --- | --- |
//! | [`fragments()`], [`hellos()`], [`handshake()`], [`session()`], [`messages()`] | radio |
//! | [`statements()`] | radio, broker, control socket |
//! | [`names()`], [`hub_requests()`] | broker, control socket |
//! | [`json()`] | broker, control socket |
//! | [`codes()`] | the code on a lock |
//! | [`config()`], [`files()`], [`hub_store()`], [`lock_flash()`] | files and flash |
//! | [`air()`] | sockets of the virtual air and of the simulated lock |
//! | [`radio()`] | the lock's Bluetooth controller |
//! | [`lock_events()`], [`hub_events()`] | all of it, in any order, with power cuts |

mod air;
mod bench;
mod codes;
mod config;
mod files;
mod fragments;
mod handshake;
mod hellos;
mod hub_events;
mod hub_requests;
mod hub_store;
mod input;
mod json;
mod lock_events;
mod lock_flash;
mod messages;
mod names;
mod parties;
mod radio;
pub mod seeds;
mod session;
mod statements;

pub use air::air;
pub use codes::codes;
pub use config::config;
pub use files::files;
pub use fragments::fragments;
pub use handshake::handshake;
pub use hellos::hellos;
pub use hub_events::hub_events;
pub use hub_requests::hub_requests;
pub use hub_store::hub_store;
pub use json::json;
pub use lock_events::lock_events;
pub use lock_flash::lock_flash;
pub use messages::messages;
pub use names::names;
pub use radio::radio;
pub use session::session;
pub use statements::statements;

/// A function over one input; panics when a property does not hold.
pub type Target = fn(&[u8]);

/// Every target by name: the name of its wrapper in `cargo-fuzz/` and of its folder in `corpus/`.
pub const ALL: [(&str, Target); 18] = [
    ("air", air),
    ("codes", codes),
    ("config", config),
    ("files", files),
    ("fragments", fragments),
    ("handshake", handshake),
    ("hellos", hellos),
    ("hub_events", hub_events),
    ("hub_requests", hub_requests),
    ("hub_store", hub_store),
    ("json", json),
    ("lock_events", lock_events),
    ("lock_flash", lock_flash),
    ("messages", messages),
    ("names", names),
    ("radio", radio),
    ("session", session),
    ("statements", statements),
];
