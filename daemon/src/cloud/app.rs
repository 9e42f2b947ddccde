//! The other end of the topics: one short connection of an app, with its own certificate.
//!
//! Trust, tunnel and limits are those of the hub's connection; there is no will, no session that
//! outlives it, and no retrying: whoever runs a command line wants to know why it failed.
//!
//! Order of calls: [`AppLink::connect`], [`AppLink::subscribe`] before whatever asks for an answer,
//! then [`AppLink::publish`] and [`AppLink::next`] as needed. **`publish` returns `Ok` only when the
//! broker acknowledged the message**; that it reached a hub shows only in the hub's answer. A link
//! that ended stays ended, and says so however often it is asked: whoever wants another connects.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, Packet, PubAckReason, Publish, PublishProperties, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::config::{Endpoint, Limits, Timing};
use super::trust::{Trust, TrustError, TrustPaths};
use super::tunnel::{self, Secured, Tunnel, TunnelError};
use crate::error_chain::chain;

/// Requests that wait inside the library.
const REQUESTS: usize = 16;
/// Messages that wait for the reader; a broker that sends more while nobody reads is cut off.
const WAITING: usize = 1_024;

/// What an app must be told.
#[derive(Debug, Clone)]
pub struct AppConfig {
    /// The broker.
    pub endpoint: Endpoint,
    /// Whom to believe, and who the app is.
    pub trust: TrustPaths,
    /// A folder that only this user can write to, for the private socket of the tunnel.
    pub runtime_dir: PathBuf,
    /// Times.
    pub timing: Timing,
}

/// Why the link is not there, or not any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// Our own files.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// DNS, TCP or TLS.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    /// The broker refused the MQTT connection.
    #[error("connecting to MQTT: the broker refused us ({0})")]
    Refused(String),
    /// The connection ended.
    #[error("talking to the broker: the connection was lost")]
    Lost,
    /// It had ended before; how, as a chain of causes.
    #[error("talking to the broker: the connection had ended: {0}")]
    Over(String),
    /// No acknowledgement in time.
    #[error("{0}: no answer from the broker in time")]
    Late(&'static str),
    /// The broker refused to deliver or to take a message.
    #[error("{act}: the broker refused it ({reason})")]
    NotAllowed {
        /// What was tried.
        act: &'static str,
        /// The broker's word for it.
        reason: String,
    },
}

impl AppError {
    /// What to do next, where somebody must act.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Trust(error) => Some(error.advice()),
            Self::Tunnel(error) => error.advice(),
            Self::Refused(_) => Some(
                "look into the broker's log; check that this app's certificate has a user there",
            ),
            Self::NotAllowed { .. } => Some("check the broker's rules for this app's certificate"),
            Self::Lost | Self::Over(_) | Self::Late(_) => None,
        }
    }

    /// Whether what was being published may have arrived.
    #[must_use]
    pub fn may_have_succeeded(&self) -> bool {
        matches!(self, Self::Lost | Self::Over(_) | Self::Late(_))
    }

    /// Whether waiting may help without anybody acting.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Trust(error) => error.is_temporary(),
            Self::Tunnel(error) => error.is_temporary(),
            Self::Lost | Self::Over(_) | Self::Late(_) => true,
            Self::Refused(_) | Self::NotAllowed { .. } => false,
        }
    }
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppMessage {
    /// Its topic.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// The broker kept it: an old message.
    pub retain: bool,
    /// As given in a request of ours.
    pub correlation: Option<Vec<u8>>,
}

/// A message to publish.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppPublish {
    /// Where to; no wildcards.
    pub topic: String,
    /// The bytes.
    pub payload: Vec<u8>,
    /// Where the answer should go.
    pub response_topic: Option<String>,
    /// To be echoed in the answer.
    pub correlation: Option<Vec<u8>>,
    /// Message Expiry Interval in seconds; a courtesy, never a security bound.
    pub expiry_s: Option<u32>,
    /// Whether the broker keeps it. A retained command is refused by every hub.
    pub retain: bool,
}

enum Seen {
    Connected,
    Subscribed(Vec<SubscribeReasonCode>),
    Acked(PubAckReason),
    Message(Box<Publish>),
}

/// A connection. Dropping it ends it without a goodbye; [`AppLink::close`] says goodbye.
#[derive(Debug)]
pub struct AppLink {
    client: AsyncClient,
    seen: mpsc::Receiver<Seen>,
    poll: JoinHandle<Option<AppError>>,
    /// How the link ended, once it did: the task that knew is asked only once.
    ending: Option<String>,
    tunnel: Tunnel,
    waiting: VecDeque<AppMessage>,
    secured: Secured,
    timing: Timing,
}

impl AppLink {
    /// All steps from the files to CONNACK.
    ///
    /// # Errors
    /// [`AppError`]; nothing was published.
    pub async fn connect(config: &AppConfig) -> Result<Self, AppError> {
        let timing = config.timing.clone();
        let trust = Trust::load(&config.trust, config.endpoint.name(), SystemTime::now())?;
        let (stream, secured) = tunnel::dial(&config.endpoint, &trust, &timing).await?;
        let tunnel = Tunnel::open(stream, &config.runtime_dir, &timing)?;
        let options = options(&trust, &tunnel, &timing)?;
        let (client, eventloop) = AsyncClient::new(options, REQUESTS);
        let (to, seen) = mpsc::channel(WAITING);
        let poll = tokio::spawn(poll(eventloop, to));
        let mut link = Self {
            client,
            seen,
            poll,
            ending: None,
            tunnel,
            waiting: VecDeque::new(),
            secured,
            timing,
        };
        let by = Instant::now() + link.timing.handshake;
        loop {
            match link.next_seen(by, "connecting to MQTT").await? {
                Seen::Connected => return Ok(link),
                _ => continue,
            }
        }
    }

    /// What TLS agreed on.
    #[must_use]
    pub fn secured(&self) -> &Secured {
        &self.secured
    }

    /// Subscribes with QoS 1.
    ///
    /// # Errors
    /// [`AppError`]. A broker may grant a filter and still deliver nothing of it.
    pub async fn subscribe(&mut self, filter: &str) -> Result<(), AppError> {
        self.client
            .try_subscribe(filter, QoS::AtLeastOnce)
            .map_err(|_| AppError::Lost)?;
        let by = Instant::now() + self.timing.response;
        loop {
            match self.next_seen(by, "subscribing").await? {
                Seen::Subscribed(codes) => {
                    let bad = codes
                        .iter()
                        .find(|code| !matches!(code, SubscribeReasonCode::Success(_)));
                    return match bad {
                        None => Ok(()),
                        Some(code) => Err(AppError::NotAllowed {
                            act: "subscribing",
                            reason: format!("{code:?}"),
                        }),
                    };
                }
                other => self.put_by(other),
            }
        }
    }

    /// Publishes with QoS 1. `false`: the broker knows nobody who would get it (MQTT 5, reason
    /// 0x10); a broker need not tell.
    ///
    /// # Errors
    /// [`AppError`]; see [`AppError::may_have_succeeded`].
    pub async fn publish(&mut self, message: AppPublish) -> Result<bool, AppError> {
        let properties = PublishProperties {
            response_topic: message.response_topic,
            correlation_data: message.correlation.map(Into::into),
            message_expiry_interval: message.expiry_s,
            ..PublishProperties::default()
        };
        self.client
            .try_publish_with_properties(
                message.topic,
                QoS::AtLeastOnce,
                message.retain,
                message.payload,
                properties,
            )
            .map_err(|_| AppError::Lost)?;
        let by = Instant::now() + self.timing.response;
        loop {
            match self.next_seen(by, "publishing").await? {
                Seen::Acked(PubAckReason::Success) => return Ok(true),
                Seen::Acked(PubAckReason::NoMatchingSubscribers) => return Ok(false),
                Seen::Acked(reason) => {
                    return Err(AppError::NotAllowed {
                        act: "publishing",
                        reason: format!("{reason:?}"),
                    });
                }
                other => self.put_by(other),
            }
        }
    }

    /// The next message; `None` when none came in time.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn next(&mut self, within: Duration) -> Result<Option<AppMessage>, AppError> {
        let by = Instant::now() + within;
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Ok(Some(message));
            }
            match self.next_seen(by, "").await {
                Ok(seen) => self.put_by(seen),
                Err(AppError::Late(_)) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        if self.client.try_disconnect().is_ok() {
            let _ = timeout(Duration::from_millis(500), async {
                while self.seen.recv().await.is_some() {}
            })
            .await;
        }
    }

    fn put_by(&mut self, seen: Seen) {
        let Seen::Message(publish) = seen else { return };
        // A topic that is no UTF-8 is none of ours.
        let Ok(topic) = String::from_utf8(publish.topic.to_vec()) else {
            return;
        };
        let properties = publish.properties.unwrap_or_default();
        self.waiting.push_back(AppMessage {
            topic,
            payload: publish.payload.to_vec(),
            retain: publish.retain,
            correlation: properties.correlation_data.map(|data| data.to_vec()),
        });
    }

    async fn next_seen(&mut self, by: Instant, act: &'static str) -> Result<Seen, AppError> {
        match timeout_at(by, self.seen.recv()).await {
            Ok(Some(seen)) => Ok(seen),
            Err(_) => Err(AppError::Late(act)),
            Ok(None) => Err(self.ended().await),
        }
    }

    async fn ended(&mut self) -> AppError {
        if let Some(how) = &self.ending {
            return AppError::Over(how.clone());
        }
        let refused = (&mut self.poll).await;
        // At once: a caller that gives up waiting here may ask again.
        self.ending = Some(AppError::Lost.to_string());
        // The library knows a refusal, the tunnel knows why a connection ended.
        let error = match refused {
            Ok(Some(refused)) => refused,
            _ => {
                let words = self.tunnel.last_words(Duration::from_millis(300)).await;
                words.map_or(AppError::Lost, AppError::Tunnel)
            }
        };
        self.ending = Some(chain(&error));
        error
    }
}

impl Drop for AppLink {
    fn drop(&mut self) {
        self.poll.abort();
    }
}

fn options(trust: &Trust, tunnel: &Tunnel, timing: &Timing) -> Result<MqttOptions, AppError> {
    let random =
        getrandom::u64().map_err(|_| TrustError::Setup("the kernel gave no random bytes"))?;
    let socket = tunnel.path().to_string_lossy().into_owned();
    // The certificate's name and a dot, as at the hub's probe: a broker can see whose session it is,
    // and one run does not throw another out.
    let who = trust.common_name().unwrap_or_else(|| "app".to_owned());
    let mut options = MqttOptions::new(format!("{who}.{random:016x}"), socket, 0);
    options.set_transport(rumqttc::Transport::Unix);
    options.set_keep_alive(Duration::from_secs(15));
    options.set_clean_start(true);
    options.set_outgoing_inflight_upper_limit(4);
    options.set_connection_timeout(timing.handshake.as_secs().max(1));
    let limits = Limits::default();
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(0);
    properties.receive_maximum = Some(limits.receive_max);
    properties.max_packet_size = Some(limits.max_incoming);
    options.set_connect_properties(properties);
    Ok(options)
}

/// Polls the library and does nothing else (see `wire`); returns why, when the broker said why.
async fn poll(mut eventloop: EventLoop, to: mpsc::Sender<Seen>) -> Option<AppError> {
    loop {
        let seen = match eventloop.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => Seen::Connected,
            Ok(Event::Incoming(Packet::SubAck(suback))) => Seen::Subscribed(suback.return_codes),
            Ok(Event::Incoming(Packet::PubAck(puback))) => Seen::Acked(puback.reason),
            Ok(Event::Incoming(Packet::Publish(publish))) => Seen::Message(Box::new(publish)),
            Ok(_) => continue,
            Err(ConnectionError::ConnectionRefused(code)) => {
                return Some(AppError::Refused(format!("{code:?}")));
            }
            Err(_) => return None,
        };
        if to.try_send(seen).is_err() {
            return None;
        }
    }
}
