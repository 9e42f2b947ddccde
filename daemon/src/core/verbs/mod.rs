//! Requests over MQTT and over the control socket: the same verbs, the same answers.
//!
//! | verb | what it does |
//! | --- | --- |
//! | `lock.pair`, `lock.claim` | `pair`: from ticket to receipt |
//! | `lock.session_info`, `lock.audit_ack`, `lock.command` | `relay`: what goes on to a lock |
//! | `lock.list`, `lock.show`, `lock.rename`, `lock.remove` | `locks`: the locks themselves |
//! | `status`, `doctor`, `hub.keys` | `status`: the hub |
//! | `events`, `watch` | `watch`: what happens, as it happens |

mod error;
mod locks;
mod pair;
mod relay;
mod status;
pub(super) mod watch;

use serde::Deserialize;
use serde_json::{Value, json};

use super::action::{Level, Priority};
use super::document::{arguments, read, text};
use super::event::ClientId;
use super::hub::Hub;
use super::now::Now;
use super::outbox::Publication;

pub use self::error::VerbError;

/// Longest transaction id, characters.
const MAX_TRANSACTION: usize = 64;
/// Longest Correlation Data echoed, bytes.
const MAX_CORRELATION: usize = 256;

/// Where an answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReplyTo {
    /// To a topic below the hub's `res/`.
    Cloud {
        topic: String,
        transaction: String,
        correlation: Option<Vec<u8>>,
    },
    /// To a client of the control socket.
    Control { client: ClientId, id: u64 },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CloudRequest {
    transaction: String,
    #[serde(default)]
    data: Value,
}

impl Hub {
    pub(super) fn cloud_request(
        &mut self,
        verb: &str,
        payload: &[u8],
        correlation: Option<Vec<u8>>,
        response_topic: Option<String>,
        now: Now,
    ) {
        let ours = response_topic
            .as_ref()
            .is_none_or(|topic| self.root.is_response(topic));
        let topic = response_topic
            .filter(|_| ours)
            .unwrap_or_else(|| self.root.response(verb));
        let correlation = correlation.filter(|data| data.len() <= MAX_CORRELATION);
        let mut reply = ReplyTo::Cloud {
            topic,
            transaction: String::new(),
            correlation,
        };
        let request = match read::<CloudRequest>(payload) {
            Ok(request) if request.transaction.chars().count() <= MAX_TRANSACTION => request,
            Ok(_) => {
                let error = VerbError::bad_request("the transaction id is too long");
                return self.reply(reply, Err(error));
            }
            Err(error) => {
                return self.reply(reply, Err(VerbError::bad_request(&error.to_string())));
            }
        };
        if let ReplyTo::Cloud { transaction, .. } = &mut reply {
            *transaction = request.transaction;
        }
        if !ours {
            let error = VerbError::bad_request("the response topic is not below this hub's res/");
            return self.reply(reply, Err(error));
        }
        self.request(verb, request.data, reply, now);
    }

    pub(super) fn control_request(
        &mut self,
        client: ClientId,
        id: u64,
        verb: &str,
        data: Value,
        now: Now,
    ) {
        *self.unanswered.entry((client, id)).or_default() += 1;
        match verb {
            "lock.command" => self.lock_command(client, id, data, now),
            "events" | "watch" => self.watch(client, id, data),
            _ => self.request(verb, data, ReplyTo::Control { client, id }, now),
        }
    }

    fn request(&mut self, verb: &str, data: Value, reply: ReplyTo, now: Now) {
        let answer = match verb {
            "status" => Ok(Some(self.status())),
            "doctor" => Ok(Some(self.doctor())),
            "hub.keys" => Ok(Some(self.hub_keys())),
            "lock.list" => Ok(Some(json!({"locks": self.lock_list()}))),
            "lock.show" => self
                .parsed(data)
                .and_then(|which| self.lock_show(&which))
                .map(Some),
            "lock.rename" => self
                .parsed(data)
                .and_then(|rename| self.lock_rename(rename, reply.clone())),
            "lock.remove" => self
                .parsed(data)
                .and_then(|remove| self.lock_remove(&remove, reply.clone(), now)),
            "lock.pair" => self
                .parsed(data)
                .and_then(|pair| self.lock_pair(&pair, reply.clone(), now)),
            "lock.claim" => self
                .parsed(data)
                .and_then(|claim| self.lock_claim(&claim, reply.clone(), now)),
            "lock.session_info" => self
                .parsed(data)
                .and_then(|wanted| self.lock_session_info(&wanted, reply.clone(), now)),
            "lock.audit_ack" => self
                .parsed(data)
                .and_then(|ack| self.lock_audit_ack(&ack, reply.clone())),
            _ => Err(VerbError::unknown_verb()),
        };
        match answer {
            Ok(Some(data)) => self.reply(reply, Ok(data)),
            // The answer comes when the lock has said its part.
            Ok(None) => {}
            Err(error) => self.reply(reply, Err(error)),
        }
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self, data: Value) -> Result<T, VerbError> {
        arguments(data).map_err(|error| VerbError::bad_request(&error.to_string()))
    }

    /// The last word on a request.
    pub(super) fn reply(&mut self, to: ReplyTo, result: Result<Value, VerbError>) {
        match to {
            ReplyTo::Control { client, id } => self.reply_control(client, id, result),
            ReplyTo::Cloud {
                topic,
                transaction,
                correlation,
            } => {
                if let Err(error) = &result {
                    let fields = vec![("topic", topic.clone()), ("code", error.code.to_owned())];
                    self.journal(Level::Debug, "request_failed", fields);
                }
                let document = match result {
                    Ok(data) => json!({"transaction": transaction, "status": "ok", "data": data}),
                    Err(error) => json!({
                        "transaction": transaction,
                        "status": "error",
                        "error": error.document(),
                    }),
                };
                let publication = Publication {
                    topic,
                    payload: text(&document),
                    retain: false,
                    correlation,
                    expiry_s: None,
                    priority: Priority::Urgent,
                };
                self.outbox.pass(publication, self.config.outbox_passing);
            }
        }
    }
}
