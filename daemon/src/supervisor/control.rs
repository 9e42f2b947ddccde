//! Requests from the control socket: to the core, or answered here when they ask for what only
//! the adapters know.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::control::{ControlRequest, Fault, Reply};
use crate::core::{ClientId, ControlAction, ControlEvent, HubEvent};

/// The requests that wait for the core.
#[derive(Debug, Default)]
pub(super) struct Desk {
    open: HashMap<u64, Reply>,
    next: u64,
}

impl Desk {
    /// Takes a request in. Each is a client of its own to the core: the socket's connections do
    /// not matter to it.
    pub(super) fn take(&mut self, request: ControlRequest) -> HubEvent {
        let client = ClientId(self.next);
        self.next += 1;
        self.open.insert(client.0, request.reply);
        HubEvent::Control(ControlEvent::Request {
            client,
            id: 0,
            verb: request.verb,
            data: request.data,
        })
    }

    /// Passes an answer on. The event that comes back tells the core of a client that is gone.
    pub(super) fn act(&mut self, action: ControlAction) -> Option<HubEvent> {
        match action {
            ControlAction::Reply { client, result, .. } => {
                let reply = self.open.remove(&client.0)?;
                match result {
                    Ok(value) => reply.done(value),
                    Err(error) => {
                        let fault = Fault::new(error.code, error.message);
                        reply.refuse(fault.advise(error.advice));
                    }
                }
                None
            }
            ControlAction::Stream { client, value, .. } => {
                let reply = self.open.get(&client.0)?;
                if reply.event(value).is_ok() {
                    return None;
                }
                self.open.remove(&client.0);
                Some(HubEvent::Control(ControlEvent::Gone { client }))
            }
        }
    }

    /// Those who hung up without a word, for the core to forget.
    pub(super) fn gone(&mut self) -> Vec<HubEvent> {
        let gone: Vec<u64> = self
            .open
            .iter()
            .filter(|(_, reply)| !reply.is_open())
            .map(|(id, _)| *id)
            .collect();
        gone.into_iter()
            .map(|id| {
                self.open.remove(&id);
                HubEvent::Control(ControlEvent::Gone {
                    client: ClientId(id),
                })
            })
            .collect()
    }
}

/// One line of `doctor`.
pub(super) fn check(name: &str, verdict: &str, detail: impl Into<String>, advice: &str) -> Value {
    json!({"check": name, "verdict": verdict, "detail": detail.into(), "advice": advice})
}
