//! The way to the broker, step by step, for `doctor`: files, DNS, TCP, TLS, MQTT.
//!
//! The same code as the real connection takes each step; only the MQTT step differs: it uses a
//! client id of its own and a session that ends with it, so that probing never throws a running
//! hub out (unless the broker replaces client ids by certificate names, as our mosquitto example
//! does; then the running hub reconnects within seconds).
//!
//! **A step that fails ends the probe; nothing after it is reported as good.**

use std::path::Path;
use std::time::SystemTime;

use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{ConnectionError, Event, EventLoop, MqttOptions};
use tokio::time::timeout;

use super::config::{CloudConfig, Timing};
use super::trust::Trust;
use super::tunnel::{self, Stream, Tunnel, TunnelError};

/// One of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Reading and checking CA, certificate, key.
    Files,
    /// Looking up the broker's name.
    Dns,
    /// Connecting.
    Tcp,
    /// The handshake, both certificates.
    Tls,
    /// CONNECT and CONNACK.
    Mqtt,
}

impl Step {
    /// A short name for tables and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Mqtt => "mqtt",
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which step.
    pub step: Step,
    /// Good: what was found. Bad: why.
    pub result: Result<String, Problem>,
}

/// What is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// As a chain `a: b: c`.
    pub reason: String,
    /// One sentence for an operator.
    pub advice: String,
}

/// Takes the steps in order; the last finding is the first failure, or the MQTT step.
pub async fn probe(config: &CloudConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Each step puts its finding down; the first bad one ends the walk.
    let _ = walk(config, &mut findings).await;
    findings
}

struct Stop;

async fn walk(config: &CloudConfig, findings: &mut Vec<Finding>) -> Result<(), Stop> {
    let timing = &config.timing;
    let loaded = Trust::load(&config.trust, config.endpoint.name(), SystemTime::now());
    let trust = put(
        findings,
        Step::Files,
        loaded.map_err(TunnelError::from),
        |trust| {
            let ca = trust
                .anchors()
                .iter()
                .map(|ca| ca.not_after.to_string())
                .collect::<Vec<_>>();
            format!(
                "our certificate '{}' until {}; CA until {}",
                super::printable(&trust.own().subject),
                trust.own().not_after,
                ca.join(", ")
            )
        },
    )?;
    let found = tunnel::resolve(&config.endpoint, timing).await;
    let addresses = put(findings, Step::Dns, found, |addresses| {
        addresses
            .iter()
            .map(|a| a.ip().to_string())
            .collect::<Vec<_>>()
            .join(", ")
    })?;
    let connected = tunnel::connect(&addresses, timing).await;
    let (tcp, peer) = put(findings, Step::Tcp, connected, |(_, peer)| peer.to_string())?;
    let secured = tunnel::secure(tcp, peer, &trust, timing).await;
    let (stream, _) = put(findings, Step::Tls, secured, |(_, secured)| {
        let broker = secured.broker.as_ref();
        let until = broker.map_or_else(String::new, |cert| format!("{}", cert.not_after));
        format!(
            "{}, {}, {}; broker's certificate until {until}",
            secured.version, secured.group, secured.cipher
        )
    })?;
    let answered = mqtt(stream, config, &config.runtime_dir, timing).await;
    let step = Step::Mqtt;
    match answered {
        Ok(detail) => findings.push(Finding {
            step,
            result: Ok(detail),
        }),
        Err(problem) => findings.push(Finding {
            step,
            result: Err(problem),
        }),
    }
    Ok(())
}

fn put<T>(
    findings: &mut Vec<Finding>,
    step: Step,
    result: Result<T, TunnelError>,
    detail: impl FnOnce(&T) -> String,
) -> Result<T, Stop> {
    match result {
        Ok(value) => {
            findings.push(Finding {
                step,
                result: Ok(detail(&value)),
            });
            Ok(value)
        }
        Err(error) => {
            findings.push(Finding {
                step,
                result: Err(problem(&error)),
            });
            Err(Stop)
        }
    }
}

fn problem(error: &TunnelError) -> Problem {
    let advice = error
        .advice()
        .unwrap_or("look into the broker's log at this time");
    Problem {
        reason: super::chain(error),
        advice: advice.to_owned(),
    }
}

async fn mqtt(
    stream: Stream,
    config: &CloudConfig,
    runtime_dir: &Path,
    timing: &Timing,
) -> Result<String, Problem> {
    let mut tunnel = Tunnel::open(stream, runtime_dir, timing).map_err(|e| problem(&e))?;
    let socket = tunnel.path().to_string_lossy().into_owned();
    let mut options = MqttOptions::new(format!("{}.probe", config.client_id), socket, 0);
    options.set_transport(rumqttc::Transport::Unix);
    options.set_connection_timeout(timing.handshake.as_secs().max(1));
    options.set_outgoing_inflight_upper_limit(1);
    let mut eventloop = EventLoop::new(options, 1);
    let connack = timeout(timing.handshake, async {
        loop {
            match eventloop.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(connack))) => return Ok(connack),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    });
    let plain = |reason: &str| Problem {
        reason: reason.to_owned(),
        advice: "look into the broker's log at this time".to_owned(),
    };
    match connack.await {
        Ok(Ok(connack)) => {
            let given = connack.properties;
            let limit = |value: Option<u32>| value.map_or("no limit".to_owned(), |v| v.to_string());
            Ok(format!(
                "CONNACK; largest packet {}, receive maximum {}",
                limit(given.as_ref().and_then(|p| p.max_packet_size)),
                given
                    .as_ref()
                    .and_then(|p| p.receive_max)
                    .unwrap_or(u16::MAX)
            ))
        }
        Ok(Err(ConnectionError::ConnectionRefused(code))) => Err(Problem {
            reason: format!("connecting to MQTT: the broker refused us ({code:?})"),
            advice: "check that this hub's certificate has a user at the broker".to_owned(),
        }),
        Ok(Err(_)) => match tunnel
            .last_words(std::time::Duration::from_millis(200))
            .await
        {
            Some(why) => Err(problem(&why)),
            None => Err(plain("connecting to MQTT: the connection was lost")),
        },
        Err(_) => Err(plain("connecting to MQTT: no CONNACK in time")),
    }
}
