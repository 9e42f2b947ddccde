//! The sections and their defaults. `config/drawbridge.toml` documents each; a test keeps the two equal.

use std::path::PathBuf;

use serde::Deserialize;

/// `[hub]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// The hub's name in topics: `[a-zA-Z0-9_-]{1,64}`.
    pub id: String,
    /// Where store and keys live.
    #[serde(default = "Hub::default_state_dir")]
    pub state_dir: PathBuf,
    /// Where sockets live; gone after a reboot.
    #[serde(default = "Hub::default_runtime_dir")]
    pub runtime_dir: PathBuf,
}

impl Hub {
    fn default_state_dir() -> PathBuf {
        "/var/lib/drawbridge".into()
    }

    fn default_runtime_dir() -> PathBuf {
        "/run/drawbridge".into()
    }
}

/// `[broker]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// DNS name or address.
    pub host: String,
    /// TCP port; 8883 is registered for MQTT over TLS.
    #[serde(default = "Broker::default_port")]
    pub port: u16,
    /// PEM file: the only authorities whose brokers are trusted.
    #[serde(default = "Broker::default_ca")]
    pub ca: PathBuf,
    /// PEM file: the hub's certificate chain.
    #[serde(default = "Broker::default_cert")]
    pub cert: PathBuf,
    /// PEM file: the key of `cert`.
    #[serde(default = "Broker::default_key")]
    pub key: PathBuf,
    /// PEM file: revoked broker certificates.
    pub crl: Option<PathBuf>,
    /// The name the broker's certificate must carry, when it is not `host`.
    pub server_name: Option<String>,
}

impl Broker {
    fn default_port() -> u16 {
        8_883
    }

    fn default_ca() -> PathBuf {
        "/etc/drawbridge/ca.pem".into()
    }

    fn default_cert() -> PathBuf {
        "/etc/drawbridge/hub.pem".into()
    }

    fn default_key() -> PathBuf {
        "/etc/drawbridge/hub.key".into()
    }
}

/// `[radio]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Radio {
    /// Use Bluetooth through BlueZ.
    pub bluez: bool,
    /// Addresses of the adapters to use, such as `00:11:22:33:44:55`; empty: all.
    pub adapters: Vec<String>,
    /// Never open a channel: everything over GATT.
    pub gatt_only: bool,
    /// Socket of simulated locks, for the demo and for tests.
    pub virtual_air: Option<PathBuf>,
}

impl Default for Radio {
    fn default() -> Self {
        Self {
            bluez: true,
            adapters: Vec::new(),
            gatt_only: false,
            virtual_air: None,
        }
    }
}

/// `[control]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// The control socket; `control.sock` in the runtime folder when absent.
    pub socket: Option<PathBuf>,
    /// Members may use the socket; empty: root and the daemon's own user only.
    pub group: String,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            socket: None,
            group: "drawbridge".into(),
        }
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// What is logged.
    pub level: Level,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info }
    }
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Someone must act.
    Error,
    /// Degraded but handled.
    Warn,
    /// State changes.
    Info,
    /// Why it decided so.
    Debug,
    /// Each message; never a secret.
    Trace,
}

impl Level {
    /// The same for the `log` crate.
    #[must_use]
    pub fn filter(self) -> log::LevelFilter {
        match self {
            Self::Error => log::LevelFilter::Error,
            Self::Warn => log::LevelFilter::Warn,
            Self::Info => log::LevelFilter::Info,
            Self::Debug => log::LevelFilter::Debug,
            Self::Trace => log::LevelFilter::Trace,
        }
    }
}

impl super::Config {
    /// The control socket's path.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.control
            .socket
            .clone()
            .unwrap_or_else(|| self.hub.runtime_dir.join("control.sock"))
    }

    /// The group whose members may use the control socket.
    #[must_use]
    pub fn control_group(&self) -> Option<String> {
        Some(self.control.group.clone()).filter(|group| !group.is_empty())
    }
}
