//! What the cloud plane must be told.

use std::path::PathBuf;
use std::time::Duration;

use super::trust::TrustPaths;

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// DNS name or address to connect to.
    pub host: String,
    /// TCP port, usually 8883.
    pub port: u16,
    /// The name that its certificate must carry, when it is not `host`.
    pub server_name: Option<String>,
}

impl Endpoint {
    /// The name that the broker's certificate must carry.
    #[must_use]
    pub fn name(&self) -> &str {
        self.server_name.as_deref().unwrap_or(&self.host)
    }
}

/// Times of one connection. The defaults notice a half-open broker within 10 s (assurance F08).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// For DNS, and for each address to accept TCP.
    pub connect: Duration,
    /// For the TLS handshake, and again from CONNECT to CONNACK.
    pub handshake: Duration,
    /// For a write to the broker to make progress; also `TCP_USER_TIMEOUT` (RFC 5482).
    pub write: Duration,
    /// For the broker to answer a ping, a publish, a subscription or the self-addressed message.
    pub response: Duration,
    /// Silence from the broker after which the self-addressed message is sent out of turn.
    pub quiet: Duration,
    /// How often the self-addressed message is sent anyway.
    pub proof: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(4),
            handshake: Duration::from_secs(6),
            write: Duration::from_secs(8),
            response: Duration::from_secs(4),
            quiet: Duration::from_millis(5200),
            proof: Duration::from_secs(30),
        }
    }
}

/// Sizes. All memory that a broker can make us use follows from these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest MQTT packet we accept, in bytes, told to the broker.
    pub max_incoming: u32,
    /// Messages the broker may have unacknowledged at us, told to the broker.
    pub receive_max: u16,
    /// Largest MQTT packet we send, in bytes, whatever the broker allows.
    pub max_outgoing: u32,
    /// Actions that wait for the plane, in each of the two priorities.
    pub queue: usize,
    /// Events that wait for the core.
    pub events: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Above what our example lets mosquitto take (256 KiB): mosquitto 2.0 drops a message
            // that is too large for a subscriber without giving its place in flight back, so that
            // after as many as `receive_max` of them it would send us nothing more.
            max_incoming: 257 * 1024,
            receive_max: 16,
            max_outgoing: 256 * 1024,
            queue: 256,
            events: 256,
        }
    }
}

/// Everything the cloud plane must be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudConfig {
    /// The broker.
    pub endpoint: Endpoint,
    /// Certificates and keys, read anew for each connection.
    pub trust: TrustPaths,
    /// The hub's id, `[a-zA-Z0-9_-]{1,64}`: the topics are `drawbridge/<hub>/...`.
    pub hub: String,
    /// The MQTT client id; a broker may replace it by the certificate's name.
    pub client_id: String,
    /// What to subscribe to on every connection (the topic of the liveness message is added).
    pub filters: Vec<String>,
    /// How long the broker keeps our session and the commands in it.
    pub session_expiry: Duration,
    /// How long after our disappearance `state` becomes `offline`; below `session_expiry`.
    pub will_delay: Duration,
    /// A folder only we can write to, for the private socket (`/run/drawbridge`).
    pub runtime_dir: PathBuf,
    /// Times.
    pub timing: Timing,
    /// Sizes.
    pub limits: Limits,
}

/// Why a configuration cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It would end up in topics.
    #[error("checking the hub id: it must be 1 to 64 characters of a-z, A-Z, 0-9, _ and -")]
    HubId,
    /// Not a valid MQTT topic filter.
    #[error("checking the subscription '{0}': not a valid topic filter")]
    Filter(String),
    /// The will would fire after the session is gone.
    #[error("checking the will: its delay must be below the session expiry")]
    WillDelay,
    /// A limit or time of zero.
    #[error("checking limits and times: each must be above zero")]
    Zero,
}

impl CloudConfig {
    /// A configuration with this system's defaults: a session of seven days, a will after 10 s,
    /// and the subscriptions that a hub needs.
    #[must_use]
    pub fn new(endpoint: Endpoint, trust: TrustPaths, hub: &str, runtime_dir: PathBuf) -> Self {
        let filters = [
            "req/+",
            "lock/+/command",
            "lock/+/access/desired",
            "lock/+/audit/ack",
            "jobs/notify",
            "files/+/block",
        ];
        Self {
            endpoint,
            trust,
            hub: hub.to_owned(),
            client_id: hub.to_owned(),
            filters: filters
                .iter()
                .map(|tail| format!("drawbridge/{hub}/{tail}"))
                .collect(),
            session_expiry: Duration::from_secs(7 * 24 * 3600),
            will_delay: Duration::from_secs(10),
            runtime_dir,
            timing: Timing::default(),
            limits: Limits::default(),
        }
    }

    /// Checks what can be checked without a broker.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        let id_char = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.hub.is_empty() || self.hub.len() > 64 || !self.hub.chars().all(id_char) {
            return Err(ConfigError::HubId);
        }
        if let Some(bad) = self.filters.iter().find(|filter| !is_filter(filter)) {
            return Err(ConfigError::Filter(super::printable(bad)));
        }
        if self.will_delay >= self.session_expiry {
            return Err(ConfigError::WillDelay);
        }
        let (t, l) = (&self.timing, &self.limits);
        let times = [
            t.connect,
            t.handshake,
            t.write,
            t.response,
            t.quiet,
            t.proof,
        ];
        let zero_time = times.iter().any(Duration::is_zero);
        let zero_size = l.max_incoming == 0 || l.receive_max == 0 || l.max_outgoing == 0;
        if zero_time || zero_size || l.queue == 0 || l.events == 0 {
            return Err(ConfigError::Zero);
        }
        Ok(())
    }

    pub(super) fn topic(&self, tail: &str) -> String {
        format!("drawbridge/{}/{tail}", self.hub)
    }
}

/// A topic name to publish to: 1 to 65,535 bytes, no wildcard, no NUL (MQTT 5.0, 4.7).
pub(super) fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && topic.len() <= usize::from(u16::MAX) && !topic.contains(['+', '#', '\0'])
}

/// A topic filter: wildcards fill whole levels, `#` only the last (MQTT 5.0, 4.7.1).
fn is_filter(filter: &str) -> bool {
    let levels: Vec<_> = filter.split('/').collect();
    !filter.is_empty()
        && filter.len() <= usize::from(u16::MAX)
        && !filter.contains('\0')
        && levels.iter().enumerate().all(|(at, level)| match *level {
            "+" => true,
            "#" => at + 1 == levels.len(),
            plain => !plain.contains(['+', '#']),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> CloudConfig {
        let trust = TrustPaths {
            ca: "ca".into(),
            cert: "cert".into(),
            key: "key".into(),
            crl: None,
        };
        let endpoint = Endpoint {
            host: "localhost".into(),
            port: 8883,
            server_name: None,
        };
        CloudConfig::new(endpoint, trust, "h1", "/run/drawbridge".into())
    }

    // Guards (S26): a hub id with a wildcard or slash would make the hub subscribe to everybody.
    #[test]
    fn s26_hub_id_cannot_escape_its_tree() {
        assert_eq!(config().check(), Ok(()));
        for bad in [
            "",
            "+",
            "#",
            "a/b",
            "h1/../h2",
            "h\0",
            "h1\n",
            &"a".repeat(65),
        ] {
            let config = CloudConfig {
                hub: bad.to_owned(),
                ..config()
            };
            assert_eq!(config.check(), Err(ConfigError::HubId), "{bad:?}");
        }
    }

    // Guards: an invalid filter makes the library drop the request, and we would wait for a
    // SUBACK that never comes.
    #[test]
    fn bad_filters_are_refused_before_connecting() {
        for bad in ["", "a/#/b", "a+", "a/b#", "x\0"] {
            let config = CloudConfig {
                filters: vec![bad.to_owned()],
                ..config()
            };
            assert!(
                matches!(config.check(), Err(ConfigError::Filter(_))),
                "{bad:?}"
            );
        }
    }

    // Guards: a will later than the session would leave `online` retained for ever.
    #[test]
    fn will_must_fire_before_the_session_ends() {
        let config = CloudConfig {
            will_delay: Duration::from_secs(8 * 24 * 3600),
            ..config()
        };
        assert_eq!(config.check(), Err(ConfigError::WillDelay));
    }
}
