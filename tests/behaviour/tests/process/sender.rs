//! Somebody who sends commands and wants to know how they end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use drawbridge_daemon::cloud::app::{AppConfig, AppLink, AppPublish};
use drawbridge_daemon::cloud::{Endpoint, Timing, TrustPaths};
use drawbridge_daemon::owner::command::SignedCommand;
use drawbridge_protocol::ids::CommandId;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::home::{HUB, Home, Unanswered, ask};
use crate::owner::in_base64;

/// How long a command may take to its end, whatever is done to the hub meanwhile.
const PATIENCE: Duration = Duration::from_secs(70);

/// An app at the broker, connected for as long as it lives. Everything that is ever said about a
/// command is kept.
pub(crate) struct App {
    link: AppLink,
    runtime: Runtime,
    pub(crate) finals: BTreeMap<CommandId, Vec<Value>>,
    _tunnel: tempfile::TempDir,
}

impl App {
    pub(crate) fn connect(home: &Home) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let tunnel = tempfile::tempdir().unwrap();
        let config = AppConfig {
            endpoint: Endpoint {
                host: "localhost".into(),
                port: home.broker.port(),
                server_name: None,
            },
            trust: TrustPaths {
                ca: home.pki.ca_file().to_path_buf(),
                cert: home.app.cert.clone(),
                key: home.app.key.clone(),
                crl: None,
            },
            runtime_dir: tunnel.path().to_path_buf(),
            timing: Timing::default(),
        };
        let link = runtime.block_on(async {
            let mut link = AppLink::connect(&config).await.unwrap();
            link.subscribe(&format!("drawbridge/{HUB}/lock/+/result"))
                .await
                .unwrap();
            link
        });
        Self {
            link,
            runtime,
            finals: BTreeMap::new(),
            _tunnel: tunnel,
        }
    }

    /// Hands a command to the broker.
    pub(crate) fn publish(&mut self, command: &SignedCommand) {
        self.publish_bytes(&command.lock.to_string(), command.bytes.clone());
    }

    /// Hands bytes to the broker as if they were a command.
    pub(crate) fn publish_bytes(&mut self, lock: &str, payload: Vec<u8>) {
        let message = AppPublish {
            topic: format!("drawbridge/{HUB}/lock/{lock}/command"),
            payload,
            ..AppPublish::default()
        };
        self.runtime.block_on(self.link.publish(message)).unwrap();
    }

    /// Listens for so long.
    pub(crate) fn listen(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let next = self.runtime.block_on(self.link.next(left)).unwrap();
            let Some(message) = next else { return };
            let result: Value = serde_json::from_slice(&message.payload).unwrap();
            if is_final(&result) {
                let id: CommandId = result["command"].as_str().unwrap().parse().unwrap();
                self.finals.entry(id).or_default().push(result);
            }
        }
    }

    /// Waits for the end of a command.
    pub(crate) fn wait_final(&mut self, id: CommandId, what: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.finals.get(&id).and_then(|all| all.first()) {
                return found.clone();
            }
            assert!(Instant::now() < deadline, "its sender never heard: {what}");
            self.listen(Duration::from_millis(20));
        }
    }
}

/// Somebody at the control socket, who sends the same bytes again until he hears an end.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    pub(crate) socket: PathBuf,
}

impl Local {
    pub(crate) fn at(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    pub(crate) fn send(&self, command: &SignedCommand, what: &str) -> Value {
        let data = json!({
            "lock": command.lock.to_string(),
            "command": in_base64(&command.bytes),
            "wait": true,
        });
        let deadline = Instant::now() + PATIENCE;
        loop {
            match ask(&self.socket, "lock.command", &data) {
                Ok(result) if is_final(&result) => return result,
                Ok(other) => panic!("{what}: no end: {other}"),
                Err(Unanswered::Gone) => {}
                Err(Unanswered::Refused(error)) => panic!("{what}: {error}"),
            }
            assert!(Instant::now() < deadline, "{what}: never answered");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Whether a result says how a command ended.
fn is_final(result: &Value) -> bool {
    let open = ["accepted", "delivered", "unknown"];
    result["status"]
        .as_str()
        .is_some_and(|status| !open.contains(&status))
}
