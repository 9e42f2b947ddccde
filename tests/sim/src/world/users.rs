//! Whoever wants something of a lock: asks where it stands, signs, sends, and listens.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use drawbridge_daemon::core::{ClientId, ControlEvent, HubEvent, VerbError};
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::{CommandId, Nonce};
use drawbridge_protocol::keys::{IdentityKey, IdentitySecret};
use drawbridge_protocol::session_info::SessionInfo;
use serde_json::{Value, json};

use super::issuing::Issued;
use super::{Due, HOP_MS, World};
use crate::dice::Dice;
use crate::house::broker::Message;
use crate::schedule::{How, Plan, Who};

/// How long a user waits for an answer, milliseconds: the hub gives up after 20 s.
const PATIENCE_MS: u64 = 25_000;
/// How often he asks.
const ATTEMPTS: u32 = 4;
/// Records of a log that are left to gather before the owner frees them.
const FREE_EVERY: u64 = 40;

/// A command that is to be.
#[derive(Debug)]
struct Errand {
    plan: Plan,
    attempt: u32,
    nonce: Nonce,
}

/// What a client of the control socket waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Waiting {
    Setup,
    Status,
    Errand(u64),
    Command(usize),
}

/// All users, and what they know.
#[derive(Debug)]
pub(crate) struct Users {
    errands: BTreeMap<u64, Errand>,
    next: u64,
    pub(super) clients: BTreeMap<ClientId, Waiting>,
    next_client: u64,
    setup: Option<Result<Value, String>>,
    pub(crate) status: Option<Value>,
    pub(crate) issued: BTreeMap<CommandId, Issued>,
    /// What was signed, and sent with one bit flipped: the air may flip it back.
    pub(super) spoilt: BTreeMap<Vec<u8>, Issued>,
    /// What was sent and may be sent again, by lock.
    pub(super) sent: BTreeMap<usize, Vec<(CommandId, Vec<u8>)>>,
    /// An errand that somebody follows, and its command.
    watched: (u64, Option<CommandId>),
    pub(super) stranger: IdentitySecret,
    pub(super) dice: Dice,
}

impl Users {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self {
            errands: BTreeMap::new(),
            next: 0,
            clients: BTreeMap::new(),
            next_client: 0,
            setup: None,
            status: None,
            issued: BTreeMap::new(),
            spoilt: BTreeMap::new(),
            sent: BTreeMap::new(),
            watched: (0, None),
            stranger: IdentitySecret::generate(dice),
            dice: Dice::new(dice.next()),
        }
    }

    pub(super) fn client(&mut self, waiting: Waiting) -> ClientId {
        self.next_client += 1;
        let client = ClientId(self.next_client);
        self.clients.insert(client, waiting);
        client
    }

    pub(super) fn shake(&mut self, dice: Dice) {
        self.dice = dice;
    }

    /// The hub's process is gone, and every client's connection with it.
    pub(super) fn hang_up(&mut self) {
        self.clients.clear();
    }

    pub(super) fn begin_setup(&mut self) {
        self.setup = None;
    }

    pub(super) fn setup_client(&mut self) -> ClientId {
        self.client(Waiting::Setup)
    }

    pub(super) const fn setup_answer(&self) -> Option<&Result<Value, String>> {
        self.setup.as_ref()
    }

    pub(super) const fn take_setup_answer(&mut self) -> Option<Result<Value, String>> {
        self.setup.take()
    }

    /// Follows an errand; without an end so far.
    pub(super) const fn watch(&mut self, errand: u64) {
        self.watched = (errand, None);
    }

    /// How the command of the followed errand ended, once its sender knows.
    pub(super) fn watched_end(&self) -> Option<&str> {
        let issued = self.issued.get(&self.watched.1?)?;
        issued.end.as_ref().map(|(status, _)| status.as_str())
    }

    /// The bolt came to its end for a command.
    pub(super) fn arrived(&mut self, id: CommandId) {
        if let Some(issued) = self.issued.get_mut(&id) {
            issued.has_arrived = true;
        }
    }
}

impl World {
    /// A client asks; nothing if there is no hub to ask.
    pub(super) fn request(&mut self, client: ClientId, verb: &str, data: Value) {
        let verb = verb.to_owned();
        self.feed(HubEvent::Control(ControlEvent::Request {
            client,
            id: 1,
            verb,
            data,
        }));
    }

    /// Asks the hub how it is; the answer is judged as it comes.
    pub(super) fn look_at_hub(&mut self) {
        if self.hub.is_some() {
            let client = self.users.client(Waiting::Status);
            self.request(client, "status", Value::Null);
        }
    }

    pub(super) fn control_reply(
        &mut self,
        client: ClientId,
        _id: u64,
        result: Result<Value, VerbError>,
    ) {
        let waiting = self.users.clients.remove(&client);
        let result = result.map_err(|error| error.code.to_owned());
        match (waiting, result) {
            (Some(Waiting::Setup), result) => self.users.setup = Some(result),
            (Some(Waiting::Status), Ok(status)) => self.status_told(status),
            (Some(Waiting::Errand(errand)), Ok(said)) => self.answered(errand, &said),
            (Some(Waiting::Command(lock)), Ok(said)) => self.result_told(lock, &said),
            _ => {}
        }
    }

    pub(super) fn control_stream(&mut self, client: ClientId, value: &Value) {
        if let Some(Waiting::Command(lock)) = self.users.clients.get(&client).copied() {
            self.result_told(lock, value);
        }
    }

    /// Somebody wants something.
    pub(super) fn wish(&mut self, plan: Plan) -> u64 {
        if let How::Replay { nth } = plan.how {
            let sent = self
                .users
                .sent
                .get(&plan.lock)
                .map_or(&[][..], Vec::as_slice);
            if let Some((id, bytes)) = sent.get((nth % sent.len().max(1) as u64) as usize) {
                let (id, bytes) = (*id, bytes.clone());
                self.send_later(0, Some(id), &plan, plan.lock, bytes, "replayed");
            }
            return 0;
        }
        self.users.next += 1;
        let errand = self.users.next;
        let nonce = Nonce(Entropy::bytes(&mut self.users.dice));
        let begun = Errand {
            plan,
            attempt: 0,
            nonce,
        };
        self.users.errands.insert(errand, begun);
        self.ask(errand);
        errand
    }

    fn ask(&mut self, errand: u64) {
        let Some(state) = self.users.errands.get(&errand) else {
            return;
        };
        let (plan, attempt) = (state.plan.clone(), state.attempt);
        let data = json!({
            "lock": self.lock_name(plan.lock),
            "nonce": state.nonce.to_string(),
            "holder": self.holder(&plan).to_string(),
        });
        if plan.is_local {
            let client = self.users.client(Waiting::Errand(errand));
            self.request(client, "lock.session_info", data);
        } else {
            let payload = json!({"transaction": format!("e{errand}"), "data": data});
            self.publish("req/lock.session_info", payload.to_string().as_bytes());
        }
        self.after(PATIENCE_MS, Due::AskAgain { errand, attempt });
    }

    pub(super) fn ask_again(&mut self, errand: u64, attempt: u32) {
        let Some(state) = self.users.errands.get_mut(&errand) else {
            return;
        };
        if state.attempt != attempt {
            return;
        }
        state.attempt += 1;
        if state.attempt < ATTEMPTS {
            self.ask(errand);
        } else {
            self.users.errands.remove(&errand);
        }
    }

    /// Publishes below the hub's root; the broker has it one hop later.
    fn publish(&mut self, leaf: &str, payload: &[u8]) {
        let message = Message {
            topic: format!("drawbridge/hub-1/{leaf}"),
            payload: payload.to_vec(),
            retain: false,
        };
        self.after(HOP_MS, Due::Publish(message));
    }

    pub(super) fn holder(&self, plan: &Plan) -> IdentityKey {
        match plan.who {
            Who::Hub => self.keys.identity.public(),
            Who::Owner | Who::Stranger => self.sites[plan.lock].owner.identity.public(),
        }
    }

    /// The lock has said where it stands: the command is signed and sent.
    fn answered(&mut self, errand: u64, said: &Value) {
        let Some(state) = self.users.errands.get(&errand) else {
            return;
        };
        let key = self.sites[state.plan.lock].door.factory.identity.public();
        let statement = said["statement"].as_str();
        let info = statement
            .and_then(|text| Base64::decode_vec(text).ok())
            .and_then(|bytes| SessionInfo::verify(&bytes, &key).ok());
        let Some(info) = info.filter(|info| info.nonce == Some(state.nonce)) else {
            // An answer to an earlier question; the next one comes.
            return;
        };
        let Some(Errand { plan, .. }) = self.users.errands.remove(&errand) else {
            return;
        };
        let holder = self.holder(&plan);
        // Over the broker the question may have been spoilt, and the answer be about another holder.
        if plan.is_local
            && let Err(what) = self.judge.standing(holder, &info)
        {
            return self.violate(5, what);
        }
        let id = self.issue(&plan, &info);
        if self.users.watched.0 == errand {
            self.users.watched.1 = id;
        }
    }

    /// Users hear what the hub has published.
    pub(super) fn hears(&mut self, topic: &str, payload: &[u8]) {
        let Some(leaf) = topic.strip_prefix("drawbridge/hub-1/") else {
            return self.violate(6, format!("published to {topic}"));
        };
        if payload.is_empty() {
            return;
        }
        if leaf.ends_with("/availability") {
            return;
        }
        let Ok(said) = serde_json::from_slice::<Value>(payload) else {
            return self.violate(6, format!("no JSON on {topic}"));
        };
        if leaf.starts_with("res/") {
            let errand = said["transaction"].as_str();
            let errand = errand.and_then(|text| text.strip_prefix('e')?.parse().ok());
            if let Some(errand) = errand {
                self.answered(errand, &said["data"]);
            }
            return;
        }
        let lock = (0..self.sites.len()).find_map(|lock| {
            let name = self.lock_name(lock);
            let rest = leaf.strip_prefix("lock/")?.strip_prefix(&name)?;
            Some((lock, rest.strip_prefix('/')?))
        });
        match lock {
            Some((lock, "result")) => self.result_told(lock, &said),
            Some((lock, "audit")) => self.audit_told(lock, &said),
            _ => {}
        }
    }

    fn audit_told(&mut self, lock: usize, said: &Value) {
        let site = &mut self.sites[lock];
        if let Err(what) = site.auditor.take(said) {
            return self.violate(4, format!("the log of lock {lock}: {what}"));
        }
        let cursor = site.auditor.cursor;
        if cursor.seq >= site.freed + FREE_EVERY {
            site.freed = cursor.seq;
            let ack = site.owner.audit_ack(&site.door.factory, cursor);
            let leaf = format!("lock/{}/audit/ack", self.lock_name(lock));
            self.publish(&leaf, &ack);
        }
    }
}
