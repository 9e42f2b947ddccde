//! The owner's side: who an owner is, and what only an owner can sign. No I/O but the key file's.
//!
//! | file | what |
//! | --- | --- |
//! | `keys` | the owner's three secrets |
//! | `lock_record` | what the owner knows of each lock: keys, standing, grants, how far the log was read |
//! | `key_file`, `key_file_error`, `file_form` | the file all of that is kept in, what can be wrong with it, and its version 1 on disk |
//! | `claim`, `grant` | taking ownership, and what the hub is given by it |
//! | `command` | signing commands, and judging what is said to have come of one |
//! | `log_reading` | following a lock's log to a head that the lock signed |
//! | `audit` | leave for a lock to free what was read |
//!
//! **Nothing in here believes a hub:** a lock is owned once its receipt verifies, a command has
//! ended once the lock's signed outcome says so, a log is whole once it meets a signed head.

pub mod audit;
pub mod claim;
pub mod command;
mod file_form;
pub mod grant;
pub mod key_file;
mod key_file_error;
pub mod keys;
pub mod lock_record;
pub mod log_reading;

pub use key_file::{KeyFile, KeyFileError};
pub use keys::{OwnerBook, OwnerKeys};
pub use lock_record::{LockRecord, Standing};

#[cfg(test)]
pub(crate) mod test_lock;
