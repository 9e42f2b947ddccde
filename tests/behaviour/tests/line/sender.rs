//! The owner's app at the broker: asks, signs, sends, and believes only what the lock signed.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use drawbridge_protocol::claim::PeerKeys;
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::ids::{CommandId, Nonce};
use drawbridge_protocol::keys::{IdentityKey, LinkKey};
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::receipt::Receipt;
use drawbridge_protocol::session_info::SessionInfo;
use serde_json::{Value, json};

use super::faults::Hop;
use super::line::{Due, HOP_MS, Line};
use drawbridge_simulator::house::broker::Message;

/// How long the sender waits for a PUBACK before it publishes the same bytes again, milliseconds.
const PUBACK_MS: u64 = 1_000;
/// The longest that an honest command lives, in milliseconds of lock time.
pub(crate) const LASTS_MS: u64 = 59_000;
/// Records of the log that are left to gather before the owner frees them.
const FREE_EVERY: u64 = 40;

/// What the app has heard.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    responses: BTreeMap<String, Value>,
    results: BTreeMap<CommandId, Vec<Value>>,
    asked: u64,
    freed: u64,
    /// Alarms and other events of the hub, by name.
    pub(crate) events: BTreeMap<String, u64>,
}

/// A final result, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Final {
    pub(crate) status: String,
    pub(crate) reason: Value,
    pub(crate) position: Value,
    pub(crate) report: String,
}

/// What a command is called on the line.
pub(crate) fn id_of(statement: &[u8]) -> CommandId {
    Command::read(statement).unwrap().id
}

impl Line {
    /// Hub and lock paired by their owner, the session up, the log followed.
    pub(crate) fn paired(seed: u64) -> Self {
        let mut line = Self::unpaired(seed);
        line.pair();
        line
    }

    pub(crate) fn pair(&mut self) {
        self.door.press_button(self.now);
        let ticket = self.door.factory.qr().ticket();
        let ticket = Base64::encode_string(ticket.encode(&mut [0; 192]).unwrap());
        let said = self.ask("lock.pair", &json!({"ticket": ticket}));
        let hex = |value: &Value| value.as_str().unwrap().to_owned();
        let hub = PeerKeys {
            identity: hex(&said["hub"]["identity"])
                .parse::<IdentityKey>()
                .unwrap(),
            link: hex(&said["hub"]["link"]).parse::<LinkKey>().unwrap(),
        };
        let window: Nonce = hex(&said["window"]).parse().unwrap();
        let epoch = said["policy_epoch"].as_u64().unwrap() as u32;
        let claim = self.owner.claim(&self.door.factory, window, hub);
        let grant = self.owner.grant(&self.door.factory, &hub, epoch);
        let said = self.ask(
            "lock.claim",
            &json!({
                "lock": self.door.factory.lock.to_string(),
                "claim": Base64::encode_string(&claim),
                "grant": Base64::encode_string(&grant),
                "name": "Front door",
            }),
        );
        let receipt = Base64::decode_vec(said["receipt"].as_str().unwrap()).unwrap();
        Receipt::verify(&receipt, &self.door.factory.identity.public()).unwrap();
        self.quiet();
    }

    /// Asks the hub and waits for its answer.
    pub(crate) fn ask(&mut self, verb: &str, data: &Value) -> Value {
        self.inbox.asked += 1;
        let transaction = format!("t{}", self.inbox.asked);
        let payload = json!({"transaction": transaction, "data": data}).to_string();
        self.publish(&format!("req/{verb}"), payload.as_bytes(), false);
        let came = self.until(60_000, |line| {
            line.inbox.responses.contains_key(&transaction)
        });
        assert!(came, "no answer to {verb}, seed {}", self.seed);
        let said = self.inbox.responses.remove(&transaction).unwrap();
        assert_eq!(said["status"], "ok", "{verb}: {said}, seed {}", self.seed);
        said["data"].clone()
    }

    /// Publishes below the hub's root; the broker has it one hop later.
    pub(crate) fn publish(&mut self, leaf: &str, payload: &[u8], retain: bool) {
        let message = Message {
            topic: format!("drawbridge/hub-1/{leaf}"),
            payload: payload.to_vec(),
            retain,
        };
        self.after(HOP_MS, Due::Publish(message));
    }

    /// Where the lock stands, by its own signed word.
    pub(crate) fn info(&mut self) -> SessionInfo {
        let nonce = Nonce(drawbridge_protocol::entropy::Entropy::bytes(&mut self.dice));
        let data = json!({
            "lock": self.door.factory.lock.to_string(),
            "nonce": nonce.to_string(),
            "holder": self.owner.identity.public().to_string(),
        });
        let said = self.ask("lock.session_info", &data);
        let statement = Base64::decode_vec(said["statement"].as_str().unwrap()).unwrap();
        let info = SessionInfo::verify(&statement, &self.door.factory.identity.public()).unwrap();
        assert_eq!(info.nonce, Some(nonce));
        info
    }

    /// A fresh command by the owner.
    pub(crate) fn sign(&mut self, action: Action) -> Vec<u8> {
        let info = self.info();
        self.owner.command(&info, action, 1, LASTS_MS)
    }

    pub(crate) fn command_leaf(&self) -> String {
        format!("lock/{}/command", self.door.factory.lock)
    }

    /// Publishes a command until the broker confirms that it has it.
    pub(crate) fn send(&mut self, statement: &[u8]) {
        let leaf = self.command_leaf();
        let mut after = 0;
        loop {
            let message = Message {
                topic: format!("drawbridge/hub-1/{leaf}"),
                payload: statement.to_vec(),
                retain: false,
            };
            self.after(after + HOP_MS, Due::Publish(message));
            if !self.faults.strike(Hop::SenderPuback) {
                return;
            }
            after += PUBACK_MS;
        }
    }

    /// A message from the hub; says whether it is a final result.
    pub(crate) fn receive(&mut self, topic: &str, payload: &[u8]) -> bool {
        let lock = self.door.factory.lock;
        let rest = topic.strip_prefix("drawbridge/hub-1/").unwrap();
        let leaf = rest.strip_prefix(&format!("lock/{lock}/")).unwrap_or(rest);
        let read = || serde_json::from_slice::<Value>(payload).unwrap();
        if leaf.starts_with("res/") {
            let said = read();
            let transaction = said["transaction"].as_str().unwrap().to_owned();
            self.inbox.responses.insert(transaction, said);
        } else if leaf == "event" {
            let name = read()["event"].as_str().unwrap().to_owned();
            *self.inbox.events.entry(name).or_default() += 1;
        } else if leaf == "audit" {
            self.auditor.take(&read()).expect("the log is one chain");
            self.free_log();
        } else if leaf == "result" {
            let said = read();
            let id: CommandId = said["command"].as_str().unwrap().parse().unwrap();
            let is_final = said["report"].is_string();
            self.inbox.results.entry(id).or_default().push(said);
            return is_final;
        }
        false
    }

    fn free_log(&mut self) {
        let cursor = self.auditor.cursor;
        if cursor.seq >= self.inbox.freed + FREE_EVERY {
            self.inbox.freed = cursor.seq;
            let ack = self.owner.audit_ack(&self.door.factory, cursor);
            let leaf = format!("lock/{}/audit/ack", self.door.factory.lock);
            self.publish(&leaf, &ack, false);
        }
    }

    /// Everything said about a command.
    pub(crate) fn results(&self, id: &CommandId) -> &[Value] {
        self.inbox.results.get(id).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn said(&self, id: &CommandId, status: &str) -> usize {
        let results = self.results(id).iter();
        results.filter(|said| said["status"] == status).count()
    }

    pub(crate) fn duplicates(&self, id: &CommandId) -> usize {
        let results = self.results(id).iter();
        results.filter(|said| said["duplicate"] == true).count()
    }

    /// The finals of a command, without those that only repeat one. Each carries the lock's own
    /// signature over this command and this verdict.
    pub(crate) fn finals(&self, id: &CommandId) -> Vec<Final> {
        let mut finals = Vec::new();
        for said in self.results(id) {
            let Some(report) = said["report"].as_str() else {
                assert_eq!(said["provisional"], true, "{said}");
                continue;
            };
            assert_eq!(said["provisional"], false, "{said}");
            let statement = Base64::decode_vec(report).unwrap();
            let outcome = Outcome::verify(&statement, &self.door.factory.identity.public())
                .expect("the lock signed it");
            assert_eq!(outcome.command, *id);
            assert_ne!(outcome.verdict, Verdict::NotSeen, "{said}");
            assert_eq!(said["status"], outcome.verdict.name());
            let one = Final {
                status: outcome.verdict.name().to_owned(),
                reason: said["reason"].clone(),
                position: said["position"].clone(),
                report: report.to_owned(),
            };
            if !finals.contains(&one) {
                finals.push(one);
            }
        }
        finals
    }

    /// The one final of a command.
    pub(crate) fn the_final(&self, id: &CommandId, what: &str) -> Final {
        let finals = self.finals(id);
        assert_eq!(
            finals.len(),
            1,
            "I2, {what}, seed {}: {:?}",
            self.seed,
            self.results(id)
        );
        finals[0].clone()
    }

    /// Signs, sends, and waits until the lock has said that it is done.
    pub(crate) fn operate(&mut self, action: Action) -> (CommandId, Vec<u8>) {
        let statement = self.sign(action);
        let id = id_of(&statement);
        self.send(&statement);
        let done = self.until(60_000, |line| !line.finals(&id).is_empty());
        assert!(
            done,
            "no final, seed {}: {:?}",
            self.seed,
            self.results(&id)
        );
        assert_eq!(self.the_final(&id, "operate").status, "done");
        (id, statement)
    }

    /// Waits until nothing is open anywhere and the log has been followed to its end.
    pub(crate) fn quiet(&mut self) {
        let quiet = self.until(120_000, |line| {
            line.broker.unacknowledged() == 0
                && line.door.is_on()
                && !line.door.is_moving()
                && line.disk.count(drawbridge_daemon::core::Tree::Inbox) == 0
                && line.disk.count(drawbridge_daemon::core::Tree::Outbox) == 0
                && line.auditor.cursor.seq == line.door.log_newest()
        });
        assert!(
            quiet,
            "not quiet, seed {}: unacknowledged {}, log {} of {}, inbox {}, outbox {}",
            self.seed,
            self.broker.unacknowledged(),
            self.auditor.cursor.seq,
            self.door.log_newest(),
            self.disk.count(drawbridge_daemon::core::Tree::Inbox),
            self.disk.count(drawbridge_daemon::core::Tree::Outbox),
        );
        self.pass(1_000);
    }
}
