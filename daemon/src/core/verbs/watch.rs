//! Clients that watch.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ReplyTo, VerbError};
use crate::core::action::{ControlAction, HubAction};
use crate::core::event::ClientId;
use crate::core::hub::Hub;
use crate::core::topic::lock_id;

/// Requests that get every event, or those of one lock, until their client hangs up.
#[derive(Debug, Default)]
pub(in crate::core) struct Watchers(Vec<Watcher>);

#[derive(Debug)]
struct Watcher {
    client: ClientId,
    id: u64,
    lock: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Watch {
    #[serde(default)]
    lock: Option<String>,
}

impl Hub {
    pub(super) fn watch(&mut self, client: ClientId, id: u64, data: Value) {
        let wanted = if data.is_null() {
            Ok(Watch::default())
        } else {
            self.parsed::<Watch>(data)
        };
        let wanted = wanted.and_then(|watch| match &watch.lock {
            Some(lock) if lock_id(lock).is_none_or(|lock| !self.locks.contains_key(&lock)) => {
                Err(VerbError::unknown_lock())
            }
            _ if self.watchers.0.len() >= self.config.watchers => Err(VerbError::busy()),
            _ => Ok(watch.lock),
        });
        match wanted {
            Ok(lock) => {
                self.watchers.0.push(Watcher { client, id, lock });
                let value = json!({"event": "watching"});
                self.push(HubAction::Control(ControlAction::Stream {
                    client,
                    id,
                    value,
                }));
            }
            Err(error) => self.reply_control(client, id, Err(error)),
        }
    }

    /// Tells whoever watches.
    pub(in crate::core) fn stream(&mut self, event: &Value) {
        let lock = event.get("lock").and_then(Value::as_str);
        let streams: Vec<_> = self
            .watchers
            .0
            .iter()
            .filter(|watcher| watcher.lock.is_none() || watcher.lock.as_deref() == lock)
            .map(|watcher| ControlAction::Stream {
                client: watcher.client,
                id: watcher.id,
                value: event.clone(),
            })
            .collect();
        for stream in streams {
            self.push(HubAction::Control(stream));
        }
    }

    /// A client hung up: whatever it waits for goes on without it.
    pub(in crate::core) fn client_gone(&mut self, client: ClientId) {
        self.watchers.0.retain(|watcher| watcher.client != client);
        for tracked in self.commands.tracked.values_mut() {
            tracked.waiters.retain(|waiter| waiter.client != client);
        }
        for lock in self.locks.values_mut() {
            // Its place is for somebody who listens.
            let is_his =
                |to: &ReplyTo| matches!(to, ReplyTo::Control { client: of, .. } if *of == client);
            lock.relays.retain(|relay| !is_his(&relay.reply));
        }
        self.unanswered.retain(|(of, _), _| *of != client);
    }
}
