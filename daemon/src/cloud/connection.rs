//! One connection, from CONNECT to its end.
//!
//! Steps: CONNECT (our old session, a will), CONNACK, SUBSCRIBE (always, whatever the broker says
//! it remembers), SUBACK, `state` = `online`, and only then the core's messages. After that one
//! loop: what the broker sent, what the core acknowledged, what the core publishes, what time it
//! is.
//!
//! **A ticket given to this connection comes back in exactly one event before [`run`] returns.**

use std::future::pending;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Filter, PubAckReason, Publish, PublishProperties, Subscribe, SubscribeReasonCode,
};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::acks::{AckOrder, AckToken, Settled};
use super::backoff::Failure;
use super::config::{CloudConfig, is_topic};
use super::event::{CloudEvent, Outgoing};
use super::liveness::{Liveness, Pulse, Silence};
use super::tunnel::{Secured, Tunnel};
use super::window::{Owner, Window};
use super::wire::{Arrived, Granted, Seen, Wire, WireEnd};

/// The two queues and the wish to end, as the plane owns them.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) urgent: mpsc::Receiver<Outgoing>,
    pub(super) telemetry: mpsc::Receiver<Outgoing>,
    pub(super) shutdown: mpsc::Receiver<Duration>,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// It broke; `proved` tells whether it ever worked end to end.
    Lost { end: WireEnd, proved: bool },
    /// We were asked to end, and did.
    Shutdown,
}

/// Runs a connection over an open tunnel until it ends.
pub(super) async fn run(
    config: &CloudConfig,
    mut tunnel: Tunnel,
    secured: &Secured,
    inbox: &mut Inbox,
    events: &mpsc::Sender<CloudEvent>,
) -> Ending {
    let socket = tunnel.path().to_string_lossy().into_owned();
    let wire = Wire::start(config, &socket);
    let (acks, settled) = AckOrder::new(config.limits.receive_max);
    let mut connection = Connection {
        config,
        events,
        wire,
        window: Window::open(1),
        acks,
        settled,
        live: Liveness::new(&config.timing, Instant::now()),
        live_topic: config.topic("live"),
        live_payload: Vec::new(),
        live_count: 0,
        max_packet: config.limits.max_outgoing,
        proved: false,
        sent: std::collections::VecDeque::new(),
    };
    let mut ending = connection.run(secured, inbox).await;
    if let Ending::Lost { end, .. } = &mut ending
        && end.transport
        && let Some(why) = tunnel.last_words(Duration::from_millis(200)).await
    {
        end.reason = super::chain(&why);
        end.advice = why.advice();
        end.permanent = !why.is_temporary();
        if matches!(&why, super::TunnelError::Refused(refusal) if refusal.is_about_us()) {
            end.failure = Failure::Refused;
        }
    }
    connection.give_up_flights().await;
    ending
}

struct Connection<'a> {
    config: &'a CloudConfig,
    events: &'a mpsc::Sender<CloudEvent>,
    wire: Wire,
    window: Window,
    acks: AckOrder,
    settled: mpsc::Receiver<Settled>,
    live: Liveness,
    live_topic: String,
    live_payload: Vec<u8>,
    live_count: u64,
    max_packet: u32,
    proved: bool,
    /// Packet ids we expect the library to choose, in order.
    sent: std::collections::VecDeque<u16>,
}

/// Result of one step: `Err` ends the connection.
type Step<T = ()> = Result<T, WireEnd>;

impl Connection<'_> {
    async fn run(&mut self, secured: &Secured, inbox: &mut Inbox) -> Ending {
        match self.live_through(secured, inbox).await {
            Ok(drain) => {
                self.say_goodbye(inbox, drain).await;
                Ending::Shutdown
            }
            Err(end) => Ending::Lost {
                end,
                proved: self.proved,
            },
        }
    }

    async fn live_through(&mut self, secured: &Secured, inbox: &mut Inbox) -> Step<Duration> {
        let session_present = self.establish().await?;
        let up = CloudEvent::Up {
            tls_group: secured.group.clone(),
            session_present,
            max_packet: self.max_packet,
        };
        self.tell(up).await;
        loop {
            // It goes before whatever waits: a window that others keep full is no sign of death.
            if self.live.wants_proof() && self.window.has_room() {
                self.prove()?;
            }
            let wake = self.deadline();
            let (room, telemetry_room) =
                (self.window.has_room(), self.window.has_room_for_telemetry());
            tokio::select! {
                biased;
                seen = self.wire.seen.recv() => match seen {
                    Some(seen) => self.on_seen(seen).await?,
                    None => return Err(self.wire_end().await),
                },
                settled = self.settled.recv() => self.on_settled(settled)?,
                () = sleep_until(wake) => self.on_time()?,
                drain = inbox.shutdown.recv() => return Ok(drain.unwrap_or_default()),
                out = inbox.urgent.recv(), if room => match out {
                    Some(out) => self.publish(out, 0).await?,
                    None => return Ok(Duration::ZERO),
                },
                out = next(&mut inbox.telemetry), if telemetry_room => {
                    let bytes = out.payload.len().max(1);
                    self.publish(out, bytes).await?;
                }
            }
        }
    }

    /// CONNACK, SUBSCRIBE, SUBACK, `online`.
    async fn establish(&mut self) -> Step<bool> {
        let connack_by = Instant::now() + self.config.timing.handshake;
        let session_present = loop {
            match self
                .next_seen(connack_by, "connecting to MQTT: no CONNACK in time")
                .await?
            {
                Seen::Connected(granted) => break self.on_connack(granted)?,
                _ => continue,
            }
        };
        let mut filters = self.config.filters.clone();
        filters.push(self.live_topic.clone());
        let wanted: Vec<_> = filters
            .iter()
            .map(|path| Filter {
                // MQTT 5.0, 3.8.3.1: without it the broker hides that a live publish is retained,
                // and a command that it keeps would be obeyed once.
                preserve_retain: true,
                ..Filter::new(path.clone(), QoS::AtLeastOnce)
            })
            .collect();
        self.check_subscription(&wanted)?;
        self.wire
            .client
            .try_subscribe_many(wanted)
            .map_err(|_| internal("subscribing"))?;
        self.window.skip();
        let suback_by = Instant::now() + self.config.timing.response;
        loop {
            match self
                .next_seen(suback_by, "subscribing: no SUBACK in time")
                .await?
            {
                Seen::Subscribed(codes) => {
                    check_suback(&codes, &filters)?;
                    break;
                }
                // A resumed session delivers what waited before it answers the SUBSCRIBE.
                other => self.on_seen(other).await?,
            }
        }
        self.live.heard(Instant::now());
        self.send(Owner::State, self.state("online"), 0)?;
        self.prove()?;
        Ok(session_present)
    }

    /// A packet over the broker's limit would end the connection without a word about why.
    fn check_subscription(&self, wanted: &[Filter]) -> Step {
        let size = Subscribe::new_many(wanted.to_vec(), None).size();
        if u32::try_from(size).is_ok_and(|size| size <= self.max_packet) {
            return Ok(());
        }
        let limit = self.max_packet;
        let mut end = unusable(&format!(
            "subscribing: the broker's largest packet has {limit} bytes, our subscription {size}"
        ));
        end.advice = Some("let the broker take larger packets (mosquitto: max_packet_size)");
        Err(end)
    }

    async fn next_seen(&mut self, by: Instant, late: &str) -> Step<Seen> {
        match tokio::time::timeout_at(by, self.wire.seen.recv()).await {
            Ok(Some(seen)) => Ok(seen),
            Ok(None) => Err(self.wire_end().await),
            Err(_) => Err(lost(late)),
        }
    }

    fn on_connack(&mut self, granted: Granted) -> Step<bool> {
        let receive_max = granted.receive_max.unwrap_or(u16::MAX);
        if receive_max == 0 {
            return Err(lost(
                "connecting to MQTT: the broker gave a Receive Maximum of zero",
            ));
        }
        if granted.max_qos == Some(0) {
            return Err(unusable(
                "connecting to MQTT: the broker does not offer QoS 1",
            ));
        }
        if granted.retain_available == Some(0) {
            return Err(unusable(
                "connecting to MQTT: the broker does not keep retained messages",
            ));
        }
        self.window = Window::open(receive_max);
        let theirs = granted.max_packet.unwrap_or(u32::MAX);
        self.max_packet = theirs.min(self.config.limits.max_outgoing);
        Ok(granted.session_present)
    }

    async fn on_seen(&mut self, seen: Seen) -> Step {
        let now = Instant::now();
        match seen {
            Seen::SentPing => {
                self.live.ping_sent(now);
                return Ok(());
            }
            Seen::SentPublish(id) => {
                return match self.sent.pop_front() {
                    Some(expected) if expected == id => Ok(()),
                    _ => Err(internal("counting packet ids")),
                };
            }
            _ => self.live.heard(now),
        }
        match seen {
            Seen::Pong => self.live.ping_answered(),
            Seen::Acked { id, reason } => self.on_puback(id, reason).await,
            Seen::Message(arrived) => self.on_message(*arrived, now).await?,
            Seen::Connected(_) | Seen::Subscribed(_) => {
                return Err(lost("listening to the broker: an answer to nothing"));
            }
            Seen::Other | Seen::SentPing | Seen::SentPublish(_) => {}
        }
        Ok(())
    }

    async fn on_message(&mut self, arrived: Arrived, now: Instant) -> Step {
        let token = match arrived.packet {
            None => AckToken::nothing(),
            Some(packet) => self.acks.arrived(packet).map_err(|_| {
                lost("listening to the broker: more unacknowledged messages than we allowed")
            })?,
        };
        let token = token.holding(arrived.place);
        if arrived.topic == self.live_topic {
            if arrived.payload == self.live_payload && !self.live_payload.is_empty() {
                self.live.proof_returned(now);
                self.live_payload.clear();
                self.proved = true;
            }
            token.ack();
            return Ok(());
        }
        let message = CloudEvent::Message {
            topic: arrived.topic,
            payload: arrived.payload,
            retain: arrived.retain,
            dup: arrived.dup,
            correlation: arrived.correlation,
            response_topic: arrived.response_topic,
            ack: token,
        };
        self.tell(message).await;
        Ok(())
    }

    async fn on_puback(&mut self, id: u16, reason: PubAckReason) {
        let Some(Owner::Ticket(ticket)) = self.window.acked(id) else {
            return;
        };
        use PubAckReason as R;
        let event = match reason {
            R::Success | R::NoMatchingSubscribers => CloudEvent::Published { ticket },
            reason => CloudEvent::PublishFailed {
                ticket,
                reason: format!("publishing: the broker refused it ({reason:?})"),
                is_temporary: matches!(
                    reason,
                    R::QuotaExceeded | R::UnspecifiedError | R::ImplementationSpecificError
                ),
                may_have_succeeded: false,
            },
        };
        self.tell(event).await;
    }

    fn on_settled(&mut self, settled: Option<Settled>) -> Step {
        let Some(settled) = settled else {
            return Ok(());
        };
        for pkid in self.acks.settled(settled) {
            let receipt = Publish {
                pkid,
                qos: QoS::AtLeastOnce,
                ..Publish::default()
            };
            self.wire
                .client
                .try_ack(&receipt)
                .map_err(|_| internal("acknowledging"))?;
        }
        Ok(())
    }

    fn deadline(&self) -> Instant {
        let live = self.live.deadline();
        let puback = self
            .window
            .oldest()
            .map(|since| since + self.config.timing.response);
        puback.map_or(live, |puback| puback.min(live))
    }

    fn on_time(&mut self) -> Step {
        let now = Instant::now();
        let response = self.config.timing.response;
        if self
            .window
            .oldest()
            .is_some_and(|since| now >= since + response)
        {
            return Err(lost("publishing: the broker did not acknowledge in time"));
        }
        match self.live.poll(now) {
            Some(Pulse::Dead(Silence::Ping)) => Err(lost(
                "staying connected: the broker did not answer a ping in time",
            )),
            Some(Pulse::Dead(Silence::Proof)) => Err(lost(
                "staying connected: our message to ourselves did not come back in time",
            )),
            Some(Pulse::Prove) if self.window.has_room() => self.prove(),
            Some(Pulse::Prove) | None => Ok(()),
        }
    }

    fn prove(&mut self) -> Step {
        let random = getrandom::u64().map_err(|_| internal("getting randomness"))?;
        self.live_count += 1;
        self.live_payload = format!("{random:016x}-{}", self.live_count).into_bytes();
        let message = Outgoing {
            topic: self.live_topic.clone(),
            payload: self.live_payload.clone(),
            expiry_s: Some(60),
            retain: false,
            ..self.state("")
        };
        // With a small Receive Maximum there may be no room yet: it goes out with the first there is.
        if self.window.has_room() {
            self.send(Owner::Live, message, 0)?;
            self.live.proof_sent(Instant::now());
        }
        Ok(())
    }

    fn state(&self, text: &str) -> Outgoing {
        Outgoing {
            ticket: 0,
            topic: self.config.topic("state"),
            payload: text.as_bytes().to_vec(),
            retain: true,
            correlation: None,
            expiry_s: None,
            priority: super::Priority::Urgent,
        }
    }

    async fn publish(&mut self, out: Outgoing, telemetry_bytes: usize) -> Step {
        let ticket = out.ticket;
        match check_outgoing(&out, self.max_packet) {
            Ok(()) => self.send(Owner::Ticket(ticket), out, telemetry_bytes),
            Err(reason) => {
                self.tell(CloudEvent::PublishFailed {
                    ticket,
                    reason,
                    is_temporary: false,
                    may_have_succeeded: false,
                })
                .await;
                Ok(())
            }
        }
    }

    fn send(&mut self, owner: Owner, out: Outgoing, telemetry_bytes: usize) -> Step {
        let Some(id) = self.window.send(owner, telemetry_bytes, Instant::now()) else {
            return Err(internal("publishing without room"));
        };
        self.sent.push_back(id);
        let properties = properties(&out);
        self.wire
            .client
            .try_publish_with_properties(
                out.topic,
                QoS::AtLeastOnce,
                out.retain,
                out.payload,
                properties,
            )
            .map_err(|_| internal("publishing"))
    }

    /// Sends what waits, says `offline`, waits for the acknowledgements, disconnects.
    async fn say_goodbye(&mut self, inbox: &mut Inbox, drain: Duration) {
        let by = Instant::now() + drain;
        // Whatever goes wrong here, every ticket is accounted for by our caller.
        let _ = tokio::time::timeout_at(by, self.drain(inbox)).await;
        if self.window.has_room() && self.send(Owner::State, self.state("offline"), 0).is_ok() {
            let limit = self.config.timing.response;
            let _ = timeout(limit, self.wait_until_empty()).await;
        }
        if self.wire.client.try_disconnect().is_ok() {
            let _ = timeout(Duration::from_secs(1), async {
                while self.wire.seen.recv().await.is_some() {}
            })
            .await;
        }
    }

    async fn drain(&mut self, inbox: &mut Inbox) -> Step {
        inbox.urgent.close();
        inbox.telemetry.close();
        loop {
            let room = self.window.has_room();
            tokio::select! {
                biased;
                seen = self.wire.seen.recv() => match seen {
                    Some(seen) => self.on_seen(seen).await?,
                    None => return Err(self.wire_end().await),
                },
                settled = self.settled.recv() => self.on_settled(settled)?,
                out = async {
                    match inbox.urgent.recv().await {
                        Some(out) => Some(out),
                        None => inbox.telemetry.recv().await,
                    }
                }, if room => match out {
                    Some(out) => self.publish(out, 0).await?,
                    None => return self.wait_until_empty().await,
                },
            }
        }
    }

    async fn wait_until_empty(&mut self) -> Step {
        while self.window.oldest().is_some() {
            match self.wire.seen.recv().await {
                Some(seen) => self.on_seen(seen).await?,
                None => return Err(self.wire_end().await),
            }
        }
        Ok(())
    }

    /// Every publish without an acknowledgement: we do not know.
    async fn give_up_flights(&mut self) {
        // What the library saw just before the end still counts.
        while let Ok(seen) = self.wire.seen.try_recv() {
            if let Seen::Acked { id, reason } = seen {
                self.on_puback(id, reason).await;
            }
        }
        for owner in self.window.abandon() {
            if let Owner::Ticket(ticket) = owner {
                self.tell(CloudEvent::PublishFailed {
                    ticket,
                    reason: "publishing: the connection ended before the acknowledgement"
                        .to_owned(),
                    is_temporary: true,
                    may_have_succeeded: true,
                })
                .await;
            }
        }
    }

    async fn tell(&self, event: CloudEvent) {
        // Nobody listens any more: the daemon is ending, and the inbox closes next.
        let _ = self.events.send(event).await;
    }

    async fn wire_end(&mut self) -> WireEnd {
        match (&mut self.wire.task).await {
            Ok(end) => end,
            // A panic in the library on hostile bytes stays in its task.
            Err(_) => internal("talking MQTT"),
        }
    }
}

/// A closed queue never yields: the urgent one tells the end.
async fn next(queue: &mut mpsc::Receiver<Outgoing>) -> Outgoing {
    match queue.recv().await {
        Some(out) => out,
        None => pending().await,
    }
}

fn properties(out: &Outgoing) -> PublishProperties {
    PublishProperties {
        message_expiry_interval: out.expiry_s,
        correlation_data: out.correlation.clone().map(Into::into),
        ..PublishProperties::default()
    }
}

/// rumqttc: a packet over the broker's limit ends each connection anew. So: measured here first.
fn check_outgoing(out: &Outgoing, max_packet: u32) -> Result<(), String> {
    if !is_topic(&out.topic) {
        return Err("publishing: not a valid topic name".to_owned());
    }
    if out
        .correlation
        .as_ref()
        .is_some_and(|data| data.len() > usize::from(u16::MAX))
    {
        return Err("publishing: the correlation data is longer than 65,535 bytes".to_owned());
    }
    let mut packet = Publish::new(
        out.topic.clone(),
        QoS::AtLeastOnce,
        out.payload.clone(),
        Some(properties(out)),
    );
    packet.pkid = 1;
    let size = packet.size();
    if u32::try_from(size).map_or(true, |size| size > max_packet) {
        return Err(format!(
            "publishing: the packet has {size} bytes, {max_packet} are allowed"
        ));
    }
    Ok(())
}

fn check_suback(codes: &[SubscribeReasonCode], filters: &[String]) -> Step {
    for (code, filter) in codes.iter().zip(filters) {
        let reason = match code {
            SubscribeReasonCode::Success(QoS::AtLeastOnce | QoS::ExactlyOnce) => continue,
            SubscribeReasonCode::Success(QoS::AtMostOnce) => "only QoS 0 granted".to_owned(),
            refused => format!("{refused:?}"),
        };
        let mut end = unusable(&format!("subscribing to '{filter}': refused ({reason})"));
        end.advice = Some("let this hub's certificate read and write its own topics at the broker");
        return Err(end);
    }
    Ok(())
}

fn lost(reason: &str) -> WireEnd {
    WireEnd {
        reason: reason.to_owned(),
        advice: None,
        failure: Failure::Ordinary,
        permanent: false,
        transport: false,
    }
}

fn unusable(reason: &str) -> WireEnd {
    WireEnd {
        failure: Failure::Refused,
        permanent: true,
        ..lost(reason)
    }
}

fn internal(act: &str) -> WireEnd {
    lost(&format!("{act}: the MQTT library did what it should not"))
}
