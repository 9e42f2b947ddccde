//! What clients ask for, over MQTT and over the control socket.

use drawbridge_daemon::core::{ClientId, ControlEvent, HubEvent};
use serde_json::{Value, json};

use super::base64;
use super::world::World;
use crate::input::{Input, damage};
use crate::parties;

impl World {
    pub(super) fn verb(&mut self, input: &mut Input<'_>) -> (&'static str, Value) {
        let lock = parties::LOCK.to_string();
        let free = || Value::Null;
        match input.byte() % 14 {
            0 => ("status", free()),
            1 => ("doctor", free()),
            2 => ("hub.keys", free()),
            3 => ("lock.list", free()),
            4 => ("lock.show", json!({"lock": lock})),
            5 => {
                let name = String::from_utf8_lossy(input.chunk()).into_owned();
                ("lock.rename", json!({"lock": lock, "name": name}))
            }
            6 if input.byte() % 16 == 15 => ("lock.remove", json!({"lock": lock})),
            6 | 7 => {
                let ticket = parties::code().ticket();
                let mut out = [0; 192];
                let mut bytes = ticket.encode(&mut out).expect("tickets fit").to_vec();
                damage(&mut bytes, input);
                ("lock.pair", json!({"ticket": base64(&bytes)}))
            }
            8 => (
                "lock.claim",
                json!({"lock": lock, "claim": base64(input.chunk())}),
            ),
            9 => {
                let nonce = "73".repeat(16);
                ("lock.session_info", json!({"lock": lock, "nonce": nonce}))
            }
            10 => (
                "lock.audit_ack",
                json!({"lock": lock, "ack": base64(input.chunk())}),
            ),
            11 => {
                let wait = input.flag();
                let command = base64(&self.statement(input));
                (
                    "lock.command",
                    json!({"lock": lock, "command": command, "wait": wait}),
                )
            }
            12 => ("watch", free()),
            _ => {
                let data = serde_json::from_slice(input.chunk()).unwrap_or_default();
                ("lock.rename", data)
            }
        }
    }

    pub(super) fn request(&mut self, input: &mut Input<'_>) {
        let client = ClientId(u64::from(input.byte() % 4));
        let (verb, data) = self.verb(input);
        self.ask(client, verb, data);
    }

    pub(super) fn ask(&mut self, client: ClientId, verb: &str, data: Value) {
        self.next_request += 1;
        let id = self.next_request;
        self.requests.insert((client, id));
        self.feed(HubEvent::Control(ControlEvent::Request {
            client,
            id,
            verb: verb.to_owned(),
            data,
        }));
    }

    pub(super) fn gone(&mut self, input: &mut Input<'_>) {
        let client = ClientId(u64::from(input.byte() % 4));
        self.requests.retain(|(asker, _)| *asker != client);
        self.feed(HubEvent::Control(ControlEvent::Gone { client }));
    }
}
