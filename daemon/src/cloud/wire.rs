//! The task that polls the MQTT library, and does nothing else.
//!
//! rumqttc: `poll` and a publish that waits in the same task deadlock; after an error the next
//! `poll` reconnects by itself, without back-off, and resends in another order. So: one task only
//! polls, hands on what it sees without ever waiting, and ends at the first error; each connection
//! has a fresh client and a fresh task.
//!
//! **The task never waits for anybody but the library, and never polls again after an error.**

use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectProperties, ConnectReturnCode, DisconnectReasonCode, LastWill,
    LastWillProperties, Packet, PubAck, Publish, SubAck,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::backoff::Failure;
use super::config::CloudConfig;
use super::window::LIBRARY_LIMIT;

/// Requests that wait inside the library: a full window, every ack, a subscription and a goodbye.
const REQUESTS: usize = 64;

/// Our ping interval; the library allows nothing below 5 s.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// What the library saw.
#[derive(Debug)]
pub(super) enum Seen {
    Connected(Box<ConnAck>),
    Subscribed(SubAck),
    Message(Box<Publish>),
    Acked(PubAck),
    Pong,
    /// Sent, with the packet id that the library chose.
    SentPublish(u16),
    SentPing,
    /// Another packet came; it still proves that the broker lives.
    Other,
}

/// Why the task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WireEnd {
    pub(super) reason: String,
    pub(super) advice: Option<&'static str>,
    pub(super) failure: Failure,
    pub(super) permanent: bool,
    /// The transport broke: the tunnel may know better why.
    pub(super) transport: bool,
}

/// The client and its polling task. Dropping it ends both.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) client: AsyncClient,
    pub(super) seen: mpsc::Receiver<Seen>,
    pub(super) task: JoinHandle<WireEnd>,
}

impl Wire {
    /// Starts a fresh client that talks through the Unix socket at `socket`.
    pub(super) fn start(config: &CloudConfig, socket: &str) -> Self {
        let (client, eventloop) = AsyncClient::new(options(config, socket), REQUESTS);
        // Everything the broker may send unasked, twice, and all answers to what we sent.
        let room = 2 * usize::from(config.limits.receive_max) + 4 * REQUESTS;
        let (to, seen) = mpsc::channel(room);
        let task = tokio::spawn(poll(eventloop, to));
        Self { client, seen, task }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn options(config: &CloudConfig, socket: &str) -> MqttOptions {
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let mut options = MqttOptions::new(config.client_id.clone(), socket, 0);
    options.set_transport(rumqttc::Transport::Unix);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_clean_start(false);
    options.set_manual_acks(true);
    options.set_outgoing_inflight_upper_limit(LIBRARY_LIMIT);
    options.set_connection_timeout(config.timing.handshake.as_secs().max(1));
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(seconds(config.session_expiry));
    properties.receive_maximum = Some(config.limits.receive_max);
    properties.max_packet_size = Some(config.limits.max_incoming);
    properties.request_problem_info = Some(1);
    options.set_connect_properties(properties);
    let will = LastWillProperties {
        delay_interval: Some(seconds(config.will_delay)),
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    };
    options.set_last_will(LastWill::new(
        config.topic("state"),
        "offline",
        QoS::AtLeastOnce,
        true,
        Some(will),
    ));
    options
}

async fn poll(mut eventloop: EventLoop, to: mpsc::Sender<Seen>) -> WireEnd {
    loop {
        let event = match eventloop.poll().await {
            Ok(event) => event,
            Err(error) => return explain(&error),
        };
        let seen = match event {
            Event::Incoming(Packet::ConnAck(connack)) => {
                // rumqttc: a Server Keep Alive replaces ours, zero makes it ping without pause.
                // So: put ours back; a ping more often than the broker asks is always allowed.
                eventloop.options.set_keep_alive(KEEP_ALIVE);
                Seen::Connected(Box::new(connack))
            }
            Event::Incoming(Packet::SubAck(suback)) => Seen::Subscribed(suback),
            Event::Incoming(Packet::PubAck(puback)) => Seen::Acked(puback),
            Event::Incoming(Packet::PingResp(_)) => Seen::Pong,
            Event::Incoming(Packet::Publish(publish)) => match publish.qos {
                QoS::AtMostOnce => {
                    // Nobody promised to deliver it: with no room it is dropped.
                    let _ = to.try_send(Seen::Message(Box::new(publish)));
                    continue;
                }
                QoS::AtLeastOnce => Seen::Message(Box::new(publish)),
                QoS::ExactlyOnce => return broke_rules("it sent QoS 2, which we never asked for"),
            },
            Event::Incoming(_) => Seen::Other,
            Event::Outgoing(Outgoing::Publish(id)) => Seen::SentPublish(id),
            Event::Outgoing(Outgoing::PingReq) => Seen::SentPing,
            Event::Outgoing(_) => continue,
        };
        if to.try_send(seen).is_err() {
            return broke_rules("it sent more than we allowed it to");
        }
    }
}

fn broke_rules(how: &str) -> WireEnd {
    WireEnd {
        reason: format!("listening to the broker: {how}"),
        advice: None,
        failure: Failure::Ordinary,
        permanent: false,
        transport: false,
    }
}

fn explain(error: &ConnectionError) -> WireEnd {
    let mut end = WireEnd {
        reason: String::new(),
        advice: None,
        failure: Failure::Ordinary,
        permanent: false,
        transport: false,
    };
    match error {
        ConnectionError::ConnectionRefused(code) => {
            end.reason = format!("connecting to MQTT: the broker refused us ({code:?})");
            use ConnectReturnCode as C;
            (end.failure, end.permanent, end.advice) = match code {
                C::NotAuthorized
                | C::BadUserNamePassword
                | C::Banned
                | C::BadAuthenticationMethod => (
                    Failure::Refused,
                    true,
                    Some(
                        "look into the broker's log; check that this hub's certificate has a user there",
                    ),
                ),
                C::ServerBusy | C::QuotaExceeded | C::ConnectionRateExceeded => {
                    (Failure::Refused, false, None)
                }
                C::ClientIdentifierNotValid | C::BadClientId => (
                    Failure::Refused,
                    true,
                    Some("set a client id that the broker accepts"),
                ),
                C::UnsupportedProtocolVersion | C::RefusedProtocolVersion => {
                    (Failure::Refused, true, Some("the broker must speak MQTT 5"))
                }
                _ => (Failure::Ordinary, false, None),
            };
        }
        ConnectionError::MqttState(StateError::ServerDisconnect {
            reason_code,
            reason_string,
        }) => {
            let said = reason_string
                .as_deref()
                .map_or_else(String::new, |text| format!(": {}", super::printable(text)));
            end.reason = format!("staying connected: the broker ended it ({reason_code:?}){said}");
            use DisconnectReasonCode as D;
            (end.failure, end.permanent, end.advice) = match reason_code {
                D::NotAuthorized => (Failure::Refused, true, None),
                D::SessionTakenOver => (
                    Failure::Ordinary,
                    true,
                    Some("another client uses this hub's identity: look for a copied certificate"),
                ),
                D::ServerBusy | D::QuotaExceeded | D::ConnectionRateExceeded => {
                    (Failure::Refused, false, None)
                }
                _ => (Failure::Ordinary, false, None),
            };
        }
        ConnectionError::Timeout(_) => {
            end.reason = "connecting to MQTT: no CONNACK in time".to_owned();
        }
        ConnectionError::Io(_)
        | ConnectionError::MqttState(StateError::ConnectionAborted | StateError::Io(_)) => {
            end.reason = "talking to the broker: the connection was lost".to_owned();
            end.transport = true;
        }
        ConnectionError::MqttState(StateError::Deserialization(problem)) => {
            let text = super::printable(&problem.to_string());
            end.reason = format!("talking to the broker: {text}");
            end.transport = true;
        }
        other => {
            end.reason = format!(
                "talking to the broker: {}",
                super::printable(&other.to_string())
            );
        }
    }
    end
}
