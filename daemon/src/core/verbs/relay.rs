//! What the hub hands on to a lock: questions, acknowledgements, commands.

use drawbridge_protocol::command::MAX_COMMAND;
use drawbridge_protocol::cose::MAX_STATEMENT;
use drawbridge_protocol::ids::Nonce;
use drawbridge_protocol::keys::IdentityKey;
use serde::Deserialize;
use serde_json::Value;

use super::{ReplyTo, VerbError};
use crate::core::command::{Origin, Waiter};
use crate::core::document::from_base64;
use crate::core::event::ClientId;
use crate::core::hub::Hub;
use crate::core::lock::Relay;
use crate::core::now::Now;

/// How long a relayed question may wait for its lock, in milliseconds: a cold connect at the edge
/// of the range, and a command ahead of it.
const RELAY_MS: u64 = 20_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedInfo {
    lock: String,
    nonce: String,
    #[serde(default)]
    holder: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AckForLock {
    lock: String,
    ack: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LocalCommand {
    lock: String,
    command: String,
    #[serde(default)]
    wait: bool,
}

impl Hub {
    pub(super) fn lock_session_info(
        &mut self,
        wanted: &WantedInfo,
        reply: ReplyTo,
        now: Now,
    ) -> Result<Option<Value>, VerbError> {
        let id = self.find_lock(&wanted.lock)?;
        let nonce: Nonce = wanted
            .nonce
            .parse()
            .map_err(|_| VerbError::bad_request("the nonce is not 32 hexadecimal digits"))?;
        let holder: Option<IdentityKey> = wanted
            .holder
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|_| VerbError::bad_request("the holder is not 64 hexadecimal digits"))?;
        let bound = self.config.relays_per_lock;
        let lock = self
            .locks
            .get_mut(&id)
            .filter(|lock| lock.binding.is_claimed);
        let Some(lock) = lock else {
            return Err(VerbError::unknown_lock());
        };
        if lock.relays.len() >= bound {
            return Err(VerbError::busy());
        }
        lock.relays.push_back(Relay {
            nonce,
            holder,
            reply,
            deadline: now.mono_ms.saturating_add(RELAY_MS),
        });
        self.touch(id);
        Ok(None)
    }

    pub(super) fn lock_audit_ack(
        &mut self,
        ack: &AckForLock,
        reply: ReplyTo,
    ) -> Result<Option<Value>, VerbError> {
        let id = self.find_lock(&ack.lock)?;
        let statement = from_base64(&ack.ack, MAX_STATEMENT)
            .ok_or_else(|| VerbError::bad_statement("an audit acknowledgement"))?;
        self.take_audit_ack(id, &statement, None, Some(reply));
        Ok(None)
    }

    /// A command from the control socket. Its client gets results as they come and, as the last
    /// word, `accepted` or the final one.
    pub(super) fn lock_command(&mut self, client: ClientId, id: u64, data: Value, now: Now) {
        let command = self.parsed::<LocalCommand>(data).and_then(|command| {
            let lock = self.find_lock(&command.lock)?;
            let statement = from_base64(&command.command, MAX_COMMAND)
                .ok_or_else(|| VerbError::bad_statement("a signed command"))?;
            Ok((lock, statement, command.wait))
        });
        match command {
            Ok((lock, statement, until_final)) => {
                let origin = Origin {
                    waiter: Some(Waiter {
                        client,
                        id,
                        until_final,
                    }),
                    ..Origin::default()
                };
                self.take_command(lock, &statement, origin, now);
            }
            Err(error) => self.reply_control(client, id, Err(error)),
        }
    }
}
