//! A hub's cloud plane against a real broker: what the `cloud_*` tests share.

use std::path::Path;
use std::time::Duration;

use drawbridge_daemon::cloud::{
    Cloud, CloudAction, CloudConfig, CloudEvent, CloudHandle, CloudSender, Endpoint, Outgoing,
    Priority, TrustPaths,
};
use drawbridge_support::pki::{Identity, Pki};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Runs a test's own futures (the plane has its own thread).
pub fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test)
}

/// The configuration of hub `who` at `localhost:port`.
pub fn config(pki: &Pki, who: &Identity, hub: &str, port: u16, dir: &Path) -> CloudConfig {
    let endpoint = Endpoint {
        host: "localhost".into(),
        port,
        server_name: None,
    };
    let trust = TrustPaths {
        ca: pki.ca_file().to_path_buf(),
        cert: who.cert.clone(),
        key: who.key.clone(),
        crl: None,
    };
    CloudConfig::new(endpoint, trust, hub, dir.to_path_buf())
}

/// A running plane, on a thread of its own so that a test may block on a foreign program.
#[derive(Debug)]
pub struct Hub {
    /// Where actions go.
    pub sender: CloudSender,
    /// Where events come from.
    pub events: mpsc::Receiver<CloudEvent>,
}

impl Hub {
    /// Starts the plane.
    ///
    /// # Panics
    /// When the configuration is invalid.
    #[must_use]
    pub fn start(config: CloudConfig) -> Self {
        let (to, from) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            run(async {
                let CloudHandle {
                    sender,
                    events,
                    task,
                } = Cloud::spawn(config).expect("a valid configuration");
                to.send((sender, events))
                    .expect("the test waits for the plane");
                task.await.expect("the plane ends without a panic");
            });
        });
        let (sender, events) = from.recv().expect("the plane starts");
        Self { sender, events }
    }

    /// The next event that `pick` likes; all others are dropped (and so not acknowledged).
    pub async fn wait<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut pick: impl FnMut(CloudEvent) -> Option<T>,
    ) -> T {
        let by = Instant::now() + limit;
        let mut seen = Vec::new();
        loop {
            let event = timeout_at(by, self.events.recv())
                .await
                .unwrap_or_else(|_| panic!("no {what} within {limit:?}; before it came {seen:?}"))
                .unwrap_or_else(|| panic!("the plane ended before {what}; it said {seen:?}"));
            seen.push(format!("{event:?}"));
            if let Some(found) = pick(event) {
                return found;
            }
        }
    }

    /// Waits for the connection; tells whether the broker knew our session.
    pub async fn up(&mut self) -> bool {
        self.wait("connection", Duration::from_secs(20), |event| match event {
            CloudEvent::Up {
                session_present, ..
            } => Some(session_present),
            _ => None,
        })
        .await
    }

    /// Waits for the end of the connection, or a failed attempt; tells why.
    pub async fn down(&mut self, limit: Duration) -> String {
        self.wait("end of the connection", limit, |event| match event {
            CloudEvent::Down { reason, .. } => Some(reason),
            _ => None,
        })
        .await
    }

    /// Publishes an urgent message.
    pub fn publish(&self, ticket: u64, topic: &str, payload: &[u8]) {
        self.send(CloudAction::Publish(message(ticket, topic, payload)));
    }

    /// Hands an action over.
    ///
    /// # Panics
    /// When its queue is full.
    pub fn send(&self, action: CloudAction) {
        self.sender.try_send(action).expect("room in the queue");
    }
}

/// An urgent, not retained message.
pub fn message(ticket: u64, topic: &str, payload: &[u8]) -> Outgoing {
    Outgoing {
        ticket,
        topic: topic.to_owned(),
        payload: payload.to_vec(),
        retain: false,
        correlation: None,
        expiry_s: None,
        priority: Priority::Urgent,
    }
}
