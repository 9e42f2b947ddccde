//! The task that polls the MQTT library, and does nothing else.
//!
//! rumqttc: `poll` and a publish that waits in the same task deadlock; after an error the next
//! `poll` reconnects by itself, without back-off, and resends in another order. So: one task only
//! polls, hands on what it sees without ever waiting, and ends at the first error; each connection
//! has a fresh client and a fresh task.
//!
//! A broker may send what it likes, so of each packet only what we use is handed on: a packet of
//! 257 KiB can hold 50,000 user properties, which take ten times that in memory, and a topic alias
//! (we allow none) makes the library remember a packet for good.
//!
//! **The task never waits for anybody but the library, and never polls again after an error; at
//! most `receive_max` messages of either kind are on their way to the core.**

use std::sync::Arc;
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectProperties, ConnectReturnCode, DisconnectReasonCode, LastWill,
    LastWillProperties, Packet, PubAckReason, Publish, SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error as MqttError, QoS};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
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
    Connected(Granted),
    /// One code for each filter.
    Subscribed(Vec<SubscribeReasonCode>),
    Message(Box<Arrived>),
    Acked {
        id: u16,
        reason: PubAckReason,
    },
    Pong,
    /// Sent, with the packet id that the library chose.
    SentPublish(u16),
    SentPing,
    /// Another packet came; it still proves that the broker lives.
    Other,
}

/// What the broker grants in its CONNACK.
#[derive(Debug, Clone, Copy)]
pub(super) struct Granted {
    pub(super) session_present: bool,
    pub(super) receive_max: Option<u16>,
    pub(super) max_qos: Option<u8>,
    pub(super) retain_available: Option<u8>,
    pub(super) max_packet: Option<u32>,
}

/// A message from the broker.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    /// `None`: QoS 0, nothing to acknowledge.
    pub(super) packet: Option<u16>,
    pub(super) retain: bool,
    pub(super) dup: bool,
    pub(super) correlation: Option<Vec<u8>>,
    pub(super) response_topic: Option<String>,
    /// Its place among those that may be on their way to the core.
    pub(super) place: OwnedSemaphorePermit,
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
        let task = tokio::spawn(poll(eventloop, to, Listening::new(config)));
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

/// What we are ready to take on this connection.
#[derive(Debug)]
struct Listening {
    filters: usize,
    /// QoS 1: what the broker may have unacknowledged at us.
    promised: Arc<Semaphore>,
    /// QoS 0: as many, so that a flood of what nobody promised stands before no command.
    unpromised: Arc<Semaphore>,
}

impl Listening {
    fn new(config: &CloudConfig) -> Self {
        let places = || Arc::new(Semaphore::new(usize::from(config.limits.receive_max)));
        Self {
            filters: config.filters.len() + 1,
            promised: places(),
            unpromised: places(),
        }
    }

    /// `None`: there is no place for it, and nobody promised to deliver it.
    fn take(&self, publish: Publish) -> Result<Option<Seen>, WireEnd> {
        let (places, packet) = match publish.qos {
            QoS::AtMostOnce => (&self.unpromised, None),
            QoS::AtLeastOnce => (&self.promised, Some(publish.pkid)),
            QoS::ExactlyOnce => {
                return Err(broke_rules("it sent QoS 2, which we never asked for"));
            }
        };
        let properties = publish.properties.unwrap_or_default();
        if properties.topic_alias.is_some() {
            return Err(broke_rules("it used a topic alias, and we allow none"));
        }
        let Ok(place) = Arc::clone(places).try_acquire_owned() else {
            return match packet {
                None => Ok(None),
                Some(_) => Err(broke_rules(
                    "it sent more unacknowledged messages than we allowed",
                )),
            };
        };
        let Ok(topic) = String::from_utf8(publish.topic.to_vec()) else {
            return Err(broke_rules("it sent a topic that is not UTF-8"));
        };
        Ok(Some(Seen::Message(Box::new(Arrived {
            topic,
            payload: publish.payload.to_vec(),
            packet,
            retain: publish.retain,
            dup: publish.dup,
            correlation: properties.correlation_data.map(|data| data.to_vec()),
            response_topic: properties.response_topic,
            place,
        }))))
    }
}

fn granted(connack: ConnAck) -> Granted {
    let given = connack.properties.as_ref();
    Granted {
        session_present: connack.session_present,
        receive_max: given.and_then(|given| given.receive_max),
        max_qos: given.and_then(|given| given.max_qos),
        retain_available: given.and_then(|given| given.retain_available),
        max_packet: given.and_then(|given| given.max_packet_size),
    }
}

async fn poll(mut eventloop: EventLoop, to: mpsc::Sender<Seen>, listening: Listening) -> WireEnd {
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
                Seen::Connected(granted(connack))
            }
            Event::Incoming(Packet::SubAck(suback)) => {
                if suback.return_codes.len() != listening.filters {
                    return broke_rules("its SUBACK answers another number of filters");
                }
                Seen::Subscribed(suback.return_codes)
            }
            Event::Incoming(Packet::PubAck(puback)) => Seen::Acked {
                id: puback.pkid,
                reason: puback.reason,
            },
            Event::Incoming(Packet::PingResp(_)) => Seen::Pong,
            Event::Incoming(Packet::Publish(publish)) => match listening.take(publish) {
                Ok(Some(seen)) => seen,
                Ok(None) => continue,
                Err(end) => return end,
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
        | ConnectionError::MqttState(
            StateError::ConnectionAborted
            | StateError::Io(_)
            | StateError::Deserialization(MqttError::Io(_)),
        ) => {
            end.reason = "talking to the broker: the connection was lost".to_owned();
            end.transport = true;
        }
        ConnectionError::MqttState(StateError::Deserialization(
            MqttError::PayloadSizeLimitExceeded { pkt_size, max },
        )) => {
            return broke_rules(&format!(
                "it sent a packet of {pkt_size} bytes, {max} are allowed"
            ));
        }
        ConnectionError::MqttState(StateError::Deserialization(problem)) => {
            return broke_rules(&super::printable(&problem.to_string()));
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

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes::v5::PublishProperties;

    use super::*;

    const PLACES: usize = 4;

    fn listening() -> Listening {
        let few = || Arc::new(Semaphore::new(PLACES));
        Listening {
            filters: 1,
            promised: few(),
            unpromised: few(),
        }
    }

    fn message(qos: QoS) -> Publish {
        Publish {
            qos,
            pkid: 7,
            topic: "a/b".into(),
            payload: "x".into(),
            ..Publish::default()
        }
    }

    fn config() -> CloudConfig {
        let trust = super::super::TrustPaths {
            ca: "ca".into(),
            cert: "cert".into(),
            key: "key".into(),
            crl: None,
        };
        let endpoint = super::super::Endpoint {
            host: "localhost".into(),
            port: 8883,
            server_name: None,
        };
        CloudConfig::new(endpoint, trust, "h1", "/run/drawbridge".into())
    }

    // Guards (S36): 10,000 messages a second that the core would have to look at one by one before
    // it comes to a command.
    #[test]
    fn s36_flood_takes_no_more_places_than_it_was_given() {
        let config = config();
        let listening = Listening::new(&config);
        let places = usize::from(config.limits.receive_max);
        let mut taken = Vec::new();
        for _ in 0..10_000 {
            taken.extend(listening.take(message(QoS::AtMostOnce)).unwrap());
        }
        assert_eq!(taken.len(), places);
        // A command has its own.
        let command = listening.take(message(QoS::AtLeastOnce)).unwrap();
        assert!(command.is_some());
        // Each place that the core gives back is one for the next.
        taken.pop();
        taken.extend(listening.take(message(QoS::AtMostOnce)).unwrap());
        assert_eq!(taken.len(), places);
    }

    // Guards (S36): a broker that ignores our Receive Maximum.
    #[test]
    fn s36_broker_that_overruns_the_receive_maximum_ends_its_connection() {
        let listening = listening();
        let mut taken = Vec::new();
        for _ in 0..PLACES {
            taken.push(listening.take(message(QoS::AtLeastOnce)).unwrap().unwrap());
        }
        let end = listening.take(message(QoS::AtLeastOnce)).unwrap_err();
        assert!(end.reason.contains("more unacknowledged"), "{end:?}");
    }

    // Guards (S36): 50,000 user properties in a packet of 257 KiB, and topic aliases that the
    // library keeps for good.
    #[test]
    fn s36_only_what_is_used_of_a_message_is_handed_on() {
        let listening = listening();
        let with = |properties| Publish {
            properties: Some(properties),
            ..message(QoS::AtLeastOnce)
        };
        let wordy = PublishProperties {
            user_properties: vec![(String::new(), String::new()); 50_000],
            correlation_data: Some("c".into()),
            response_topic: Some("r".into()),
            ..PublishProperties::default()
        };
        let Some(Seen::Message(arrived)) = listening.take(with(wordy)).unwrap() else {
            panic!("not a message");
        };
        assert_eq!(arrived.correlation.as_deref(), Some(b"c".as_slice()));
        assert_eq!(arrived.response_topic.as_deref(), Some("r"));
        let alias = PublishProperties {
            topic_alias: Some(1),
            ..PublishProperties::default()
        };
        let end = listening.take(with(alias)).unwrap_err();
        assert!(end.reason.contains("topic alias"), "{end:?}");
    }
}
