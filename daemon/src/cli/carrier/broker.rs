//! Through the broker, as an app with its own certificate (topics: `mqtt.md`).
//!
//! Requests go to `req/<verb>` and are answered on a Response Topic of this run's own below `res/`;
//! what the hub keeps retained (`info`, `state`, `locks`, ...) is read from there.

use std::collections::VecDeque;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use drawbridge_protocol::ids::{CommandId, LockId};
use serde_json::{Map, Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::{Carrier, CarryError, Stream, field, unreachable};
use crate::cli::client_config::Broker;
use crate::cloud::Timing;
use crate::cloud::app::{AppConfig, AppError, AppLink, AppMessage, AppPublish};
use crate::strict_json;

/// Largest document that is read, in bytes.
const MAX_DOCUMENT: usize = 128 * 1024;
/// How long retained messages may take to come after a subscription.
const RETAINED: Duration = Duration::from_millis(700);
/// How long a lost connection may take to be made anew.
const RECONNECT: Duration = Duration::from_secs(10);
/// The most messages that are put by while waiting for another.
const MAX_PUT_BY: usize = 256;

/// A connection to the broker.
pub(in crate::cli) struct BrokerCarrier {
    // Before `runtime`: its task lives in it. `None` after it failed, and while closing.
    link: Option<AppLink>,
    config: AppConfig,
    root: String,
    hub: String,
    place: String,
    /// Ours alone: the end of the Response Topic and the start of each transaction.
    run: String,
    requests: u32,
    answers: bool,
    results: bool,
    put_by: VecDeque<AppMessage>,
    runtime_dir: PathBuf,
    runtime: Runtime,
}

impl BrokerCarrier {
    pub(in crate::cli) fn connect(broker: &Broker) -> Result<Self, CarryError> {
        let place = format!(
            "the broker {}:{}",
            broker.endpoint.host, broker.endpoint.port
        );
        let doctor = "drawbridge doctor";
        let setup = |error: std::io::Error| unreachable(&place, &error, doctor);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(setup)?;
        let random =
            getrandom::u64().map_err(|error| setup(std::io::Error::other(error.to_string())))?;
        let run = format!("{random:016x}");
        let runtime_dir = private_folder(&run).map_err(setup)?;
        let config = AppConfig {
            endpoint: broker.endpoint.clone(),
            trust: broker.trust.clone(),
            runtime_dir: runtime_dir.clone(),
            timing: Timing::default(),
        };
        let link = runtime
            .block_on(AppLink::connect(&config))
            .map_err(|error| {
                // Nothing is left of the failed attempt.
                let _ = std::fs::remove_dir(&runtime_dir);
                unreachable(&place, &error, error.advice().unwrap_or(doctor))
            })?;
        Ok(Self {
            link: Some(link),
            config,
            root: format!("drawbridge/{}", broker.hub),
            hub: broker.hub.clone(),
            place,
            run,
            requests: 0,
            answers: false,
            results: false,
            put_by: VecDeque::new(),
            runtime_dir,
            runtime,
        })
    }

    /// Connects anew where the connection has failed; what was subscribed went with it.
    fn revive(&mut self) -> Result<(), CarryError> {
        if self.link.is_some() {
            return Ok(());
        }
        (self.answers, self.results) = (false, false);
        let connected = self
            .runtime
            .block_on(async { timeout(RECONNECT, AppLink::connect(&self.config)).await });
        let doctor = "drawbridge doctor";
        let link = match connected {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => {
                let next = error.advice().unwrap_or(doctor);
                return Err(unreachable(&self.place, &error, next));
            }
            Err(late) => return Err(unreachable(&self.place, &late, doctor)),
        };
        self.link = Some(link);
        Ok(())
    }

    fn with<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut AppLink) -> Result<T, AppError>,
    ) -> Result<T, CarryError> {
        let place = self.place.clone();
        let Some(link) = &mut self.link else {
            return Err(CarryError::Broken {
                place,
                reason: "the connection is closed".to_owned(),
            });
        };
        self.runtime.block_on(work(link)).map_err(|error| {
            if let AppError::NotAllowed { act, reason } = error {
                let topic = act.to_owned();
                return CarryError::NotAllowed { topic, reason };
            }
            // Whether it ended or did not answer in time: an answer that is still under way must
            // not be taken for that to another message.
            self.link = None;
            let reason = super::chain(&error);
            CarryError::Broken { place, reason }
        })
    }

    fn subscribe(&mut self, tail: &str) -> Result<(), CarryError> {
        let filter = format!("{}/{tail}", self.root);
        self.with(async |link| link.subscribe(&filter).await)
    }

    /// To the hub: a broker that has never met this hub says so at once.
    fn publish(&mut self, message: AppPublish) -> Result<(), CarryError> {
        let topic = message.topic.clone();
        let is_heard = self
            .with(async |link| link.publish(message).await)
            .map_err(|error| match error {
                CarryError::NotAllowed { reason, .. } => CarryError::NotAllowed { topic, reason },
                other => other,
            })?;
        if is_heard {
            return Ok(());
        }
        Err(CarryError::Unheard {
            place: format!("the hub {} through {}", self.hub, self.place),
        })
    }

    /// The next message that `wanted` takes; others are put by, oldest forgotten first.
    fn next(
        &mut self,
        within: Duration,
        mut wanted: impl FnMut(&AppMessage) -> bool,
    ) -> Result<Option<AppMessage>, CarryError> {
        if let Some(at) = self.put_by.iter().position(&mut wanted) {
            return Ok(self.put_by.remove(at));
        }
        let by = Instant::now() + within;
        loop {
            let left = by.saturating_duration_since(Instant::now());
            let Some(message) = self.with(async |link| link.next(left).await)? else {
                return Ok(None);
            };
            if wanted(&message) {
                return Ok(Some(message));
            }
            if self.put_by.len() >= MAX_PUT_BY {
                self.put_by.pop_front();
            }
            self.put_by.push_back(message);
        }
    }

    fn request(&mut self, verb: &str, data: Value, within: Duration) -> Result<Value, CarryError> {
        let back = format!("res/{}", self.run);
        self.revive()?;
        if !self.answers {
            self.subscribe(&back)?;
            self.answers = true;
        }
        self.requests += 1;
        let transaction = format!("{}-{}", self.run, self.requests);
        let body = json!({"transaction": transaction, "data": data});
        self.publish(AppPublish {
            topic: format!("{}/req/{verb}", self.root),
            payload: body.to_string().into_bytes(),
            response_topic: Some(format!("{}/{back}", self.root)),
            correlation: Some(transaction.clone().into_bytes()),
            expiry_s: Some(u32::try_from(within.as_secs()).unwrap_or(60)),
            retain: false,
        })?;
        let topic = format!("{}/{back}", self.root);
        let by = Instant::now() + within;
        loop {
            let left = by.saturating_duration_since(Instant::now());
            let ours = |message: &AppMessage| message.topic == topic && !message.retain;
            let Some(message) = self.next(left, ours)? else {
                return Err(CarryError::NoAnswer {
                    place: format!("the hub {}", self.hub),
                    verb: verb.to_owned(),
                    within,
                });
            };
            let answer = document(verb, &message.payload)?;
            let named = answer.get("transaction").and_then(Value::as_str);
            if named == Some(transaction.as_str()) {
                return read_answer(verb, answer);
            }
        }
    }

    /// What the hub keeps retained under `tails`, by topic below the hub's root.
    fn retained(&mut self, tails: &[String]) -> Result<Map<String, Value>, CarryError> {
        for tail in tails {
            self.subscribe(tail)?;
        }
        let prefix = format!("{}/", self.root);
        let mut found = Map::new();
        while let Some(message) = self.next(RETAINED, |message| message.retain)? {
            let Some(tail) = message.topic.strip_prefix(&prefix) else {
                continue;
            };
            found.insert(tail.to_owned(), payload(&message.payload));
        }
        Ok(found)
    }

    /// The documents of `mqtt.md` that answer the control socket's questions.
    fn kept_by_broker(&mut self, verb: &str, data: &Value) -> Result<Value, CarryError> {
        let no_hub = |hub: &str| CarryError::NoAnswer {
            place: format!("the hub {hub}"),
            verb: verb.to_owned(),
            within: RETAINED,
        };
        match verb {
            "status" => {
                let tails = ["state", "info", "health", "locks"].map(str::to_owned);
                let found = self.retained(&tails)?;
                if found.is_empty() {
                    Err(no_hub(&self.hub))
                } else {
                    Ok(Value::Object(found))
                }
            }
            "lock.list" => {
                let mut found = self.retained(&["locks".to_owned()])?;
                let locks = found.remove("locks").ok_or_else(|| no_hub(&self.hub))?;
                Ok(if locks.is_array() {
                    json!({ "locks": locks })
                } else {
                    locks
                })
            }
            _ => {
                let lock: LockId = field(verb, data, "lock")?;
                let tails = [
                    "state",
                    "availability",
                    "battery",
                    "link",
                    "firmware",
                    "last_operation",
                ];
                let found = self.retained(&tails.map(|tail| format!("lock/{lock}/{tail}")))?;
                if found.is_empty() {
                    return Err(CarryError::Refused {
                        verb: verb.to_owned(),
                        code: "unknown_lock".to_owned(),
                        message: format!("nothing is known of lock {lock}"),
                        advice: None,
                    });
                }
                let prefix = format!("lock/{lock}/");
                let mut shown = Map::new();
                shown.insert("id".to_owned(), json!(lock.to_string()));
                shown.extend(found.into_iter().map(|(topic, value)| {
                    (
                        topic.strip_prefix(&prefix).unwrap_or(&topic).to_owned(),
                        value,
                    )
                }));
                Ok(Value::Object(shown))
            }
        }
    }
}

impl Drop for BrokerCarrier {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            self.runtime.block_on(link.close());
        }
        // The tunnel has removed its socket; the folder is ours and empty.
        let _ = std::fs::remove_dir(&self.runtime_dir);
    }
}

impl Carrier for BrokerCarrier {
    fn place(&self) -> String {
        format!("{}, hub {}", self.place, self.hub)
    }

    fn hub(&self) -> Option<&str> {
        Some(&self.hub)
    }

    fn ask(&mut self, verb: &str, data: Value, within: Duration) -> Result<Value, CarryError> {
        match verb {
            "status" | "lock.list" | "lock.show" => self.kept_by_broker(verb, &data),
            "lock.session_info" | "lock.pair" | "lock.claim" => self.request(verb, data, within),
            _ => Err(CarryError::NotThisWay {
                verb: verb.to_owned(),
            }),
        }
    }

    fn send(&mut self, lock: LockId, command: &[u8]) -> Result<(), CarryError> {
        self.revive()?;
        if !self.results {
            self.subscribe("lock/+/result")?;
            self.results = true;
        }
        self.publish(AppPublish {
            topic: format!("{}/lock/{lock}/command", self.root),
            payload: command.to_vec(),
            expiry_s: Some(60),
            ..AppPublish::default()
        })
    }

    fn result(&mut self, within: Duration) -> Result<Option<Value>, CarryError> {
        let by = Instant::now() + within;
        loop {
            let left = by.saturating_duration_since(Instant::now());
            let is_result =
                |message: &AppMessage| message.topic.ends_with("/result") && !message.retain;
            let Some(message) = self.next(left, is_result)? else {
                return Ok(None);
            };
            // Anybody's results come here, and what cannot be read is nobody's.
            if let Ok(value) = document("command", &message.payload)
                && field::<CommandId>("command", &value, "command").is_ok()
            {
                return Ok(Some(value));
            }
        }
    }

    fn follow(&mut self, stream: Stream) -> Result<(), CarryError> {
        let tails: &[&str] = match stream {
            Stream::Events => &["event", "lock/+/event", "lock/+/result"],
            Stream::Watch => &[
                "state",
                "lock/+/state",
                "lock/+/availability",
                "lock/+/battery",
                "lock/+/link",
            ],
        };
        tails.iter().try_for_each(|tail| self.subscribe(tail))
    }

    fn update(&mut self, within: Duration) -> Result<Option<Value>, CarryError> {
        let Some(message) = self.next(within, |_| true)? else {
            return Ok(None);
        };
        let prefix = format!("{}/", self.root);
        let tail = message
            .topic
            .strip_prefix(&prefix)
            .unwrap_or(&message.topic);
        Ok(Some(
            json!({"topic": tail, "retained": message.retain, "data": payload(&message.payload)}),
        ))
    }
}

/// A payload as JSON, or as the text it is.
fn payload(bytes: &[u8]) -> Value {
    strict_json::decode(bytes, MAX_DOCUMENT).unwrap_or_else(|_| {
        Value::String(String::from_utf8_lossy(bytes).chars().take(200).collect())
    })
}

fn document(verb: &str, bytes: &[u8]) -> Result<Value, CarryError> {
    strict_json::decode(bytes, MAX_DOCUMENT).map_err(|error| CarryError::Malformed {
        verb: verb.to_owned(),
        what: super::chain(&error),
    })
}

fn read_answer(verb: &str, mut answer: Value) -> Result<Value, CarryError> {
    match answer.get("status").and_then(Value::as_str) {
        Some("ok") => Ok(answer.get_mut("data").map(Value::take).unwrap_or_default()),
        Some("error") => {
            let said = |name: &str| {
                let text = answer
                    .get("error")
                    .and_then(|error| error.get(name))
                    .and_then(Value::as_str);
                text.map(str::to_owned)
            };
            Err(CarryError::Refused {
                verb: verb.to_owned(),
                code: said("code").unwrap_or_else(|| "refused".to_owned()),
                message: said("message").unwrap_or_else(|| "it gave no reason".to_owned()),
                advice: said("advice"),
            })
        }
        _ => Err(CarryError::Malformed {
            verb: verb.to_owned(),
            what: "it has no status".to_owned(),
        }),
    }
}

/// A folder of mode 0700 for the tunnel's socket, in the user's runtime folder if there is one.
fn private_folder(run: &str) -> std::io::Result<PathBuf> {
    let base = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|path| path.is_dir());
    let folder = base
        .unwrap_or_else(std::env::temp_dir)
        .join(format!("drawbridge-{run}"));
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards (S22): an answer that is no answer, taken for success.
    #[test]
    fn s22_only_status_ok_is_success() {
        let read = |text: &str| read_answer("v", serde_json::from_str(text).unwrap());
        assert_eq!(
            read(r#"{"status":"ok","data":{"a":1}}"#).unwrap(),
            json!({"a": 1})
        );
        let error = read(r#"{"status":"error","error":{"code":"window_closed","message":"m"}}"#)
            .unwrap_err();
        assert!(matches!(error, CarryError::Refused { code, .. } if code == "window_closed"));
        for bad in [
            r#"{"data":{}}"#,
            r#"{"status":"OK"}"#,
            r#"{"status":true}"#,
            "{}",
        ] {
            assert!(
                matches!(read(bad), Err(CarryError::Malformed { .. })),
                "{bad}"
            );
        }
        assert!(document("v", b"{\"a\":1,\"a\":2}").is_err(), "a key twice");
    }
}
