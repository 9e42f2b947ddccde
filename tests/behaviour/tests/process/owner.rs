//! The owner, who signs in this process: a command a round must not cost a process each.

use std::path::Path;

use base64ct::{Base64, Encoding};
use drawbridge_daemon::owner::audit::acknowledge;
use drawbridge_daemon::owner::command::{FreshInfo, SignedCommand};
use drawbridge_daemon::owner::log_reading::{LogReading, Verified};
use drawbridge_daemon::owner::{KeyFile, LockRecord, OwnerKeys};
use drawbridge_protocol::command::Action;
use drawbridge_protocol::ids::Nonce;
use drawbridge_protocol::log_record::LogCursor;
use drawbridge_protocol::outcome::Outcome;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::home::insist;

/// As the command line left it in its key file.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    keys: OwnerKeys,
    pub(crate) lock: LockRecord,
}

impl Owner {
    pub(crate) fn load(key_file: &Path) -> Self {
        let book = KeyFile::at(key_file).load().unwrap();
        Self {
            lock: book.locks[0].clone(),
            keys: book.keys,
        }
    }

    /// Where the lock stands now, in its own words.
    pub(crate) fn info(&self, socket: &Path, dice: &mut Dice) -> FreshInfo {
        let nonce = Nonce(dice.bytes());
        let data = json!({"lock": self.lock.id.to_string(), "nonce": nonce.to_string()});
        self.fresh(nonce, &insist(socket, "lock.session_info", &data))
    }

    /// The same, out of an answer to our nonce.
    pub(crate) fn fresh(&self, nonce: Nonce, answer: &Value) -> FreshInfo {
        FreshInfo::verify(&self.lock, nonce, &base64(&answer["statement"])).unwrap()
    }

    pub(crate) fn sign(&self, info: &FreshInfo, action: Action, ttl_ms: u64) -> SignedCommand {
        SignedCommand::new(&self.keys, info, action, ttl_ms).unwrap()
    }

    /// The lock's own word in a result.
    pub(crate) fn proven(&self, result: &Value) -> Outcome {
        assert!(result["report"].is_string(), "no report in {result}");
        Outcome::verify(&base64(&result["report"]), &self.lock.identity).unwrap()
    }

    /// Leave for the lock to free what was read.
    pub(crate) fn acknowledgement(&self, reached: &Verified) -> Vec<u8> {
        acknowledge(&self.keys, &self.lock, reached).unwrap()
    }

    pub(crate) fn reading(&self, from: Option<LogCursor>) -> LogReading {
        LogReading::behind(from)
    }
}

pub(crate) fn base64(text: &Value) -> Vec<u8> {
    Base64::decode_vec(text.as_str().unwrap()).unwrap()
}

pub(crate) fn in_base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}
