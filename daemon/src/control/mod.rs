//! The control socket: how the CLI and other local programs talk to the daemon.
//!
//! A Unix socket of mode 0660 in a folder of mode 0750, JSON lines, one request a line:
//! `{"id":1,"verb":"lock.list","data":{}}`. Each request is answered by one line with the same id and `status` `ok` or `error`; a
//! verb that streams sends `status` `event` lines before it. Verbs are the core's business: this module frames,
//! bounds and checks who asks. **No byte of a peer that is not allowed is parsed, and no request reaches the core without
//! the peer's credentials.**

mod access;
pub mod client;
mod connection;
mod error;
mod frame;
mod listener;
mod reply;

pub use self::access::{Access, Peer};
pub use self::error::ControlError;
pub use self::frame::{Fault, MAX_LINE, Request, Response, Status};
pub use self::listener::{ControlConfig, ControlSocket};
pub use self::reply::{ControlRequest, Reply, SlowReader};
