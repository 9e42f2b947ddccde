//! The hub as pure machines: events in, actions out; time and randomness are arguments.
//!
//! Nothing in here does I/O, waits, or reads a clock, so the daemon, a test and a seeded simulator
//! run the same code. [`Hub`] is the whole of it; the folders below are its parts.
//!
//! | part | what it knows |
//! | --- | --- |
//! | [`event`], [`action`] | the words spoken with the adapters |
//! | `link` | one lock's link and session: down, hello, shaking, up |
//! | `command` | intake, duplicates, the queue of a lock, outcomes |
//! | `verbs` | requests over MQTT and the control socket |
//! | `ledger` | batches for the store, one at a time, in order |
//! | `outbox` | what is to be published, until the broker has it |
//! | [`topic`] | names on the broker |

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod action;
mod air;
mod audit;
mod audit_ack;
pub mod binding;
mod command;
pub mod config;
mod document;
pub mod event;
mod hub;
mod ledger;
mod link;
mod lock;
pub mod now;
mod outbox;
pub mod record;
mod said;
mod serve;
mod slots;
mod standing;
pub mod topic;
mod verbs;

pub use self::action::{
    CloudAction, ControlAction, Entry, HubAction, Level, Passkey, Priority, RadioAction, StoreOp,
    Tree,
};
pub use self::binding::{LockBinding, SecretBytes};
pub use self::config::{HubConfig, HubKeys};
pub use self::event::{
    AckToken, Address, ClientId, CloudEvent, ControlEvent, HubEvent, LinkFault, LinkId, RadioEvent,
    RadioHealth, StoreFault,
};
pub use self::hub::Hub;
pub use self::now::Now;
pub use self::record::Restored;
pub use self::verbs::VerbError;
